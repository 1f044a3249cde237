#include "cli/run_progress.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>

#include "nlohmann/json.hpp"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/json.h"

namespace orthant {
namespace {

// Many lines of metrics; the last one is among them.
constexpr std::streamoff kTailBytes = 1 << 16;

std::string Tail(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : 0;
  file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int64_t StepOf(const std::string& line) {
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object() || !value.contains("step") || !value["step"].is_number_integer()) return -1;
  return value["step"].get<int64_t>();
}

std::string VerdictText(const std::string& path) {
  const absl::StatusOr<nlohmann::json> verdict = ReadJsonFile(path);
  if (!verdict.ok() || !verdict->is_object() || !verdict->contains("text")) return "";
  const nlohmann::json& text = (*verdict)["text"];
  return text.is_string() ? text.get<std::string>() : "";
}

}  // namespace

int64_t LastStepOf(const std::string& metrics_file) {
  const std::string tail = Tail(metrics_file);
  // A killed run may leave a part of a line behind.
  for (size_t end = tail.rfind('\n'); end != std::string::npos && end > 0;) {
    const size_t before = tail.rfind('\n', end - 1);
    const size_t begin = before == std::string::npos ? 0 : before + 1;
    if (const int64_t step = StepOf(tail.substr(begin, end - begin)); step >= 0) return step;
    end = before;
  }
  return 0;
}

RunProgress RunWatch::Read() {
  RunProgress progress;
  progress.last_step = LastStepOf(run_dir_ + "/metrics.jsonl");
  progress.checkpoint_step = LatestStep(run_dir_ + "/checkpoints");
  const std::string verdict = run_dir_ + "/flight/verdict.json";
  std::error_code error;
  const auto time = std::filesystem::last_write_time(verdict, error);
  if (!error && time != verdict_time_) {
    verdict_time_ = time;
    progress.verdict = VerdictText(verdict);
  }
  return progress;
}

}  // namespace orthant
