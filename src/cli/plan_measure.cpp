#include "cli/plan_measure.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/launch_options.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/plan/plan_report.h"
#include "orthant/sweep/case_process.h"

namespace orthant {
namespace {

constexpr const char* kCalibrate = "orthant bench calibrate";

std::vector<LayoutPrediction> Chosen(const std::vector<LayoutPrediction>& ranked,
                                     const MeasureOptions& options) {
  const size_t count = std::min(ranked.size(), static_cast<size_t>(options.layouts));
  std::vector<LayoutPrediction> chosen;
  for (size_t i = 0; i < count; ++i) {
    const bool even = options.spread && count > 1;
    chosen.push_back(ranked[even ? i * (ranked.size() - 1) / (count - 1) : i]);
  }
  return chosen;
}

// The median of "RESULT {...}" in what `orthant bench step --result-line` printed; 0: there is none.
double MedianIn(const std::string& output) {
  const std::string mark = "RESULT ";
  const size_t at = output.find(mark);
  if (at == std::string::npos) return 0;
  const std::string line = output.substr(at + mark.size(), output.find('\n', at) - at - mark.size());
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json.value("med_ms", 0.0) / 1e3 : 0;
}

class Measurer {
 public:
  Measurer(const RunFileOptions& run, const Machine& machine, const MeasureOptions& options)
      : run_(run),
        threads_(machine.calibration.threads),
        options_(options),
        log_(std::filesystem::temp_directory_path() / absl::StrCat("orthant-plan-", ::getpid(), ".log")) {}
  ~Measurer() {
    std::error_code ignored;
    std::filesystem::remove(log_, ignored);
  }

  absl::StatusOr<MeasuredLayout> Measure(const LayoutPrediction& prediction) const {
    MeasuredLayout measured{prediction, 0, ""};
    if (const int came = signals_.Wait(0); came == SIGINT || came == SIGTERM) return Stopped();
    const absl::StatusOr<CaseEnd> end = RunCase(CommandFor(prediction.layout), log_, signals_);
    if (!end.ok()) return end.status();
    if (end->signal != 0) return Stopped();
    measured.error = end->error.substr(0, end->error.find('\n'));
    if (end->exit_code != 0) return measured;
    const absl::StatusOr<std::string> output = ReadFile(log_);
    if (!output.ok()) return output.status();
    measured.seconds = MedianIn(*output);
    if (measured.seconds <= 0) measured.error = "orthant bench step printed no result";
    return measured;
  }

 private:
  static absl::Status Stopped() {
    return StatusWithExitCode(ExitCode::kSignal, "stopped by a signal while layouts were measured");
  }

  std::vector<std::string> CommandFor(const PlannedLayout& layout) const {
    std::vector<std::string> command = {OwnPath(), "bench", "step", run_.path};
    const auto add = [&command](const std::vector<std::string>& more) {
      command.insert(command.end(), more.begin(), more.end());
    };
    add(run_.overrides);
    add({"parallel.layout=written"});
    add(LayoutOverrides(layout));
    if (threads_ > 0) add({absl::StrCat("train.threads_per_rank=", threads_)});
    add({"--steps", absl::StrCat(options_.steps), "--result-line"});
    return command;
  }

  const RunFileOptions& run_;
  const int64_t threads_;
  const MeasureOptions& options_;
  const std::string log_;
  SweepSignals signals_;
};

}  // namespace

absl::Status CheckMeasurable(const Machine& machine) {
  if (absl::StartsWith(machine.calibration.command, kCalibrate)) return absl::OkStatus();
  return ConfigurationError(absl::StrCat("--measure takes steps on this machine, and ", machine.name,
                                         " has the constants of ", machine.calibration.name,
                                         "; nearest legal: ", kCalibrate,
                                         " --ranks N --output here.yaml, then --cluster here.yaml"));
}

absl::StatusOr<std::vector<MeasuredLayout>> MeasureLayouts(const std::vector<LayoutPrediction>& ranked,
                                                           const RunFileOptions& run, const Machine& machine,
                                                           const MeasureOptions& options) {
  const std::vector<LayoutPrediction> chosen = Chosen(ranked, options);
  const Measurer measurer(run, machine, options);
  ProgressBar bar("measure", static_cast<int64_t>(chosen.size()));
  bar.Update(0);
  std::vector<MeasuredLayout> all;
  for (const LayoutPrediction& prediction : chosen) {
    absl::StatusOr<MeasuredLayout> one = measurer.Measure(prediction);
    if (!one.ok()) return one.status();
    all.push_back(*std::move(one));
    bar.Update(static_cast<int64_t>(all.size()));
  }
  return all;
}

}  // namespace orthant
