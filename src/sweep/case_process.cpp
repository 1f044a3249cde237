#include "orthant/sweep/case_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "sweep/cut_text.h"

namespace orthant {
namespace {

constexpr int kCannotStart = 127;

std::string Reason(int error) {
  return std::generic_category().message(error);
}

// In the child, between fork and exec: only what is safe after fork in a program with threads.
[[noreturn]] void BecomeCase(char* const* argv, int log, const sigset_t& mask, pid_t parent) {
  ::setpgid(0, 0);  // the terminal's Ctrl-C is for the sweep, which passes on SIGTERM
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotStart);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(argv[0], argv);
  ::_exit(kCannotStart);
}

void ChildHasEnded(int) {}  // SIGCHLD that is ignored never comes

int CodeOf(int state) {
  return WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
}

// Waits for the child's end, passing signals on. -> exit code
int WaitForCase(pid_t child, const SweepSignals& signals, int* signal) {
  int state = 0;
  while (::waitpid(child, &state, WNOHANG) != child) {
    const int came = signals.Wait(0.5);
    if (came != SIGINT && came != SIGTERM) continue;
    ::kill(-child, *signal == 0 ? SIGTERM : SIGKILL);
    *signal = came;
  }
  return CodeOf(state);
}

// "=== 2026-01-02T03:04:05Z orthant train ...", on a line of its own.
std::string Heading(const std::vector<std::string>& command, bool first) {
  return absl::StrCat(first ? "" : "\n",
                      "=== ", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()), " ",
                      absl::StrJoin(command, " "), "\n");
}

// -> its descriptor. `begins`: the byte at which the case's output will begin.
absl::StatusOr<int> OpenLog(const std::string& log, LogUse use, const std::vector<std::string>& command,
                            size_t* begins) {
  const bool append = use == LogUse::kAppend;
  const int output =
      ::open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
  if (output < 0) return EnvironmentError(absl::StrCat(log, ": cannot be written: ", Reason(errno)));
  if (!append) return output;
  const std::string heading = Heading(command, ::lseek(output, 0, SEEK_END) == 0);
  const ssize_t written = ::write(output, heading.data(), heading.size());
  if (written == static_cast<ssize_t>(heading.size())) {
    *begins = static_cast<size_t>(::lseek(output, 0, SEEK_END));
    return output;
  }
  const std::string reason = written < 0 ? Reason(errno) : "the file system is full";
  ::close(output);
  return EnvironmentError(absl::StrCat(log, ": cannot be written: ", reason));
}

// What the case's end means, from what it printed.
std::string ErrorIn(const std::string& log, const CaseEnd& end) {
  const absl::StatusOr<std::string> text = ReadFile(log);
  if (!text.ok()) return std::string(text.status().message());
  const std::string error = end.begins < text->size() ? LastError(text->substr(end.begins)) : "";
  if (!error.empty()) return error;
  return absl::StrCat("it ended with ", end.exit_code, " and said nothing; its output is in ", log);
}

}  // namespace

std::string FolderOf(const SweepSettings& settings, const SweepCase& one) {
  return absl::StrCat(settings.dir, "/", one.name);
}

std::vector<std::string> OverridesOf(const SweepSettings& settings, const SweepCase& one) {
  std::vector<std::string> overrides = one.overrides;
  overrides.push_back(absl::StrCat("run.name=", one.name));
  overrides.push_back(absl::StrCat("run.dir=", FolderOf(settings, one)));
  return overrides;
}

std::vector<std::string> CommandOf(const SweepSettings& settings, const SweepCase& one,
                                   const std::string& self, const std::vector<std::string>& words) {
  std::vector<std::string> run = {settings.run};
  for (const std::string& text : OverridesOf(settings, one)) run.push_back(text);
  std::vector<std::string> command = {self};
  const auto add = [&command](const std::vector<std::string>& more) {
    command.insert(command.end(), more.begin(), more.end());
  };
  if (settings.backend == "submit") {
    const int64_t nodes =
        (std::max<int64_t>(1, one.ranks) + settings.ranks_per_node - 1) / settings.ranks_per_node;
    add({"submit"});
    add(run);
    add({"--nodes", absl::StrCat(nodes), "--name", one.name, "--script", FolderOf(settings, one) + ".batch"});
    add(words);
    return command;
  }
  if (settings.backend == "mpirun") {
    add({"launch"});
    if (one.ranks > 0) add({"--ranks", absl::StrCat(one.ranks)});
    add(words);
    add({"--", "train"});
    add(run);
    return command;
  }
  add({"train"});
  add(run);
  return command;
}

SweepSignals::SweepSignals() {
  ::sigemptyset(&taken_);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) ::sigaddset(&taken_, signal);
  struct sigaction action {};
  action.sa_handler = ChildHasEnded;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGCHLD, &action, &outer_child_);
  ::pthread_sigmask(SIG_BLOCK, &taken_, &outer_);
}

SweepSignals::~SweepSignals() {
  while (Wait(0) != 0) {
  }
  ::sigaction(SIGCHLD, &outer_child_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &outer_, nullptr);
}

int SweepSignals::Wait(double seconds) const {
  timespec time{};
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>((seconds - static_cast<double>(time.tv_sec)) * 1e9);
  const int signal = ::sigtimedwait(&taken_, nullptr, &time);
  return signal < 0 ? 0 : signal;
}

absl::StatusOr<CaseEnd> RunCase(const std::vector<std::string>& command, const std::string& log,
                                const SweepSignals& signals, LogUse use) {
  CaseEnd end;
  const absl::StatusOr<int> output = OpenLog(log, use, command, &end.begins);
  if (!output.ok()) return output.status();
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const auto start = std::chrono::steady_clock::now();
  const pid_t parent = ::getpid(), child = ::fork();
  if (child == 0) BecomeCase(argv.data(), *output, signals.outer_mask(), parent);
  const int error = errno;
  ::close(*output);
  if (child < 0) return EnvironmentError(absl::StrCat(command[0], ": cannot be started: ", Reason(error)));
  ::setpgid(child, child);  // here too, so that a signal finds the group whoever is first
  end.exit_code = WaitForCase(child, signals, &end.signal);
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (end.exit_code == kCannotStart) return EnvironmentError(absl::StrCat(command[0], ": cannot be started"));
  if (end.exit_code != 0) end.error = ErrorIn(log, end);
  return end;
}

std::string LastError(const std::string& output) {
  const std::string mark = "error: ";
  size_t at = output.rfind("\n" + mark);
  if (at != std::string::npos) {
    ++at;
  } else if (absl::StartsWith(output, mark)) {
    at = 0;
  }
  if (at != std::string::npos)
    return std::string(absl::StripAsciiWhitespace(Beginning(output.substr(at + mark.size()), 4000)));
  std::string last;
  for (const absl::string_view line : absl::StrSplit(output, '\n')) {
    if (!absl::StripAsciiWhitespace(line).empty()) last = std::string(line);
  }
  return Beginning(last, 1000);
}

bool WorthAnotherStart(int exit_code) {
  return exit_code == static_cast<int>(ExitCode::kInternal) ||
         exit_code == static_cast<int>(ExitCode::kCommunication) || exit_code > 128;
}

}  // namespace orthant
