// UnitQueue: what a rank's units under ZeRO 2 and 3 agree on: which unit is gathered ahead of its use, and
// how many whole gradients may be on their way at once.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

namespace orthant {

// What the queue sees of a unit.
class QueuedUnit {
 public:
  virtual ~QueuedUnit() = default;
  virtual int64_t value_bytes() const = 0;
  virtual bool gathered() const = 0;   // the values are whole
  virtual bool gathering() const = 0;  // or on their way
  virtual void StartGather() = 0;
  virtual void PrefetchValues() = 0;  // offloaded values come to memory: a hint
  virtual void FinishReduction() = 0;
};

// One rank's thread. The order of use is learnt as it happens, in each direction, and is the same on all
// ranks of a stage; so are the gathers that follow from it.
class UnitQueue {
 public:
  enum class Direction { kForward, kBackward };

  // `prefetch_bytes` 0: nothing is gathered ahead of its use; else the next unit, and more while they fit,
  // but no more than `most_ahead` units.
  explicit UnitQueue(int64_t prefetch_bytes = 0, int most_ahead = std::numeric_limits<int>::max())
      : prefetch_bytes_(prefetch_bytes), most_ahead_(most_ahead) {}

  // Before each forward or backward of a microbatch.
  void Enter(Direction direction);
  // `unit` has been gathered because it is read now: the ones that followed it last time are started.
  void Used(QueuedUnit* unit);

  // Each gather, whether ahead or not, tells when it begins and ends.
  void GatherBegins() { ++gathers_; }
  void GatherEnds() { --gathers_; }

  // A reduction of `unit` is under way.
  void Reducing(QueuedUnit* unit) { reducing_.push_back(unit); }
  void Reduced(QueuedUnit* unit);
  // Before another whole gradient is allocated: leaves at most one on its way.
  void MakeRoom();

 private:
  int64_t prefetch_bytes_;
  int most_ahead_, gathers_ = 0;
  Direction direction_ = Direction::kForward;
  std::array<std::vector<QueuedUnit*>, 2> order_;  // by direction: as gathered in the latest microbatch
  size_t used_ = 0;                                // of that order, in this microbatch
  std::deque<QueuedUnit*> reducing_;
};

}  // namespace orthant
