#include "cli/launch_log.h"

#include <fstream>

#include "orthant/core/file.h"

namespace orthant {

void LaunchLog::Add(const std::string& line) {
  stderr_.Info("launch: " + line);
  if (run_dir_.empty()) return;
  file_.Info(line);
  Write();
}

void LaunchLog::Write() {
  if (kept_.str().empty() || !FileExists(run_dir_ + "/config.yaml")) return;
  std::ofstream file(run_dir_ + "/launch.log", std::ios::app);
  if (file << kept_.str() << std::flush) kept_.str("");
}

}  // namespace orthant
