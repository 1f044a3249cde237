#include "cli/sweep_run.h"

#include <csignal>
#include <cstdio>
#include <set>

#include "absl/strings/str_cat.h"
#include "cli/launch_options.h"
#include "cli/sweep_cases.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/report/watch.h"

namespace orthant {
namespace {

// One run of `orthant sweep`.
class SweepRun {
 public:
  SweepRun(const SweepFile& file, const std::vector<size_t>& chosen, const SweepRunOptions& options,
           SweepState* state)
      : file_(file), settings_(file.settings), chosen_(chosen), options_(options), state_(*state) {}

  absl::Status Run() {
    const absl::StatusOr<std::vector<std::string>> words = SplitWords(settings_.arguments);
    if (!words.ok()) return Annotate(words.status(), "sweep.arguments");
    words_ = *words;
    for (const size_t i : chosen_) LookAfterJob(&state_.cases[i]);
    if (absl::Status predicted = PredictAll(); !predicted.ok()) return predicted;
    if (absl::Status written = Write(); !written.ok()) return written;
    for (size_t n = 0; n < chosen_.size(); ++n) {
      CaseRecord& record = state_.cases[chosen_[n]];
      if (!Wanted(record)) continue;
      const std::string heading = absl::StrCat("[", n + 1, "/", chosen_.size(), "] ", record.what.name);
      if (absl::Status ran = RunOne(heading, &record); !ran.ok()) return ran;
    }
    return absl::OkStatus();
  }

 private:
  std::string FolderOf(const CaseRecord& record) const {
    return absl::StrCat(settings_.dir, "/", record.what.name);
  }

  bool Wanted(const CaseRecord& record) const {
    if (record.state == CaseState::kWaiting || record.state == CaseState::kInterrupted) return true;
    return record.state == CaseState::kFailed && options_.retry_failed;
  }

  absl::Status Write() const { return WriteSweepState(settings_.dir, state_); }

  // A job that was submitted earlier: its run's own files say what became of it.
  void LookAfterJob(CaseRecord* record) const {
    if (record->state != CaseState::kSubmitted) return;
    const RunStatus status = StatusOfRun(FolderOf(*record));
    if (status.state != RunState::kEnded && status.state != RunState::kBroken) return;
    record->state = status.complete ? CaseState::kDone : CaseState::kFailed;
    record->exit_code = status.complete ? 0 : static_cast<int>(ExitCode::kInternal);
    record->error = status.complete ? "" : status.text;
  }

  static absl::Status Stopped(const std::string& where) {
    return StatusWithExitCode(ExitCode::kSignal,
                              absl::StrCat("stopped by a signal ", where, "; the same command goes on"));
  }

  // Without a prediction a case runs all the same.
  absl::Status PredictAll() {
    if (settings_.calibration.empty()) return absl::OkStatus();
    std::set<int64_t> ranks = {0};
    if (settings_.calibration == "measure") {
      ranks.clear();
      for (const size_t i : chosen_) {
        const CaseRecord& record = state_.cases[i];
        if (record.state != CaseState::kIllegal && record.predicted_seconds == 0)
          ranks.insert(record.what.ranks);
      }
    }
    for (const int64_t count : ranks) {
      const std::string path = CalibrationOf(settings_, count);
      if (settings_.calibration == "measure" && !FileExists(path)) {
        if (absl::Status measured = Calibrate(count, path); !measured.ok()) return measured;
        if (!FileExists(path)) continue;
      }
      const absl::Status predicted = PredictCases(file_, path, count, &state_);
      if (!predicted.ok()) return Annotate(predicted, "sweep.calibration");
    }
    return absl::OkStatus();
  }

  absl::Status Calibrate(int64_t ranks, const std::string& path) {
    std::fprintf(stderr, "calibrating %lld ranks\n", static_cast<long long>(ranks));
    const std::vector<std::string> command = {
        OwnPath(),   "bench", "calibrate", "--ranks", absl::StrCat(ranks),
        "--seconds", "0.03",  "--output",  path};
    const absl::StatusOr<CaseEnd> end =
        RunCase(command, absl::StrCat(settings_.dir, "/calibration-r", ranks, ".log"), signals_);
    if (!end.ok()) return end.status();
    if (end->signal != 0) return Stopped("while it calibrated");
    if (end->exit_code != 0)
      std::fprintf(stderr, "no predictions for %lld ranks: %s\n", static_cast<long long>(ranks),
                   end->error.c_str());
    return absl::OkStatus();
  }

  // With its retries.
  absl::Status RunOne(const std::string& heading, CaseRecord* record) {
    for (int64_t tries = 0;; ++tries) {
      if (const int came = signals_.Wait(0); came == SIGINT || came == SIGTERM)
        return Stopped(absl::StrCat("before ", record->what.name));
      record->state = CaseState::kRunning;
      ++record->starts;
      if (absl::Status written = Write(); !written.ok()) return written;
      const std::string log = FolderOf(*record) + ".log";
      const absl::StatusOr<CaseEnd> end =
          RunCase(CommandOf(settings_, record->what, OwnPath(), words_), log, signals_);
      if (!end.ok()) {
        record->state = CaseState::kInterrupted;
        return Write().ok() ? end.status() : Write();
      }
      Take(*end, log, record);
      if (absl::Status written = Write(); !written.ok()) return written;
      std::fprintf(stderr, "%s: %s, %s%s%s\n", heading.c_str(), ToString(record->state),
                   FormatDuration(end->seconds).c_str(), record->error.empty() ? "" : ": ",
                   record->error.substr(0, record->error.find('\n')).c_str());
      if (end->signal != 0 || record->state == CaseState::kInterrupted)
        return Stopped(absl::StrCat("in ", record->what.name));
      const bool again = record->state == CaseState::kFailed && tries < settings_.retries &&
                         WorthAnotherStart(record->exit_code);
      if (!again) return absl::OkStatus();
    }
  }

  void Take(const CaseEnd& end, const std::string& log, CaseRecord* record) const {
    record->exit_code = end.exit_code;
    record->seconds += end.seconds;
    record->error = end.error;
    const bool saved = end.exit_code == static_cast<int>(ExitCode::kSignal);
    if (end.exit_code == 0) {
      record->state = settings_.backend == "submit" ? CaseState::kSubmitted : CaseState::kDone;
      if (settings_.backend == "submit") record->job = JobOf(log);
    } else {
      record->state = end.signal != 0 || saved ? CaseState::kInterrupted : CaseState::kFailed;
    }
  }

  // "job 4711: DIR/NAME.batch", as orthant submit says it.
  static std::string JobOf(const std::string& log) {
    const absl::StatusOr<std::string> text = ReadFile(log);
    if (!text.ok()) return "";
    const size_t at = text->rfind("job ");
    if (at == std::string::npos) return "";
    return text->substr(at + 4, text->find(':', at) - at - 4);
  }

  const SweepFile& file_;
  const SweepSettings& settings_;
  const std::vector<size_t>& chosen_;
  const SweepRunOptions& options_;
  SweepState& state_;
  std::vector<std::string> words_;
  SweepSignals signals_;
};

}  // namespace

absl::Status RunCases(const SweepFile& file, const std::vector<size_t>& chosen,
                      const SweepRunOptions& options, SweepState* state) {
  return SweepRun(file, chosen, options, state).Run();
}

}  // namespace orthant
