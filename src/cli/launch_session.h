// A launch under way: the plan in use, which changes when a host is lost or the ranks become fewer, and the
// ranks' output as the user sees it.
#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/launch_log.h"
#include "orthant/launch/cluster_config.h"
#include "orthant/launch/label.h"
#include "orthant/launch/launch_plan.h"
#include "orthant/launch/surroundings.h"

namespace orthant {

struct SessionOptions {
  LaunchRequest request;
  ClusterConfig cluster;
  LaunchPlan plan;      // of these two
  std::string self;     // this program
  std::string run_dir;  // of the run that is trained; "": none
  bool elastic = false;
};

// One thread calls Command, NextWithoutLost and Fewer; TakeLine may come from another.
class LaunchSession {
 public:
  LaunchSession(SessionOptions options, LaunchLog* log);
  ~LaunchSession();  // removes the rank file, prints what ranks have begun and not ended
  LaunchSession(const LaunchSession&) = delete;
  LaunchSession& operator=(const LaunchSession&) = delete;

  // The line of the present plan. EnvironmentError when its rank file cannot be written.
  absl::StatusOr<std::vector<std::string>> Command();
  // After a failure: when it lost hosts, the line without them - with spare hosts in their place, or
  // (elastic) fewer ranks. {}: none is lost, or the others are too few: the same line again.
  std::vector<std::string> NextWithoutLost();
  // The line with the next smaller parallel.data; {}: there is none.
  std::vector<std::string> Fewer();
  // A line that the command has written: printed with its rank's label.
  void TakeLine(int stream, absl::string_view line);

 private:
  bool ReplanFor(const std::vector<std::string>& without);
  bool Shrink();
  std::vector<std::string> Next();
  std::vector<int> Unanswering();
  void PrintRest();

  SessionOptions options_;
  LaunchLog* const log_;
  const Surroundings surroundings_;
  std::string rank_file_;  // "": not written
  std::filesystem::file_time_type verdict_time_{};
  std::mutex mutex_;
  LaunchPlan printed_;                 // whose ranks TakeLine names; under mutex_
  LabelReader labels_;                 // of it; under mutex_
  std::vector<std::string> reported_;  // hosts that the launcher has said are lost; under mutex_
};

}  // namespace orthant
