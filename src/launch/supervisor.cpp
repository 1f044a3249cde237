#include "orthant/launch/supervisor.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>

#include "absl/strings/str_cat.h"
#include "launch/attempt.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string FirstLine(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::string FromWhere(const RunProgress& progress) {
  return progress.checkpoint_step < 0
             ? "from the beginning"
             : absl::StrCat("from the checkpoint of step ", progress.checkpoint_step);
}

// An attempt that did not end well.
struct Failure {
  int attempt = 0;
  AttemptEnd end;
  RunProgress progress;
};

// The state of one Supervise.
class Supervision {
 public:
  explicit Supervision(const SupervisorOptions& options) : options_(options), command_(options.command) {}

  absl::StatusOr<int> Run();

 private:
  // Why there is no next attempt; "" when there is one, whose command is then command_.
  std::string ReasonToStop(const Failure& failure);
  std::string RepeatReason(const Failure& failure, bool can_shrink) const;
  bool WithoutProgress(const Failure& failure) const;
  bool Repeats(const Failure& failure) const;
  std::string Told(const Failure& failure, double seconds) const;
  // False when a signal ended the wait.
  bool BackOff(double seconds);
  RunProgress Progress() const { return options_.progress ? options_.progress() : RunProgress(); }

  const SupervisorOptions& options_;
  std::vector<std::string> command_;
  SupervisedSignals signals_;
  RunProgress at_start_;
  std::optional<Failure> previous_;
};

// As the shell would see it, but for ranks that died: of these the verdict knows more than the signal tells.
int FinalCode(const Failure& failure) {
  if (failure.end.idle) return static_cast<int>(ExitCode::kCommunication);
  const bool died = failure.end.exit_code > 128 && failure.end.passed_on == 0;
  return died && !failure.progress.verdict.empty() ? static_cast<int>(ExitCode::kCommunication)
                                                   : failure.end.exit_code;
}

bool Supervision::Repeats(const Failure& failure) const {
  return options_.progress && previous_.has_value() &&
         failure.progress.last_step <= previous_->progress.last_step &&
         failure.progress.checkpoint_step <= previous_->progress.checkpoint_step;
}

bool Supervision::WithoutProgress(const Failure& failure) const {
  if (previous_.has_value()) return Repeats(failure);
  return options_.progress && failure.progress.last_step == at_start_.last_step &&
         failure.progress.checkpoint_step == at_start_.checkpoint_step;
}

std::string Supervision::RepeatReason(const Failure& failure, bool can_shrink) const {
  const std::string place = failure.progress.last_step == previous_->progress.last_step
                                ? absl::StrCat("at the same step as attempt ", previous_->attempt, ", ")
                                : absl::StrCat("no further than attempt ", previous_->attempt,
                                               ", which got to step ", previous_->progress.last_step, ", ");
  return absl::StrCat("it failed ", place, "which ended with ", EndInWords(previous_->end),
                      ", and there is no newer checkpoint: another start would end the same way",
                      can_shrink ? "; the command cannot use fewer ranks" : "");
}

std::string Supervision::ReasonToStop(const Failure& failure) {
  if (failure.end.passed_on != 0)
    return absl::StrCat(SignalName(failure.end.passed_on), " was passed on to it");
  if (failure.end.still_running)
    return "some of its processes cannot be ended, and would write into the same run";
  if (!failure.end.idle && !Restartable(failure.end.exit_code)) {
    return failure.end.exit_code == static_cast<int>(ExitCode::kSignal)
               ? "it was asked to end"
               : "another start would end the same way";
  }
  if (failure.attempt >= options_.restarts) {
    return options_.restarts == 0 ? "no restarts were asked for"
                                  : absl::StrCat("all of its restarts (", options_.restarts, ") are used");
  }
  if (options_.replan) {
    std::vector<std::string> other = options_.replan(command_);
    if (!other.empty()) {
      command_ = std::move(other);
      return "";
    }
  }
  if (options_.shrink && WithoutProgress(failure)) {
    std::vector<std::string> smaller = options_.shrink(command_);
    if (!smaller.empty()) {
      command_ = std::move(smaller);
      return "";
    }
  }
  return Repeats(failure) ? RepeatReason(failure, options_.shrink != nullptr) : "";
}

std::string Supervision::Told(const Failure& failure, double seconds) const {
  std::string line = absl::StrCat("attempt ", failure.attempt, " ended after ", FormatDuration(seconds), ": ",
                                  EndInWords(failure.end));
  if (options_.progress) absl::StrAppend(&line, ", at step ", failure.progress.last_step);
  if (failure.end.idle) {
    absl::StrAppend(&line, "; it was ended because it did nothing for ",
                    FormatDuration(options_.idle_seconds),
                    options_.growth ? ": no output, no new step" : ": no output");
  }
  if (failure.end.left > 0) {
    absl::StrAppend(&line, "; what it left running was ended (processes: ", failure.end.left, ")");
  }
  if (!failure.progress.verdict.empty()) {
    absl::StrAppend(&line, "; verdict: ", FirstLine(failure.progress.verdict));
  }
  return line;
}

bool Supervision::BackOff(double seconds) {
  const double until = Now() + seconds;
  while (Now() < until) {
    const int signal = signals_.Wait(std::max(0.0, until - Now()));
    if (signal == 0 || signal == SIGCHLD) continue;
    options_.log(absl::StrCat("stopped: ", SignalName(signal), " came before the next attempt"));
    return false;
  }
  return true;
}

absl::StatusOr<int> Supervision::Run() {
  at_start_ = Progress();
  double backoff = options_.backoff_seconds;
  for (int attempt = 0;; ++attempt) {
    AttemptOptions start{command_,        options_.environment,  options_.stop_signal, options_.grace_seconds,
                         options_.output, options_.idle_seconds, options_.growth};
    start.environment.push_back(absl::StrCat("ORTHANT_ATTEMPT=", attempt));
    const double began = Now();
    const absl::StatusOr<AttemptEnd> end = RunAttempt(start, signals_);
    if (!end.ok()) return end.status();
    if (end->exit_code == static_cast<int>(ExitCode::kDone) && !end->idle) {
      if (attempt > 0) options_.log(absl::StrCat("attempt ", attempt, " is done"));
      return end->exit_code;
    }
    const Failure failure{attempt, *end, Progress()};
    const std::string told = Told(failure, Now() - began);
    const std::string reason = ReasonToStop(failure);
    if (!reason.empty()) {
      options_.log(absl::StrCat(told, "; stopped: ", reason));
      return FinalCode(failure);
    }
    const double wait = std::min(backoff, options_.most_backoff_seconds);
    options_.log(absl::StrCat(told, "; restart ", attempt + 1, " of ", options_.restarts, " in ",
                              FormatDuration(wait),
                              options_.progress ? ", " + FromWhere(failure.progress) : ""));
    if (!BackOff(wait)) return FinalCode(failure);
    backoff *= 2.0;
    previous_ = failure;
  }
}

}  // namespace

bool Restartable(int exit_code) {
  switch (static_cast<ExitCode>(exit_code)) {
    case ExitCode::kDone:
    case ExitCode::kConfiguration:
    case ExitCode::kEnvironment:
    case ExitCode::kData:
    case ExitCode::kNumerical:
    case ExitCode::kSignal:
      return false;
    default:
      return true;
  }
}

absl::StatusOr<int> Supervise(const SupervisorOptions& options) {
  if (options.command.empty()) return ConfigurationError("there is no command to supervise");
  return Supervision(options).Run();
}

}  // namespace orthant
