#include "orthant/train/start_ledger.h"

#include <unistd.h>

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "orthant/core/file.h"

namespace orthant {
namespace {

constexpr int kFormat = 1;

std::string UtcNow() {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
}

std::string HostName() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  return host;
}

}  // namespace

StartLedger::StartLedger(std::string path, nlohmann::ordered_json facts) : path_(std::move(path)) {
  if (const absl::StatusOr<std::string> text = ReadFile(path_); text.ok()) {
    const auto old = nlohmann::ordered_json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (old.is_object() && old.contains("starts") && old["starts"].is_array()) starts_ = old["starts"];
  }
  nlohmann::ordered_json start = {{"time", UtcNow()}, {"host", HostName()}, {"pid", getpid()}};
  start.update(facts);
  starts_.push_back(std::move(start));
}

absl::Status StartLedger::Began(int64_t step, const std::string& from) {
  starts_.back()["after_step"] = step;
  starts_.back()["from"] = from;
  return Write();
}

void StartLedger::Memory(const std::vector<MemoryPeak>& peaks) {
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const MemoryPeak& peak : peaks) {
    nlohmann::ordered_json rank = {{"device_bytes", peak.device_bytes}, {"host_bytes", peak.host_bytes}};
    for (int t = 0; t < kMemoryTags; ++t)
      rank["at_peak"][std::string(MemoryTagName(static_cast<MemoryTag>(t)))] = peak.tags[t];
    ranks.push_back(std::move(rank));
  }
  starts_.back()["memory"] = std::move(ranks);
}

absl::Status StartLedger::Ended(int64_t step, const std::string& outcome, int exit_code,
                                const std::string& message) {
  starts_.back()["end"] = {{"time", UtcNow()},
                           {"step", step},
                           {"outcome", outcome},
                           {"exit_code", exit_code},
                           {"message", message}};
  return Write();
}

absl::Status StartLedger::Write() {
  const nlohmann::ordered_json file = {{"format", kFormat}, {"starts", starts_}};
  return WriteFileAtomically(
      path_, file.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace orthant
