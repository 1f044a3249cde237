#include "comm/local_communicator.h"

#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace orthant::local {
namespace {

Inbox& InboxOf(Group& group, int rank, const Operation& op) {
  return group.inbox(op.kind == OpKind::kSend ? op.peer : rank);
}

int SenderOf(int rank, const Operation& op) {
  return op.kind == OpKind::kSend ? rank : op.peer;
}

void Post(Group& group, int rank, Message* message) {
  group.world().CheckAlive(message->op, group.name());
  message->parking = &group.world().parking(group.world_rank(rank));
  Inbox& inbox = InboxOf(group, rank, message->op);
  if (message->op.kind == OpKind::kSend) {
    inbox.Put(message, rank);
  } else {
    inbox.Take(message, message->op.peer);
  }
}

// Waits until a posted message has been matched and copied.
void Await(Group& group, int rank, Message* message) {
  World& world = group.world();
  const auto pending = [message] {
    return message->state.load(std::memory_order_acquire) == MessageState::kPending;
  };
  world.Linger([&pending] { return !pending(); });
  if (pending()) {
    const auto start = std::chrono::steady_clock::now();
    const std::chrono::duration<double> limit(world.timeout(group.world_rank(rank)));
    while (true) {
      const uint32_t events = message->parking->Load();
      if (!pending()) break;
      message->parking->SleepWhile(events, World::kPoll);
      if (!pending()) break;
      const bool late = std::chrono::steady_clock::now() - start >= limit;
      if (!late && !world.aborted()) continue;
      const Operation& op = message->op;
      // A matched message is being copied by a running thread: it ends by itself.
      if (!InboxOf(group, rank, op).Cancel(message, SenderOf(rank, op))) {
        while (pending()) std::this_thread::yield();
        break;
      }
      world.CheckAlive(op, group.name());
      const std::string error =
          absl::StrFormat("%s.%s on rank %d of %d waited %.3g s; missing: %s", group.name(), Describe(op),
                          rank, group.size(), limit.count(), group.WhoAndWhat(op.peer));
      message->error = error;
      message->state.store(MessageState::kFailed, std::memory_order_release);
      world.Abort({group.world_rank(rank), true, error});
    }
  }
  // The other side may hold the message a moment longer: its owner, not a stranger, lets go of the tensor.
  message->tensor.reset();
  if (message->state.load(std::memory_order_acquire) != MessageState::kFailed) return;
  world.Abort({group.world_rank(rank), false, message->error});
  throw CommError(message->error);
}

// What every asynchronous operation remembers: how it ended, for the second Wait and for the recorder.
class Pending : public Work::State {
 public:
  Pending(std::shared_ptr<Group> group, int rank, std::shared_ptr<FlightRecorder> recorder, uint64_t ticket)
      : group_(std::move(group)), rank_(rank), recorder_(std::move(recorder)), ticket_(ticket) {}

  void Wait() override {
    if (!ended_) {
      ended_ = true;
      try {
        recorder_->Mark(ticket_, FlightState::kStarted);
        recorder_->SetWaiting(ticket_);
        Carry();
        if (over_) recorder_->NoteOver(ticket_, *over_);
        recorder_->Mark(ticket_, FlightState::kDone);
      } catch (...) {
        recorder_->Mark(ticket_, FlightState::kFailed);
        error_ = std::current_exception();
      }
    }
    if (error_) std::rethrow_exception(error_);
  }

  std::optional<FlightRecorder::Clock::time_point> Ended() const override { return over_; }

 protected:
  virtual void Carry() = 0;

  bool ended() const { return ended_; }

  const std::shared_ptr<Group> group_;
  const int rank_;
  std::optional<FlightRecorder::Clock::time_point> over_;

