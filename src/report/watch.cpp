#include "orthant/report/watch.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <fstream>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/file_lock.h"
#include "orthant/core/json_parts.h"
#include "orthant/core/terminal.h"
#include "orthant/report/scale.h"

namespace orthant {
namespace {

double Number(const nlohmann::json& line, const char* key) {
  return NumberIn(line, key, std::numeric_limits<double>::quiet_NaN());
}

std::string HostName() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  return host;
}

bool Lives(int64_t pid) {
  return pid <= 0 || kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM;
}

// A start that wrote no end. A process id says little, as another process may have it by now.
RunStatus StatusOfOpenStart(const nlohmann::json& start, FileLock lock) {
  const std::string host = TextIn(start, "host");
  const int64_t pid = IntegerIn(start, "pid");
  const std::string where = absl::StrCat("process ", pid, " on ", host);
  const bool gone =
      host == HostName() && (lock == FileLock::kFree || (lock == FileLock::kUnknown && !Lives(pid)));
  if (gone) return {RunState::kBroken, absl::StrCat("broken off: ", where, " is gone"), false};
  return {RunState::kUnderWay, absl::StrCat("under way: ", where), false};
}

// As starts.json has it.
RunStatus StatusOnRecord(const std::string& folder, FileLock lock) {
  const absl::StatusOr<std::string> text = ReadFile(folder + "/starts.json");
  if (!text.ok()) return {RunState::kNotBegun, "no start on record", false};
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("starts") || !json["starts"].is_array() || json["starts"].empty() ||
      !json["starts"].back().is_object())
    return {RunState::kNotBegun, "starts.json cannot be read", false};
  const nlohmann::json& start = json["starts"].back();
  const auto end = start.find("end");
  if (end == start.end() || !end->is_object()) return StatusOfOpenStart(start, lock);
  const std::string outcome = TextIn(*end, "outcome"), message = TextIn(*end, "message");
  return {RunState::kEnded, message.empty() ? outcome : absl::StrCat(outcome, ": ", message),
          outcome == "done"};
}

}  // namespace

bool MetricsFollower::Poll() {
  struct stat now = {};
  if (stat(path_.c_str(), &now) != 0) {
    const bool had = !steps_.empty();
    *this = MetricsFollower(path_);
    return had;
  }
  bool changed = false;
  if (now.st_ino != file_ || now.st_size < offset_) {
    changed = !steps_.empty();
    *this = MetricsFollower(path_);
    file_ = now.st_ino;
  }
  if (now.st_size == offset_) return changed;
  std::ifstream stream(path_, std::ios::binary);
  stream.seekg(offset_);
  for (std::string line;
       std::getline(stream, line) && !stream.eof();) {  // a last line without its end may still grow
    offset_ += static_cast<int64_t>(line.size()) + 1;
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number()) continue;
    Take(json);
    changed = true;
  }
  return changed;
}

void MetricsFollower::Take(const nlohmann::json& line) {
  WatchedStep step;
  step.step = line["step"].get<int64_t>();
  while (!steps_.empty() && steps_.back().step >= step.step) steps_.pop_back();
  while (!validation_.empty() && validation_.back().first >= static_cast<double>(step.step))
    validation_.pop_back();
  step.loss = Number(line, "loss");
  step.grad_norm = Number(line, "grad_norm");
  step.lr = Number(line, "lr");
  step.dt = Number(line, "dt");
  step.tps = Number(line, "tps");
  step.mfu = Number(line, "mfu");
  step.memory = Number(line, "mem_peak_bytes");
  steps_.push_back(step);
  if (const double validation = Number(line, "val_loss"); std::isfinite(validation))
    validation_.emplace_back(static_cast<double>(step.step), validation);
}

RunStatus StatusOfRun(const std::string& folder) {
  const FileLock lock = LockOn(folder + "/lock");  // a run holds it from its first moment to its last
  const RunStatus recorded = StatusOnRecord(folder, lock);
  if (lock != FileLock::kHeld || recorded.state == RunState::kUnderWay) return recorded;
  // A start goes on record when it has loaded its checkpoint; the lock's text says whose it is until then.
  const absl::StatusOr<std::string> holder = ReadFile(folder + "/lock");
  return {RunState::kUnderWay,
          absl::StrCat("starting: ", holder.ok() ? std::string(absl::StripAsciiWhitespace(*holder)) : ""),
          false};
}

std::string WatchFrame(const std::string& name, const RunStatus& status, const MetricsFollower& metrics,
                       int64_t total, int width, int height, bool utf8) {
  std::string text = absl::StrCat(Printable(name), ": ", Printable(status.text), "\n");
  if (metrics.steps().empty()) return text + "no step yet\n";
  const WatchedStep& last = metrics.steps().back();
  absl::StrAppend(&text, "step ", last.step, total > 0 ? absl::StrCat("/", total) : "");
  absl::StrAppendFormat(&text, "  loss %.4f", last.loss);
  if (!metrics.validation().empty()) {
    absl::StrAppendFormat(&text, "  validation %.4f at step %.0f", metrics.validation().back().second,
                          metrics.validation().back().first);
  }
  absl::StrAppendFormat(&text, "\ngrad_norm %.3f  lr %.2e  %s a step  %s tokens/s  mfu %s  memory %s\n",
                        last.grad_norm, last.lr, Show(last.dt, Quantity::kSeconds),
                        Show(last.tps, Quantity::kCount), Show(last.mfu, Quantity::kShare),
                        Show(last.memory, Quantity::kBytes));
  std::vector<std::pair<double, double>> line;
  for (const WatchedStep& step : metrics.steps())
    line.emplace_back(static_cast<double>(step.step), step.loss);
  return text + TextPlot(line, metrics.validation(), width, height, utf8);
}

}  // namespace orthant
