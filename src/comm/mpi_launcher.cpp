#include "comm/mpi_launcher.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>

#include "comm/process_state.h"

namespace orthant::mpi {
namespace {

constexpr std::array<std::string_view, 4> kSpeakers = {"mpirun", "mpiexec", "orterun", "prterun"};
constexpr std::array<std::string_view, 2> kDaemons = {"orted", "prted"};
constexpr int kMostBetween = 4;  // shells, wrappers
constexpr int kMostFiles = 4096;

template <size_t N>
bool Among(const std::array<std::string_view, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The value of a line of /proc/PID/status, as "Name:" or "PPid:"; "" when there is none.
std::string StatusOf(int64_t pid, std::string_view key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const size_t value = line.find_first_not_of(" \t", key.size());
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

}  // namespace

Launcher FindLauncher() {
  int64_t pid = getppid();
  for (int above = 0; above < kMostBetween && pid > 1; ++above) {
    const std::string name = StatusOf(pid, "Name:");
    const bool speaks = Among(kSpeakers, name);
    if (speaks || Among(kDaemons, name)) return {pid, StartTimeOf(pid), speaks};
    pid = std::atoll(StatusOf(pid, "PPid:").c_str());
  }
  return {};
}

void EndLauncherLater(const Launcher& launcher, double seconds) {
  if (launcher.pid == 0 || launcher.start_time == 0) return;
  const timespec wait{static_cast<time_t>(seconds),
                      static_cast<long>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};
  if (fork() != 0) return;
  // Other threads' locks may be held for ever in here: only what takes none, and memory, which the C library
  // looks after. Nobody is to wait for the end of our output, and SIGTERM is for those with something to say.
  setsid();
  signal(SIGTERM, SIG_IGN);
  for (int file = 0; file < kMostFiles; ++file) close(file);
  nanosleep(&wait, nullptr);
  if (StateOf(launcher.pid, launcher.start_time) != ProcessState::kGone) {
    kill(static_cast<pid_t>(launcher.pid), SIGKILL);
  }
  _exit(0);
}

}  // namespace orthant::mpi