 private:
  std::shared_ptr<FlightRecorder> recorder_;
  uint64_t ticket_;
  bool ended_ = false;
  std::exception_ptr error_;
};

class PendingCollective : public Pending {
 public:
  PendingCollective(std::shared_ptr<Group> group, int rank, std::shared_ptr<FlightRecorder> recorder,
                    const Operation& op, at::Tensor output, at::Tensor input)
      : Pending(std::move(group), rank, std::move(recorder), op.ticket),
        op_(op),
        output_(std::move(output)),
        input_(std::move(input)) {
    if (op.kind != OpKind::kAllToAllSplit) return;
    input_counts_ = *op.input_counts;
    output_counts_ = *op.output_counts;
    op_.input_counts = &input_counts_;
    op_.output_counts = &output_counts_;
  }

  // The others use our memory until the collective is over, so nobody may let go of it earlier. When we are
  // being unwound by an error the others may never come: then the world ends, and what has not begun never
  // begins.
  ~PendingCollective() override {
    if (ended() || place_.slot == nullptr) return;
    if (std::uncaught_exceptions() > 0) {
      group_->world().Abort(
          {group_->world_rank(rank_), false,
           absl::StrFormat("%s dropped %s unfinished", group_->WhoAndWhat(rank_), Describe(op_))});
    }
    try {
      Wait();
    } catch (...) {  // recorded; a destructor has nobody to tell
    }
  }

  void Publish(Group::Cursor* cursor) { place_ = group_->Publish(cursor, rank_, op_); }

 protected:
  void Carry() override { over_ = group_->Complete(place_, rank_, op_); }

 private:
  Operation op_;
  at::Tensor output_;
  at::Tensor input_;
  std::vector<int64_t> input_counts_;
  std::vector<int64_t> output_counts_;
  Group::Place place_;
};

// Dropped unfinished, the queue keeps the message and its memory until the other side comes.
class PendingMessage : public Pending {
 public:
  PendingMessage(std::shared_ptr<Group> group, int rank, std::shared_ptr<FlightRecorder> recorder,
                 const Operation& op, at::Tensor tensor)
      : Pending(std::move(group), rank, std::move(recorder), op.ticket),
        message_(std::make_shared<Message>()) {
    message_->op = op;
    message_->tensor = std::move(tensor);
  }

  void Post() { local::Post(*group_, rank_, message_.get()); }

 protected:
  void Carry() override {
    Await(*group_, rank_, message_.get());
    over_ = message_->ended;
  }

 private:
  std::shared_ptr<Message> message_;
};

}  // namespace

LocalCommunicator::LocalCommunicator(std::shared_ptr<Group> group, int rank)
    : Communicator(rank, group->world_ranks(), group->name(),
                   group->world().recorder(group->world_rank(rank))),
      group_(std::move(group)),
      cursor_(group_->Start()) {}

void LocalCommunicator::Do(const Operation& op, const at::Tensor&, const at::Tensor&) {
  if (!op.point_to_point()) {
    const Group::Place place = group_->Publish(&cursor_, rank(), op);
    group_->Complete(place, rank(), op);
    return;
  }
  Message message;
  message.op = op;
  Post(*group_, rank(), &message);
  Await(*group_, rank(), &message);
}

Work LocalCommunicator::DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  if (op.point_to_point()) {
    auto state = std::make_shared<PendingMessage>(group_, rank(), flight_recorder(), op,
                                                  op.kind == OpKind::kSend ? input : output);
    state->Post();
    return Work(std::move(state));
  }
  auto state = std::make_shared<PendingCollective>(group_, rank(), flight_recorder(), op, output, input);
  state->Publish(&cursor_);
  return Work(std::move(state));
}

std::unique_ptr<Communicator> LocalCommunicator::Subgroup(const std::vector<int>& members, std::string name) {
  const int index = CheckMembers(members, name);
  const int nth = subgroups_made_[absl::StrCat(name, ":", absl::StrJoin(members, ","))]++;
  auto made = std::make_unique<LocalCommunicator>(group_->Join(members, name, nth), index);
  made->SetFilter(filter());
  return made;
}

std::string LocalCommunicator::Confer(const std::string& text, const JudgeTexts& judge) {
  return group_->Confer(rank(), text, judge);
}

}  // namespace orthant::local
