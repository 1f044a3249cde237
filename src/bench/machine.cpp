#include "bench/machine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/ascii.h"

namespace orthant {
namespace {

// The value of the first line "KEY : value" of a file of the kernel's; "" when there is none.
std::string KernelLine(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (absl::StripAsciiWhitespace(line.substr(0, colon)) != key) continue;
    return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return "";
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return std::string(text.data(), length);
}

}  // namespace

std::string HostName() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

int64_t AvailableMemory() {
  std::istringstream value(KernelLine("/proc/meminfo", "MemAvailable"));
  int64_t kib = 0;
  return value >> kib ? kib * 1024 : -1;
}

LinkFile DescribeMachine() {
  LinkFile file;
  file.date = Now();
  file.host = HostName();
  file.processor = KernelLine("/proc/cpuinfo", "model name");
  if (file.processor.empty()) file.processor = "unknown";
  file.cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
  return file;
}

}  // namespace orthant
