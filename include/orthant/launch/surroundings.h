// What the launcher can see of the machine that it runs on - variables, files, programs - as functions, so
// that detection is a pure function of them, and tests replay recorded machines.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace orthant {

struct Surroundings {
  std::function<std::string(const std::string& name)> variable;  // "" when it is not set
  std::function<std::vector<std::string>()> variable_names;      // of the whole environment
  // DataError when it is missing or cannot be read.
  std::function<absl::StatusOr<std::string>(const std::string& path)> read_file;
  std::function<std::vector<std::string>(const std::string& path)>
      list_folder;                                              // names in order; {}: none there
  std::function<bool(const std::string& program)> has_program;  // a path, or a name on PATH
  // What the program prints on stdout and stderr; "" when it is missing or fails.
  std::function<std::string(const std::vector<std::string>& command)> output_of;
  std::string host;  // this machine's name
};

// Of this process. Its functions may be called from any thread while nobody changes the environment.
Surroundings RealSurroundings();

}  // namespace orthant
