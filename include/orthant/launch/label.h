// Whose line it is: reads the labels that rank launchers put in front of what their ranks print, and writes
// ours.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "orthant/launch/launch_plan.h"

namespace orthant {

struct RankLine {
  int64_t rank = -1;  // -1: the launcher's own
  std::string text;

  bool operator==(const RankLine&) const = default;
};

// Puts the ranks' lines together. OpenMPI (--tag-output) labels each piece that it got from a rank,
// "[1,3]<stdout>:", which may end within a line, and pieces of several ranks may stand behind each other;
// srun (--label) writes "3: text", PALS (--label) "host 3: text" or "3: text", MPICH (-prepend-rank) "[3]
// text". One thread.
class LabelReader {
 public:
  explicit LabelReader(RankStarter starter) : starter_(starter) {}

  // The lines that end with this line of the launcher's output (`stream` 1: stdout, 2: stderr).
  std::vector<RankLine> Take(int stream, absl::string_view line);
  // What ranks have begun on that stream and not ended.
  std::vector<RankLine> Rest(int stream);

 private:
  RankStarter starter_;
  std::map<std::pair<int, int64_t>, std::string> begun_;  // by stream and rank
};

// What the user sees of it: rank 0's lines and the launcher's as they are, others as "[rank 3 n2] text".
std::string Relabelled(const LaunchPlan& plan, const RankLine& line);

}  // namespace orthant
