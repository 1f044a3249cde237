#include "launch/attempt.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <optional>
#include <set>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "launch/descendants.h"
#include "orthant/core/status.h"

extern char** environ;

namespace orthant {
namespace {

constexpr double kNever = 1e9;
// A signal of a child's end may be lost where another thread takes it: look from time to time.
constexpr double kLookSeconds = 1.0;
// For the last words of what a failed attempt leaves running: it has nothing to save.
constexpr double kLastWordsSeconds = 5.0;
// Of a process that SIGKILL does not end: it hangs in the kernel, on a dead file system.
constexpr double kKillSeconds = 10.0;
constexpr int kKillingInterrupts = 3;

std::string Reason(int error) {
  return std::generic_category().message(error);
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// This process's environment with `added` in place of variables of the same name.
std::vector<std::string> Environment(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('=') + 1);
    const bool replaced = std::any_of(added.begin(), added.end(),
                                      [&](const std::string& a) { return absl::StartsWith(a, name); });
    if (!replaced) all.push_back(text);
  }
  return all;
}

// The strings as exec wants them; they outlive the result.
std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// In the child between fork and exec: only calls that are safe after a fork. Writes errno to `report` when
// the program cannot be started.
[[noreturn]] void BecomeCommand(char* const* argv, char* const* envp, const sigset_t& mask, pid_t parent,
                                const OutputReader* output, int report) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);  // the supervisor died before the line above
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) ::signal(signal, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  if (null > STDIN_FILENO) ::close(null);
  if (output != nullptr) output->TakeEnds();
  ::execvpe(argv[0], argv, envp);
  const int error = errno;
  const ssize_t ignored = ::write(report, &error, sizeof error);
  ::_exit(ignored == sizeof error ? 127 : 126);
}

absl::StatusOr<pid_t> Start(const AttemptOptions& options, const SupervisedSignals& signals,
                            OutputReader* output) {
  const std::vector<std::string> environment = Environment(options.environment);
  const std::vector<char*> argv = Pointers(options.command), envp = Pointers(environment);
  int ends[2] = {-1, -1};  // closed by exec: reading it tells that the program runs, or why not
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return EnvironmentError(absl::StrCat(options.command[0], ": no pipe could be made: ", Reason(errno)));
  }
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) BecomeCommand(argv.data(), envp.data(), signals.outer_mask(), parent, output, ends[1]);
  int error = child < 0 ? errno : 0;
  ::close(ends[1]);
  if (child > 0) {
    ::setpgid(child, child);  // whichever of the two comes first
    while (::read(ends[0], &error, sizeof error) < 0 && errno == EINTR) {
    }
  }
  ::close(ends[0]);
  if (error == 0) {
    if (output != nullptr) output->Start();
    return child;
  }
  if (child > 0) ::waitpid(child, nullptr, 0);
  return EnvironmentError(absl::StrCat(options.command[0], ": cannot be started: ", Reason(error)));
}

// Takes note of every child that has ended, adopted ones too. True once `child` is among them.
bool Reap(pid_t child, AttemptEnd* end) {
  bool ended = false;
  int state = 0;
  for (pid_t id = 0; (id = ::waitpid(-1, &state, WNOHANG)) > 0;) {
    if (id != child) continue;
    ended = true;
    end->ended_by = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    end->exit_code = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
  }
  return ended;
}

double LookSeconds(const AttemptOptions& options) {
  return options.idle_seconds > 0.0 ? std::min(kLookSeconds, options.idle_seconds / 4) : kLookSeconds;
}

int Translated(int signal, const AttemptOptions& options) {
  return signal == SIGTERM && options.stop_signal != 0 ? options.stop_signal : signal;
}

// When the command last did something: wrote a line, or made its run grow.
class Activity {
 public:
  Activity(const AttemptOptions& options, const OutputReader* output) : options_(options), output_(output) {
    if (options_.growth) size_ = options_.growth();
  }

  bool Idle() {
    if (options_.idle_seconds <= 0.0) return false;
    if (options_.growth) {
      const int64_t size = options_.growth();
      if (size != size_) last_ = Now();
      size_ = size;
    }
    const double spoke = output_ != nullptr ? output_->LastLine() : 0.0;
    return Now() - std::max(last_, spoke) >= options_.idle_seconds;
  }

 private:
  const AttemptOptions& options_;
  const OutputReader* output_;
  int64_t size_ = 0;
  double last_ = Now();
};

// Asks an idle command to save and ends it: step by step, each time that it is called while the command runs.
class IdleEnd {
 public:
  explicit IdleEnd(double grace_seconds) : grace_seconds_(grace_seconds) {}
  void Press(pid_t child) {
    if (Now() < next_at_) return;
    if (steps_ == 0) ::kill(child, SIGUSR1);
    if (steps_ == 1) ::kill(-child, SIGTERM);
    if (steps_ >= 2) ::kill(-child, SIGKILL);
    next_at_ = Now() + (steps_ == 0 ? grace_seconds_ : std::min(grace_seconds_, kLastWordsSeconds));
    ++steps_;
  }

 private:
  const double grace_seconds_;
  double next_at_ = 0.0;
  int steps_ = 0;
};

