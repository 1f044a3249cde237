#include "comm/process_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace orthant {
namespace {

struct Stat {
  bool seen = false;
  bool missing = false;  // /proc is there, the process is not
  char state = '?';
  uint64_t start_time = 0;
};

Stat ReadStat(int64_t pid) {
  Stat stat;
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    stat.missing = errno == ENOENT && access("/proc/self/stat", R_OK) == 0;
    return stat;
  }
  char text[1024];
  const ssize_t length = read(file, text, sizeof(text) - 1);
  stat.missing = length < 0 && errno == ESRCH;
  close(file);
  if (length <= 0) return stat;
  text[length] = '\0';
  // The name, in parentheses, may hold anything; what follows its last ")" is fields 3, 4, ...
  const char* rest = std::strrchr(text, ')');
  unsigned long long start = 0;
  if (rest == nullptr ||
      std::sscanf(rest + 1,
                  " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                  &stat.state, &start) != 2) {
    return stat;
  }
  stat.seen = true;
  stat.start_time = start;
  return stat;
}

}  // namespace

uint64_t StartTimeOf(int64_t pid) {
  const Stat stat = ReadStat(pid);
  return stat.seen ? stat.start_time : 0;
}

ProcessState StateOf(int64_t pid, uint64_t start_time) {
  const Stat stat = ReadStat(pid);
  if (stat.missing) return ProcessState::kGone;
  if (!stat.seen) return ProcessState::kRunning;
  if (stat.start_time != start_time || stat.state == 'Z' || stat.state == 'X') return ProcessState::kGone;
  return stat.state == 'T' || stat.state == 't' ? ProcessState::kStopped : ProcessState::kRunning;
}

}  // namespace orthant
