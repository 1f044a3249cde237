// What `orthant launch` tells: lines on stderr, and in the run's launch.log as soon as there is a run.
#pragma once

#include <sstream>
#include <string>

#include "orthant/core/log.h"

namespace orthant {

// Lines for the user: on stderr at once, and in RUN_DIR/launch.log as soon as there is a run in that folder
// (one that holds files, but no run, is refused by `train`). `run_dir` "": on stderr only.
class LaunchLog {
 public:
  explicit LaunchLog(std::string run_dir) : run_dir_(std::move(run_dir)), file_(&kept_, LogLevel::kInfo) {}

  void Add(const std::string& line);
  void Write();

 private:
  std::string run_dir_;
  std::ostringstream kept_;  // not in the file yet
  Logger stderr_, file_;
};

}  // namespace orthant