void WaitForChild(pid_t child, const AttemptOptions& options, const SupervisedSignals& signals,
                  const OutputReader* output, AttemptEnd* end) {
  double to_group_at = kNever;
  int interrupts = 0;
  Activity activity(options, output);
  IdleEnd idle(options.grace_seconds);
  while (!Reap(child, end)) {
    if (end->passed_on == 0 && (end->idle || activity.Idle())) {
      end->idle = true;
      idle.Press(child);
    }
    const int signal = signals.Wait(std::clamp(to_group_at - Now(), 0.0, LookSeconds(options)));
    if (signal != 0 && signal != SIGCHLD) {
      if (end->passed_on == 0) {
        end->passed_on = signal;
        to_group_at = Now() + options.grace_seconds;
      }
      if (signal == SIGINT && ++interrupts >= kKillingInterrupts) {
        ::kill(-child, SIGKILL);
      } else {
        ::kill(child, Translated(signal, options));
      }
    } else if (Now() >= to_group_at) {
      ::kill(-child, Translated(end->passed_on, options));
      to_group_at = kNever;
    }
  }
}

// Ends what the child has left running: its descendants, which this process has adopted.
void EndLeftovers(const AttemptOptions& options, const SupervisedSignals& signals, AttemptEnd* end) {
  const int signal = end->passed_on != 0 ? Translated(end->passed_on, options) : SIGTERM;
  const double kill_at = Now() + (end->passed_on != 0 ? options.grace_seconds
                                                      : std::min(options.grace_seconds, kLastWordsSeconds));
  std::set<pid_t> told;
  int interrupts = 0;
  while (true) {
    Reap(0, end);
    const std::vector<pid_t> running = RunningDescendants();
    if (running.empty()) break;
    const bool killing = Now() >= kill_at || interrupts > 0;
    if (Now() >= kill_at + kKillSeconds) {
      end->still_running = true;
      break;
    }
    for (const pid_t id : running) {
      if (killing) {
        ::kill(id, SIGKILL);
      } else if (told.insert(id).second) {
        ::kill(id, signal);
      }
    }
    const int came = signals.Wait(0.05);
    if (came != 0 && came != SIGCHLD && end->passed_on == 0) end->passed_on = came;
    if (came == SIGINT) ++interrupts;
  }
  end->left = static_cast<int>(told.size());
}

}  // namespace

SupervisedSignals::SupervisedSignals() {
  sigemptyset(&taken_);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&taken_, signal);
  ::pthread_sigmask(SIG_BLOCK, &taken_, &outer_mask_);
  struct sigaction standard {};  // inherited as ignored, it would hide the children's exit codes
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &standard, &outer_child_action_);
  ::prctl(PR_GET_CHILD_SUBREAPER, &outer_subreaper_);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

SupervisedSignals::~SupervisedSignals() {
  while (Wait(0.0) != 0) {
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, outer_subreaper_);
  ::sigaction(SIGCHLD, &outer_child_action_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &outer_mask_, nullptr);
}

int SupervisedSignals::Wait(double seconds) const {
  const double whole = std::floor(seconds);
  const timespec time{static_cast<time_t>(whole), static_cast<long>((seconds - whole) * 1e9)};
  return std::max(0, ::sigtimedwait(&taken_, nullptr, &time));
}

absl::StatusOr<AttemptEnd> RunAttempt(const AttemptOptions& options, const SupervisedSignals& signals) {
  std::optional<OutputReader> output;
  if (options.output) {
    output.emplace(options.output);
    if (const absl::Status opened = output->Open(); !opened.ok()) return opened;
  }
  OutputReader* const reader = output.has_value() ? &*output : nullptr;
  const absl::StatusOr<pid_t> child = Start(options, signals, reader);
  if (!child.ok()) return child.status();
  AttemptEnd end;
  WaitForChild(*child, options, signals, reader, &end);
  if (end.exit_code != 0) EndLeftovers(options, signals, &end);
  if (reader != nullptr) reader->Finish();
  Reap(0, &end);  // what has ended since it was last looked for
  return end;
}

std::string SignalName(int signal) {
  switch (signal) {
    case SIGHUP:
      return "SIGHUP";
    case SIGINT:
      return "SIGINT";
    case SIGQUIT:
      return "SIGQUIT";
    case SIGILL:
      return "SIGILL";
    case SIGABRT:
      return "SIGABRT";
    case SIGBUS:
      return "SIGBUS";
    case SIGFPE:
      return "SIGFPE";
    case SIGKILL:
      return "SIGKILL";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGSEGV:
      return "SIGSEGV";
    case SIGPIPE:
      return "SIGPIPE";
    case SIGTERM:
      return "SIGTERM";
    default:
      return absl::StrCat("signal ", signal);
  }
}

std::string EndInWords(const AttemptEnd& end) {
  if (end.ended_by != 0) return SignalName(end.ended_by);
  const std::string code = absl::StrCat("exit code ", end.exit_code);
  switch (static_cast<ExitCode>(end.exit_code)) {
    case ExitCode::kDone:
      return code;
    case ExitCode::kInternal:
      return code;  // of any program, not of Orthant alone
    case ExitCode::kConfiguration:
      return code + " (configuration)";
    case ExitCode::kEnvironment:
      return code + " (environment)";
    case ExitCode::kCommunication:
      return code + " (communication)";
    case ExitCode::kData:
      return code + " (data or checkpoint)";
    case ExitCode::kNumerical:
      return code + " (numerical)";
    case ExitCode::kSignal:
      return code + " (stopped by a signal after a clean save)";
  }
  if (end.exit_code > 128 && end.exit_code < 128 + 65) {
    return absl::StrCat(code, " (", SignalName(end.exit_code - 128), " in a process below it)");
  }
  return code;
}

}  // namespace orthant
