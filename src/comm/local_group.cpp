#include "comm/local_group.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "comm/local_inbox.h"

namespace orthant::local {
namespace {

uint32_t Head(const Operation& op) {
  return static_cast<uint32_t>(op.kind) | static_cast<uint32_t>(op.reduce) << 8 |
         static_cast<uint32_t>(op.dtype) << 16;
}

bool SameLabel(const Label& a, const Label& b) {
  return a.layer == b.layer && a.microbatch == b.microbatch && std::strcmp(a.what, b.what) == 0;
}

// Bytes below which a member copies its input to the table instead of lending its memory: one meeting of the
// members instead of two, for n times the arithmetic.
int64_t EagerLimit(int members) {
  return std::clamp<int64_t>(32768 / members / 64 * 64, 256, 4096);
}

}  // namespace

Chunk::Chunk(int member_count, int64_t eager_limit)
    : members(member_count),
      published(std::make_unique<Published[]>(static_cast<size_t>(kDepth) * member_count)),
      eager(new std::byte[static_cast<size_t>(kDepth) * member_count * eager_limit]) {
  for (int i = 0; i < kDepth; ++i) {
    slots[i].members = &published[static_cast<size_t>(i) * member_count];
    slots[i].eager = &eager[static_cast<size_t>(i) * member_count * eager_limit];
  }
}

Group::Group(std::shared_ptr<World> world, std::string name, std::vector<int> world_ranks)
    : world_(std::move(world)),
      name_(std::move(name)),
      world_ranks_(std::move(world_ranks)),
      eager_limit_(EagerLimit(size())) {
  chunks_.push_back(std::make_unique<Chunk>(size(), eager_limit_));
  first_ = chunks_.back().get();
  for (int member = 0; member < size(); ++member)
    inboxes_.push_back(std::make_unique<Inbox>(size(), world_->check()));
}

Group::~Group() = default;

Chunk* Group::Next(Chunk* chunk) {
  if (Chunk* next = chunk->next.load(std::memory_order_acquire)) return next;
  const std::lock_guard lock(mutex_);
  if (Chunk* next = chunk->next.load(std::memory_order_acquire)) return next;
  Chunk* fresh = nullptr;
  if (free_.empty()) {
    chunks_.push_back(std::make_unique<Chunk>(size(), eager_limit_));
    fresh = chunks_.back().get();
  } else {
    fresh = free_.back();
    free_.pop_back();
  }
  chunk->next.store(fresh, std::memory_order_release);
  return fresh;
}

void Group::Leave(const Place& place, int member) {
  Chunk& chunk = *place.chunk;
  if (++chunk.members[member].left < Chunk::kDepth) return;
  chunk.members[member].left = 0;
  if (chunk.done_members.fetch_add(1, std::memory_order_acq_rel) + 1 < size()) return;
  // Every member has left every slot and stands in a later chunk: nobody looks here any more.
  chunk.done_members.store(0, std::memory_order_relaxed);
  chunk.next.store(nullptr, std::memory_order_relaxed);
  for (Slot& slot : chunk.slots) {
    slot.state.Reset(kGathering);
    slot.arrived.store(0, std::memory_order_relaxed);
    slot.next_item.store(0, std::memory_order_relaxed);
    slot.finished_items.store(0, std::memory_order_relaxed);
  }
  const std::lock_guard lock(mutex_);
  free_.push_back(&chunk);
}

Group::Place Group::Publish(Cursor* cursor, int member, const Operation& op) {
  world_->CheckAlive(op, name_);
  const Place place{cursor->chunk, &cursor->chunk->slots[cursor->index]};
  // Move on at once, so that leaving the last slot of a chunk means having left the chunk.
  if (++cursor->index == Chunk::kDepth) *cursor = {Next(cursor->chunk), 0};
  Slot& slot = *place.slot;
  Published& mine = slot.members[member];
  mine.head = Head(op);
  mine.peer = op.peer;
  mine.count = op.count;
  mine.input = static_cast<const std::byte*>(op.input);
  mine.output = static_cast<std::byte*>(op.output);
  mine.operation = &op;
  mine.label = op.label;
  const int64_t bytes = EagerBytes(op, size(), -1);
  if (bytes >= 0 && bytes <= eager_limit_) {
    std::byte* copy = slot.eager + member * eager_limit_;
    const int64_t own = EagerBytes(op, size(), member);
    if (own > 0) std::memcpy(copy, op.input, static_cast<size_t>(own));
    mine.input = copy;
  }
  mine.sequence.store(op.sequence, std::memory_order_release);
  if (slot.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) Verify(&slot, member);
  return place;
}

// The last to arrive compares what all have published and opens the work, or ends the world. Under the lock
// no member can give up and take its Operation with it.
void Group::Verify(Slot* slot, int last) {
  const std::lock_guard lock(mutex_);
  if (slot->state.Load() != kGathering) return;
  const Published& first = slot->members[0];
  for (int member = 1; member < size(); ++member) {
    const Published& other = slot->members[member];
    bool same = other.head == first.head && other.peer == first.peer && other.count == first.count;
    if (same && world_->check()) same = SameLabel(first.label, other.label);
    std::string shares;
    if (same && first.operation->kind == OpKind::kAllToAllSplit) {
      for (int peer = 0; peer <= member && same; ++peer) {
        const Operation& a = *slot->members[peer].operation;
        const Operation& b = *other.operation;
        same = (*a.input_counts)[member] == (*b.output_counts)[peer] &&
               (*b.input_counts)[peer] == (*a.output_counts)[member];
        if (!same) {
          shares = absl::StrFormat(
              "; rank %d sends %d to rank %d, which expects %d, and gets %d from it, expecting %d", peer,
              (*a.input_counts)[member], member, (*b.output_counts)[peer], (*b.input_counts)[peer],
              (*a.output_counts)[member]);
        }
      }
    }
    if (same) continue;
    Fail(slot, last, /*deadline=*/false,
         absl::StrFormat("the ranks of %s disagree on collective %d: rank 0 calls %s, rank %d calls %s%s",
                         name_, first.operation->sequence, orthant::Describe(*first.operation), member,
                         orthant::Describe(*other.operation), shares));
    return;
  }
  const int64_t bytes = EagerBytes(*first.operation, size(), -1);
  if (bytes >= 0 && bytes <= eager_limit_) {
    slot->items = 0;
  } else {
    PlanItems(slot, size());
  }
  slot->state.Exchange(kGathering, kReady);
}

void Group::Fail(Slot* slot, int member, bool deadline, const std::string& error) {
  slot->error = error;
  slot->state.Exchange(kGathering, kFailed);
  world_->Abort({world_ranks_[member], deadline, error});
}

std::string Group::WhoAndWhat(int member) const {
  return absl::StrFormat("rank %d (world rank %d; last: %s)", member, world_ranks_[member],
                         world_->recorder(world_ranks_[member])->Last());
}

std::string Group::Late(const Slot& slot, int member, const Operation& op) const {
  std::vector<std::string> missing;
  for (int other = 0; other < size(); ++other) {
    if (slot.members[other].sequence.load(std::memory_order_acquire) != op.sequence) {
      missing.push_back(WhoAndWhat(other));
    }
  }
  return absl::StrFormat("%s.%s seq=%d on rank %d of %d waited %.3g s; missing: %s", name_,
                         orthant::Describe(op), op.sequence, member, size(),
                         world_->timeout(world_ranks_[member]), absl::StrJoin(missing, ", "));
}

void Group::AwaitReady(Slot* slot, int member, const Operation& op) {
  world_->Linger([slot] { return slot->state.Load() != kGathering; });
  if (slot->state.Load() == kGathering) {
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::duration<double> limit(world_->timeout(world_ranks_[member]));
    while (slot->state.Load() == kGathering) {
      slot->state.SleepWhile(kGathering, World::kPoll);
      if (slot->state.Load() != kGathering) break;
      if (world_->aborted()) {
        // Not ready yet, so nobody works on our memory, and from now on nobody may begin to.
        const std::lock_guard lock(mutex_);
        slot->state.Exchange(kGathering, kFailed);
      } else if (std::chrono::steady_clock::now() - start >= limit) {
        const std::string verdict = Late(*slot, member, op);
        const std::lock_guard lock(mutex_);
        if (slot->state.Load() == kGathering) Fail(slot, member, /*deadline=*/true, verdict);
      }
    }
  }
  if (slot->state.Load() != kFailed) return;
  const std::lock_guard lock(mutex_);
  if (slot->error.empty()) world_->CheckAlive(op, name_);
  throw CommError(slot->error);
}

std::optional<FlightRecorder::Clock::time_point> Group::Complete(const Place& place, int member,
                                                                 const Operation& op) {
  Slot& slot = *place.slot;
  std::optional<FlightRecorder::Clock::time_point> ended;
  AwaitReady(&slot, member, op);
  if (slot.items == 0) {
    RunEager(slot, size(), member);
  } else {
    int64_t item = 0;
    while ((item = slot.next_item.fetch_add(1, std::memory_order_relaxed)) < slot.items) {
      RunItem(slot, size(), item);
      if (slot.finished_items.fetch_add(1, std::memory_order_acq_rel) + 1 == slot.items) {
        slot.ended = FlightRecorder::Clock::now();
        slot.state.Store(kComplete);
      }
    }
    world_->Linger([&slot] { return slot.state.Load() == kComplete; });
    // No deadline: what is left is memory being copied by running threads.
    while (slot.state.Load() != kComplete) slot.state.SleepWhile(kReady, World::kPoll);
    ended = slot.ended;
  }
  Leave(place, member);
  return ended;
}

std::string Group::Confer(int member, const std::string& text, const JudgeTexts& judge) {
  std::shared_ptr<Meeting> meeting;
  {
    const std::lock_guard lock(mutex_);
    if (!meeting_) meeting_ = std::make_shared<Meeting>(size());
    meeting = meeting_;
    meeting->texts[static_cast<size_t>(member)] = text;
    if (++meeting->came == size()) {
      meeting_.reset();
      meeting->said = judge(meeting->texts);
      meeting->over.store(true, std::memory_order_release);
    }
  }
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(world_->timeout(world_ranks_[member]));
  while (!meeting->over.load(std::memory_order_acquire)) {
    if (world_->aborted() || std::chrono::steady_clock::now() - start >= limit) {
      throw PeerFailed(absl::StrFormat("%s: not all ranks came to compare what they called", name_));
    }
    std::this_thread::sleep_for(World::kPoll / 10);
  }
  return meeting->said;
}

std::shared_ptr<Group> Group::Join(const std::vector<int>& members, const std::string& name, int nth) {
  const std::string key = absl::StrCat(name, "#", nth, ":", absl::StrJoin(members, ","));
  const std::lock_guard lock(mutex_);
  Joining& entry = joining_[key];
  if (!entry.group) {
    std::vector<int> ranks;
    for (const int member : members) ranks.push_back(world_ranks_[member]);
    entry.group = std::make_shared<Group>(world_, name, std::move(ranks));
  }
  std::shared_ptr<Group> group = entry.group;
  if (++entry.joined == static_cast<int>(members.size())) joining_.erase(key);
  return group;
}

}  // namespace orthant::local
