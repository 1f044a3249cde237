#include "cli/sweep_run.h"

#include <csignal>
#include <cstdio>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/launch_options.h"
#include "cli/sweep_cases.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/sweep/job.h"
#include "orthant/sweep/sweep_lock.h"

namespace orthant {
namespace {

// A start that was cut off saves before it ends.
constexpr double kMostSavingSeconds = 60;

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
    if (absl::Status tried = TryCommands(); !tried.ok()) return tried;
    if (absl::Status predicted = PredictAll(); !predicted.ok()) return predicted;
    if (absl::Status written = Write(); !written.ok()) return written;
    for (size_t n = 0; n < chosen_.size(); ++n) {
      CaseRecord& record = state_.cases[chosen_[n]];
      if (!Wanted(record)) continue;
      const std::string heading = absl::StrCat("[", n + 1, "/", chosen_.size(), "] ", record.what.name);
      if (absl::Status ran = RunOne(heading, &record); !ran.ok()) return ran;
    }
    if (held_.empty()) return absl::OkStatus();
    return StatusWithExitCode(
        ExitCode::kSignal,
        absl::StrCat(absl::StrJoin(held_, "; "), "; the same command goes on when it has ended"));
  }

 private:
  std::string LogOf(const CaseRecord& record) const { return FolderOf(settings_, record.what) + ".log"; }

  bool Wanted(const CaseRecord& record) const {
    if (record.state == CaseState::kWaiting || record.state == CaseState::kInterrupted) return true;
    return record.state == CaseState::kFailed && options_.retry_failed;
  }

  absl::Status Write() const { return WriteSweepState(settings_.dir, state_); }

  static absl::Status Stopped(const std::string& where) {
    return StatusWithExitCode(ExitCode::kSignal,
                              absl::StrCat("stopped by a signal ", where, "; the same command goes on"));
  }

  // A wrong sweep.arguments would fail every case: tried without a start, for each number of ranks until
  // `orthant launch` or `orthant submit` takes one.
  absl::Status TryCommands() {
    if (settings_.backend == "threads") return absl::OkStatus();
    absl::Status first;
    std::set<int64_t> tried;
    for (const size_t i : chosen_) {
      const CaseRecord& record = state_.cases[i];
      if (!Wanted(record) || !tried.insert(record.what.ranks).second) continue;
      std::vector<std::string> command = CommandOf(settings_, record.what, OwnPath(), words_);
      command.insert(command.begin() + 2, "--dry-run");
      const absl::StatusOr<CaseEnd> end = RunCase(command, LogOf(record), signals_, LogUse::kAppend);
      if (!end.ok()) return end.status();
      if (end->signal != 0) return Stopped(absl::StrCat("before ", record.what.name));
      if (end->exit_code == 0) return absl::OkStatus();
      const int code = end->exit_code > 128 ? static_cast<int>(ExitCode::kInternal) : end->exit_code;
      if (first.ok()) first = StatusWithExitCode(static_cast<ExitCode>(code), end->error);
    }
    return Annotate(first, absl::StrCat("sweep.arguments = '", settings_.arguments,
                                        "', sweep.backend = ", settings_.backend, ": no case can start"));
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
      if (!predicted.ok()) return predicted;
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
      const FolderWait wait = WaitForEarlierStart(heading, *record);
      if (wait.signal != 0) return Stopped(absl::StrCat("before ", record->what.name));
      if (!wait.holder.empty()) return LeaveHeld(heading, wait.holder, record);
      const absl::StatusOr<CaseEnd> end = StartAndWait(record);
      if (!end.ok()) {
        record->state = CaseState::kInterrupted;
        return Write().ok() ? end.status() : Write();
      }
      Take(*end, record);
      if (absl::Status written = Write(); !written.ok()) return written;
      Tell(heading, absl::StrCat(ToString(record->state), ", ", FormatDuration(end->seconds)), *record);
      if (end->signal != 0 || record->state == CaseState::kInterrupted)
        return Stopped(absl::StrCat("in ", record->what.name));
      const bool again = record->state == CaseState::kFailed && tries < settings_.retries &&
                         WorthAnotherStart(record->exit_code);
      if (!again) return absl::OkStatus();
    }
  }

  // When the sweep was killed, its case was told to stop, and holds its folder until it has saved.
  FolderWait WaitForEarlierStart(const std::string& heading, const CaseRecord& record) const {
    if (record.starts == 0 || settings_.backend == "submit") return {};
    const std::string folder = FolderOf(settings_, record.what);
    const FolderWait now = WaitForFolder(folder, 0, signals_);
    if (now.holder.empty()) return now;
    std::fprintf(stderr, "%s: waits for its last start to save and end\n", heading.c_str());
    return WaitForFolder(folder, kMostSavingSeconds, signals_);
  }

  absl::Status LeaveHeld(const std::string& heading, const std::string& holder, CaseRecord* record) {
    record->state = CaseState::kInterrupted;
    record->error = absl::StrCat(FolderOf(settings_, record->what), " is in use by ", holder);
    held_.push_back(record->error);
    Tell(heading, "not started", *record);
    return Write();
  }

  absl::StatusOr<CaseEnd> StartAndWait(CaseRecord* record) const {
    record->state = CaseState::kRunning;
    ++record->starts;
    record->job.clear();
    record->earlier_starts = settings_.backend == "submit" ? StartsIn(FolderOf(settings_, record->what)) : 0;
    if (absl::Status written = Write(); !written.ok()) return written;
    return RunCase(CommandOf(settings_, record->what, OwnPath(), words_), LogOf(*record), signals_,
                   LogUse::kAppend);
  }

  static void Tell(const std::string& heading, const std::string& what, const CaseRecord& record) {
    std::fprintf(stderr, "%s: %s%s%s\n", heading.c_str(), what.c_str(), record.error.empty() ? "" : ": ",
                 record.error.substr(0, record.error.find('\n')).c_str());
  }

  void Take(const CaseEnd& end, CaseRecord* record) const {
    record->exit_code = end.exit_code;
    record->seconds += end.seconds;
    record->error = end.error;
    const bool saved = end.exit_code == static_cast<int>(ExitCode::kSignal);
    if (end.exit_code == 0) {
      record->state = settings_.backend == "submit" ? CaseState::kSubmitted : CaseState::kDone;
      if (settings_.backend == "submit") record->job = JobOf(LogOf(*record), end.begins);
    } else {
      record->state = end.signal != 0 || saved ? CaseState::kInterrupted : CaseState::kFailed;
    }
  }

  static std::string JobOf(const std::string& log, size_t begins) {
    const absl::StatusOr<std::string> text = ReadFile(log);
    return text.ok() && begins < text->size() ? JobIn(text->substr(begins)) : "";
  }

  const SweepFile& file_;
  const SweepSettings& settings_;
  const std::vector<size_t>& chosen_;
  const SweepRunOptions& options_;
  SweepState& state_;
  std::vector<std::string> words_, held_;
  SweepSignals signals_;
};

}  // namespace

absl::Status RunCases(const SweepFile& file, const std::vector<size_t>& chosen,
                      const SweepRunOptions& options, SweepState* state) {
  // Before signals are taken over: Ctrl-C ends a scheduler's command that hangs, and nothing is lost.
  for (const size_t i : chosen) LookAfterJob(FolderOf(file.settings, state->cases[i].what), &state->cases[i]);
  return SweepRun(file, chosen, options, state).Run();
}

}  // namespace orthant
