#include "orthant/core/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

extern char** environ;

namespace orthant {
namespace {

std::string Reason(int error) {
  return std::generic_category().message(error);
}

// posix_spawn's list of what to do in the child, freed at the end of the scope.
class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

using Clock = std::chrono::steady_clock;

// Waits until there is something to read, or the end. False at the deadline.
bool Readable(int descriptor, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd one = {descriptor, POLLIN, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<int64_t>(left, 60000)));
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;
  }
}

// Reads to the end, or with `seconds` above 0 so long, keeping the last `tail_bytes`. -> whether it came to
// the end.
bool ReadTail(int descriptor, size_t tail_bytes, double seconds, std::string* all) {
  std::string& tail = *all;
  std::array<char, 65536> buffer;
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  bool whole = true;
  while (true) {
    whole = seconds <= 0 || Readable(descriptor, deadline);
    if (!whole) break;
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    tail.append(buffer.data(), static_cast<size_t>(count));
    if (tail.size() > 2 * tail_bytes) tail.erase(0, tail.size() - tail_bytes);
  }
  if (tail.size() > tail_bytes) tail.erase(0, tail.size() - tail_bytes);
  return whole;
}

int WaitFor(pid_t child) {
  int state = 0;
  while (::waitpid(child, &state, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
}

}  // namespace

absl::StatusOr<SubprocessResult> RunProgram(const std::vector<std::string>& arguments,
                                            const SubprocessOptions& options) {
  if (arguments.empty()) return EnvironmentError("No program was named.");
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  FileActions actions;
  posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (!options.folder.empty()) posix_spawn_file_actions_addchdir_np(actions.get(), options.folder.c_str());
  std::array<int, 2> pipe_ends = {-1, -1};
  if (options.capture) {
    // Close-on-exec: another thread's child must not hold our pipe open.
    if (::pipe2(pipe_ends.data(), O_CLOEXEC) != 0) {
      return EnvironmentError(absl::StrCat(arguments[0], ": no pipe could be made: ", Reason(errno)));
    }
    posix_spawn_file_actions_adddup2(actions.get(), pipe_ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(actions.get(), pipe_ends[1], STDERR_FILENO);
  }
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, argv[0], actions.get(), nullptr, argv.data(), environ);
  if (options.capture) ::close(pipe_ends[1]);
  SubprocessResult result;
  if (error == 0) {
    if (options.capture)
      result.too_long = !ReadTail(pipe_ends[0], options.tail_bytes, options.seconds, &result.output);
    if (result.too_long) ::kill(child, SIGKILL);
    result.exit_code = WaitFor(child);
  }
  if (options.capture) ::close(pipe_ends[0]);
  if (error != 0) {
    const std::string where = options.folder.empty() ? "" : absl::StrCat(" in ", options.folder);
    return EnvironmentError(absl::StrCat(arguments[0], ": cannot be started", where, ": ", Reason(error)));
  }
  return result;
}

}  // namespace orthant
