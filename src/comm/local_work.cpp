// The arithmetic of the local collectives. A piece of work names no rank that must do it: any waiting member
// may.
#include <algorithm>
#include <cstring>

#include "absl/container/inlined_vector.h"
#include "comm/local_group.h"
#include "comm/reduce.h"

namespace orthant::local {
namespace {

constexpr int64_t kCopyPart = 512 << 10;     // bytes of one piece of copying
constexpr int64_t kReducePart = 128 << 10;   // bytes of one piece of reduction, of each buffer
constexpr int64_t kSmallestPart = 16 << 10;  // below this a piece costs more to hand out than to do

using Pointers = absl::InlinedVector<const void*, 64>;
using Targets = absl::InlinedVector<void*, 64>;

const Operation& First(const Slot& slot) {
  return *slot.members[0].operation;
}

bool Reduces(OpKind kind) {
  return kind == OpKind::kAllReduce || kind == OpKind::kReduce;
}

struct Copy {
  std::byte* to = nullptr;
  const std::byte* from = nullptr;
  int64_t elements = 0;
};

// What member `to` takes from member `from`, for the operations that only move data.
Copy CopyOf(const Slot& slot, const Operation& op, int to, int from) {
  const Published& receiver = slot.members[to];
  const Published& sender = slot.members[from];
  const int64_t share = op.count * op.element_size();
  switch (op.kind) {
    case OpKind::kBroadcast:
      if (from != op.peer || to == op.peer) return {};
      return {receiver.output, sender.input, op.count};
    case OpKind::kAllGather:
      return {receiver.output + from * share, sender.input, op.count};
    case OpKind::kGather:
      if (to != op.peer) return {};
      return {receiver.output + from * share, sender.input, op.count};
    case OpKind::kScatter:
      if (from != op.peer) return {};
      return {receiver.output, sender.input + to * share, op.count};
    case OpKind::kAllToAll:
      return {receiver.output + from * share, sender.input + to * share, op.count};
    case OpKind::kAllToAllSplit: {
      const std::vector<int64_t>& sends = *sender.operation->input_counts;
      const std::vector<int64_t>& receives = *receiver.operation->output_counts;
      int64_t in = 0;
      int64_t out = 0;
      for (int i = 0; i < to; ++i) in += sends[i];
      for (int i = 0; i < from; ++i) out += receives[i];
      return {receiver.output + out * op.element_size(), sender.input + in * op.element_size(), sends[to]};
    }
    default:
      return {};
  }
}

// Part `part` of `parts` of everything that member `to` takes.
void CopyPart(const Slot& slot, const Operation& op, int members, int to, int64_t part, int64_t parts) {
  for (int from = 0; from < members; ++from) {
    const Copy copy = CopyOf(slot, op, to, from);
    const int64_t begin = copy.elements * part / parts;
    const int64_t end = copy.elements * (part + 1) / parts;
    if (begin == end || copy.to == copy.from) continue;
    const int64_t size = op.element_size();
    std::memcpy(copy.to + begin * size, copy.from + begin * size, static_cast<size_t>((end - begin) * size));
  }
}

// Elements of one piece: a multiple of a cache line, so that two threads never write to the same one.
int64_t PieceElements(int64_t count, int64_t parts) {
  const int64_t piece = (count + parts - 1) / parts;
  return (piece + 63) / 64 * 64;
}

// The inputs of all members, moved on to `offset` bytes.
Pointers Inputs(const Slot& slot, int members, int64_t offset) {
  Pointers inputs(members);
  for (int member = 0; member < members; ++member) inputs[member] = slot.members[member].input + offset;
  return inputs;
}

void ReducePart(const Slot& slot, const Operation& op, int members, int64_t part) {
  const int64_t piece = PieceElements(op.count, slot.parts);
  const int64_t begin = std::min(op.count, part * piece);
  const int64_t end = std::min(op.count, begin + piece);
  Targets targets;
  if (op.kind == OpKind::kReduce) {
    targets.push_back(slot.members[op.peer].output);
  } else {
    for (int member = 0; member < members; ++member) targets.push_back(slot.members[member].output);
  }
  ReduceInto(op.dtype, op.reduce, Inputs(slot, members, 0).data(), members, targets.data(),
             static_cast<int>(targets.size()), begin, end);
}

void ReduceScatterPart(const Slot& slot, const Operation& op, int members, int to, int64_t part,
                       int64_t parts) {
  const int64_t piece = PieceElements(op.count, parts);
  const int64_t begin = std::min(op.count, part * piece);
  const int64_t end = std::min(op.count, begin + piece);
  void* target = slot.members[to].output;
  ReduceInto(op.dtype, op.reduce, Inputs(slot, members, to * op.count * op.element_size()).data(), members,
             &target, 1, begin, end);
}

}  // namespace

int64_t EagerBytes(const Operation& op, int members, int member) {
  const int64_t share = op.count * op.element_size();
  switch (op.kind) {
    case OpKind::kAllReduce:
    case OpKind::kReduce:
    case OpKind::kAllGather:
    case OpKind::kGather:
      return share;
    case OpKind::kReduceScatter:
    case OpKind::kAllToAll:
      return members * share;
    case OpKind::kBroadcast:
      return member < 0 || member == op.peer ? share : 0;
    case OpKind::kScatter:
      return member < 0 || member == op.peer ? members * share : 0;
    case OpKind::kBarrier:
      return 0;
    default:
      return -1;  // all_to_all_split: the members cannot know each other's sizes beforehand
  }
}

void PlanItems(Slot* slot, int members) {
  const Operation& op = First(*slot);
  const int64_t share = op.count * op.element_size();
  if (Reduces(op.kind)) {
    const int64_t piece = std::clamp(share / (2 * members), kSmallestPart, kReducePart);
    slot->parts = std::max<int64_t>(1, (share + piece - 1) / piece);
    slot->items = slot->parts;
    return;
  }
  int64_t bytes = share;  // what one member receives
  if (op.kind == OpKind::kAllGather || op.kind == OpKind::kAllToAll || op.kind == OpKind::kGather) {
    bytes *= members;
  } else if (op.kind == OpKind::kAllToAllSplit) {
    for (int member = 0; member < members; ++member) {
      int64_t elements = 0;
      for (const int64_t count : *slot->members[member].operation->output_counts) elements += count;
      bytes = std::max(bytes, elements * op.element_size());
    }
  }
  const int64_t limit = op.kind == OpKind::kReduceScatter ? kReducePart : kCopyPart;
  const int64_t piece = std::clamp(bytes / 2, kSmallestPart, limit);
  slot->parts = std::max<int64_t>(1, (bytes + piece - 1) / piece);
  slot->items = slot->parts * (op.kind == OpKind::kGather ? 1 : members);
}

void RunItem(const Slot& slot, int members, int64_t item) {
  const Operation& op = First(slot);
  if (Reduces(op.kind)) return ReducePart(slot, op, members, item);
  const int to = op.kind == OpKind::kGather ? op.peer : static_cast<int>(item / slot.parts);
  const int64_t part = item % slot.parts;
  if (op.kind == OpKind::kReduceScatter) return ReduceScatterPart(slot, op, members, to, part, slot.parts);
  CopyPart(slot, op, members, to, part, slot.parts);
}

void RunEager(const Slot& slot, int members, int member) {
  // The member's own operation: after the meeting the others may leave and take theirs with them.
  const Operation& op = *slot.members[member].operation;
  if (op.kind == OpKind::kBarrier || op.count == 0) return;
  void* target = op.output;
  switch (op.kind) {
    case OpKind::kReduce:
      if (member != op.peer) return;
      [[fallthrough]];
    case OpKind::kAllReduce:
      return ReduceInto(op.dtype, op.reduce, Inputs(slot, members, 0).data(), members, &target, 1, 0,
                        op.count);
    case OpKind::kReduceScatter:
      return ReduceScatterPart(slot, op, members, member, 0, 1);
    default:
      return CopyPart(slot, op, members, member, 0, 1);
  }
}

}  // namespace orthant::local
