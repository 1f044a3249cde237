#include "orthant/launch/surroundings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "orthant/core/file.h"
#include "orthant/core/subprocess.h"

extern char** environ;

namespace orthant {
namespace {

std::string Variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

std::vector<std::string> VariableNames() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    names.push_back(text.substr(0, text.find('=')));
  }
  return names;
}

std::vector<std::string> ListFolder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool IsProgram(const std::string& path) {
  return ::access(path.c_str(), X_OK) == 0 && !IsFolder(path);
}

bool HasProgram(const std::string& program) {
  if (program.find('/') != std::string::npos) return IsProgram(program);
  for (const absl::string_view folder : absl::StrSplit(Variable("PATH"), ':', absl::SkipEmpty())) {
    if (IsProgram(absl::StrCat(folder, "/", program))) return true;
  }
  return false;
}

std::string OutputOf(const std::vector<std::string>& command) {
  const absl::StatusOr<SubprocessResult> result = RunProgram(command);
  return result.ok() && result->exit_code == 0 ? result->output : "";
}

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

}  // namespace

Surroundings RealSurroundings() {
  return {Variable, VariableNames, ReadFile, ListFolder, HasProgram, OutputOf, HostName()};
}

}  // namespace orthant
