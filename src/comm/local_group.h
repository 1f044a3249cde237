// One group of a local world: the table on which its members publish collectives, and the work that follows.
// A collective is ready when all members have published it; whoever waits for it then does pieces of the
// work, for all members alike, so that a rank that computes meanwhile is not waited for (only its publication
// is).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "comm/local_world.h"
#include "comm/wait_word.h"
#include "orthant/comm/communicator.h"

namespace orthant::local {

// What one member publishes of one collective. One cache line, written by its member alone.
struct alignas(64) Published {
  std::atomic<uint64_t> sequence{0};  // of the collective; tells who has arrived
  uint32_t head = 0;                  // kind, reduce, dtype: must agree among the members
  int32_t peer = -1;
  int64_t count = 0;
  const std::byte* input = nullptr;  // the member's memory, or its eager copy
  std::byte* output = nullptr;
  const Operation* operation = nullptr;  // the member's own, valid until it leaves the collective
  Label label;
};

// The states of a collective, in a WaitWord. Only kGathering can turn into kFailed: once ready, nothing is
// left to wait for but memory being copied, and no buffer is let go of while a peer works on it.
enum SlotState : uint32_t { kGathering = 0, kReady = 1, kComplete = 2, kFailed = 3 };

struct Slot {
  alignas(64) WaitWord state;
  std::string error;                          // written under the group's mutex before state turns kFailed
  int64_t items = 0;                          // pieces of work; 0: eager. Written before state turns kReady
  int64_t parts = 1;                          // pieces per member's result, or of the whole
  FlightRecorder::Clock::time_point ended{};  // written before state turns kComplete
  alignas(64) std::atomic<int> arrived{0};
  alignas(64) std::atomic<int64_t> next_item{0};
  alignas(64) std::atomic<int64_t> finished_items{0};
  Published* members = nullptr;
  std::byte* eager = nullptr;  // eager_limit bytes a member
};

// Several slots, used in order, recycled when every member has left all of them: any number of asynchronous
// operations may be in flight, and blocking ones allocate nothing.
struct Chunk {
  static constexpr int kDepth = 8;
  struct alignas(64) Member {
    int left = 0;  // slots this member has left
  };
  Chunk(int members, int64_t eager_limit);

  Slot slots[kDepth];
  std::vector<Member> members;
  std::unique_ptr<Published[]> published;
  std::unique_ptr<std::byte[]> eager;
  std::atomic<Chunk*> next{nullptr};
  std::atomic<int> done_members{0};
};

class Inbox;

// One Confer: filled in under the group's mutex.
struct Meeting {
  explicit Meeting(int members) : texts(static_cast<size_t>(members)) {}
  std::vector<std::string> texts;
  int came = 0;
  std::string said;
  std::atomic<bool> over{false};
};

class Group {
 public:
  // `world_ranks`: the members, in group order.
  Group(std::shared_ptr<World> world, std::string name, std::vector<int> world_ranks);
  ~Group();

  int size() const { return static_cast<int>(world_ranks_.size()); }
  const std::string& name() const { return name_; }
  World& world() const { return *world_; }
  const std::shared_ptr<World>& shared_world() const { return world_; }
  const std::vector<int>& world_ranks() const { return world_ranks_; }
  int world_rank(int member) const { return world_ranks_[member]; }
  // Communicator::Confer of this group's members.
  std::string Confer(int member, const std::string& text, const JudgeTexts& judge);
  Inbox& inbox(int member) { return *inboxes_[member]; }

  // Where a member stands in the table. Owned and touched by the member's thread alone.
  struct Cursor {
    Chunk* chunk = nullptr;
    int index = 0;
  };
  struct Place {
    Chunk* chunk = nullptr;
    Slot* slot = nullptr;
  };
  Cursor Start() const { return {first_, 0}; }

  // Puts the collective on the table. `op` must stay where it is until Complete has returned or thrown.
  Place Publish(Cursor* cursor, int member, const Operation& op);
  // Waits for the others, works, and leaves. Throws CommError when the members disagree, the deadline passes
  // or the world ends; the member's buffers are then no longer used by anyone. -> when the last piece of work
  // was done; nullopt where each member does its own.
  std::optional<FlightRecorder::Clock::time_point> Complete(const Place& place, int member,
                                                            const Operation& op);

  // The subgroup that its members name alike; the last member to ask releases the entry.
  std::shared_ptr<Group> Join(const std::vector<int>& members, const std::string& name, int nth);

  std::string WhoAndWhat(int member) const;  // "rank 3 (world rank 7; last: ...)"

 private:
  Chunk* Next(Chunk* chunk);
  void Leave(const Place& place, int member);
  void Verify(Slot* slot, int last);
  void AwaitReady(Slot* slot, int member, const Operation& op);
  std::string Late(const Slot& slot, int member, const Operation& op) const;
  // Turns a gathering collective into a failed one and ends the world. Under mutex_.
  void Fail(Slot* slot, int member, bool deadline, const std::string& error);

  std::shared_ptr<World> world_;
  std::string name_;
  std::vector<int> world_ranks_;
  int64_t eager_limit_;
  Chunk* first_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;

  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<Chunk*> free_;
  struct Joining {
    std::shared_ptr<Group> group;
    int joined = 0;
  };
  std::map<std::string, Joining> joining_;
  std::shared_ptr<Meeting> meeting_;  // that members are coming to
};

// local_work.cpp: the arithmetic of the collectives, on what the members published.
int64_t EagerBytes(const Operation& op, int members, int member);  // the largest any member would copy
void PlanItems(Slot* slot, int members);                           // sets items and parts
void RunItem(const Slot& slot, int members, int64_t item);
void RunEager(const Slot& slot, int members, int member);

}  // namespace orthant::local
