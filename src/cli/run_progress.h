// How far a run's folder says that the run has come, read from outside while nobody writes there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "orthant/launch/supervisor.h"

namespace orthant {

// The step of the last whole line of a metrics.jsonl; 0 when there is none. Reads the file's end alone.
int64_t LastStepOf(const std::string& metrics_file);

// Reads one run's folder again and again.
class RunWatch {
 public:
  explicit RunWatch(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  // The verdict is told once: one that was there at the call before belongs to an earlier failure.
  RunProgress Read();

 private:
  std::string run_dir_;
  std::filesystem::file_time_type verdict_time_{};
};

}  // namespace orthant
