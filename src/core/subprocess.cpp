#include "orthant/core/subprocess.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
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

// Reads to the end, keeping the last `tail_bytes`.
std::string ReadTail(int descriptor, size_t tail_bytes) {
  std::string tail;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    tail.append(buffer.data(), static_cast<size_t>(count));
    if (tail.size() > 2 * tail_bytes) tail.erase(0, tail.size() - tail_bytes);
  }
  if (tail.size() > tail_bytes) tail.erase(0, tail.size() - tail_bytes);
  return tail;
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
    if (options.capture) result.output = ReadTail(pipe_ends[0], options.tail_bytes);
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
