#include "support/fake_order.h"

#include <algorithm>

namespace orthant::testing {
namespace {

class Devices {
 public:
  explicit Devices(std::vector<std::vector<IssuedOperation>> issued)
      : issued_(std::move(issued)), next_(issued_.size(), 0) {}

  bool Step() {
    bool moved = false;
    for (size_t rank = 0; rank < issued_.size(); ++rank) {
      IssuedOperation* first = Head(rank);
      if (first != nullptr) moved = (first->parts.empty() ? Meet(*first) : Exchange(rank, first)) || moved;
    }
    return moved;
  }

  std::string Stuck() {
    std::string text;
    for (size_t rank = 0; rank < issued_.size(); ++rank) {
      if (Head(rank) == nullptr) continue;
      text += (text.empty() ? "communicators are used in different orders: rank " : ", rank ") +
              std::to_string(rank) + " has come to " + Head(rank)->name;
    }
    return text;
  }

 private:
  IssuedOperation* Head(size_t rank) {
    return next_[rank] < issued_[rank].size() ? &issued_[rank][next_[rank]] : nullptr;
  }

  // A collective ends when all members stand at it.
  bool Meet(const IssuedOperation& first) {
    const std::vector<int> members = first.members;
    const std::string name = first.name;
    for (const int member : members) {
      const IssuedOperation* other = Head(static_cast<size_t>(member));
      if (other == nullptr || other->name != name || other->communicator != first.communicator) return false;
    }
    for (const int member : members) ++next_[static_cast<size_t>(member)];
    return true;
  }

  // A part of a group ends when its peer stands at a group with its counterpart.
  bool Exchange(size_t rank, IssuedOperation* first) {
    bool moved = false;
    for (IssuedOperation::Part& part : first->parts) {
      IssuedOperation* other = Head(static_cast<size_t>(part.peer));
      if (part.done || other == nullptr || other->communicator != first->communicator) continue;
      for (IssuedOperation::Part& counterpart : other->parts) {
        if (counterpart.done || counterpart.send == part.send || counterpart.peer != static_cast<int>(rank)) {
          continue;
        }
        part.done = counterpart.done = true;
        moved = true;
        break;
      }
    }
    const auto done = [](const IssuedOperation::Part& part) { return part.done; };
    if (!std::all_of(first->parts.begin(), first->parts.end(), done)) return moved;
    ++next_[rank];
    return true;
  }

  std::vector<std::vector<IssuedOperation>> issued_;
  std::vector<size_t> next_;
};

}  // namespace

std::string FindOrderFault(std::vector<std::vector<IssuedOperation>> issued) {
  Devices devices(std::move(issued));
  while (devices.Step()) {
  }
  return devices.Stuck();
}

}  // namespace orthant::testing
