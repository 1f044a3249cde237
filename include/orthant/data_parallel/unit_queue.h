// UnitQueue: what a rank's units under ZeRO 2 and 3 agree on: which unit is gathered ahead of its use, and
// how many whole gradients may be on their way at once.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

namespace orthant {

class ShardedUnit;

// One rank's thread. The order of use is learnt as it happens, in each direction, and is the same on all
// ranks of a stage; so are the gathers that follow from it.
class UnitQueue {
 public:
  enum class Direction { kForward, kBackward };

  // At most `prefetch_bytes` of values, and `most_ahead` units, are gathered ahead of their use.
  explicit UnitQueue(int64_t prefetch_bytes = 0, int most_ahead = std::numeric_limits<int>::max())
      : prefetch_bytes_(prefetch_bytes), most_ahead_(most_ahead) {}

  // Before each forward or backward of a microbatch.
  void Enter(Direction direction);
  // `unit` has been gathered because it is read now: the ones that followed it last time are started.
  void Used(ShardedUnit* unit);

  // Each gather, whether ahead or not, tells when it begins and ends.
  void GatherBegins() { ++gathers_; }
  void GatherEnds() { --gathers_; }

  // A reduction of `unit` is under way.
  void Reducing(ShardedUnit* unit) { reducing_.push_back(unit); }
  void Reduced(ShardedUnit* unit);
  // Before another whole gradient is allocated: leaves at most one on its way.
  void MakeRoom();

 private:
  int64_t prefetch_bytes_;
  int most_ahead_, gathers_ = 0;
  Direction direction_ = Direction::kForward;
  std::array<std::vector<ShardedUnit*>, 2> order_;  // by direction: as gathered in the latest microbatch
  size_t used_ = 0;                                 // of that order, in this microbatch
  std::deque<ShardedUnit*> reducing_;
};

}  // namespace orthant
