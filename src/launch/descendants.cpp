#include "launch/descendants.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>

#include "absl/strings/numbers.h"

namespace orthant {
namespace {

struct Process {
  char state = 'X';
  pid_t parent = 0;
};

// "PID (NAME) STATE PARENT ...": the name may hold spaces and parentheses.
Process ReadProcess(const std::filesystem::path& folder) {
  Process process;
  std::ifstream file(folder / "stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 4 >= line.size()) return process;  // it has just gone
  process.state = line[name_end + 2];
  const std::string rest = line.substr(name_end + 4);
  if (!absl::SimpleAtoi(rest.substr(0, rest.find(' ')), &process.parent)) process.state = 'X';
  return process;
}

}  // namespace

std::vector<pid_t> RunningDescendants() {
  std::multimap<pid_t, pid_t> children;
  std::map<pid_t, Process> processes;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    pid_t id = 0;
    if (!absl::SimpleAtoi(entry->path().filename().string(), &id)) continue;
    const Process process = ReadProcess(entry->path());
    processes[id] = process;
    children.emplace(process.parent, id);
  }
  std::vector<pid_t> below = {::getpid()}, running;
  for (size_t i = 0; i < below.size(); ++i) {
    const auto [begin, end] = children.equal_range(below[i]);
    for (auto child = begin; child != end; ++child) {
      below.push_back(child->second);
      const char state = processes.at(child->second).state;
      if (state != 'Z' && state != 'X') running.push_back(child->second);
    }
  }
  return running;
}

}  // namespace orthant
