#include "comm/local_inbox.h"

#include <cstring>

#include "absl/strings/str_format.h"

namespace orthant::local {
namespace {

void Finish(Message* message, MessageState state) {
  // The owner may let go of the message as soon as it sees the state.
  WaitWord* parking = message->parking;
  message->ended = FlightRecorder::Clock::now();
  message->state.store(state, std::memory_order_release);
  if (parking != nullptr) parking->Bump();
}

// Copies the content from one end to the other and finishes both.
void Transfer(Message* send, Message* receive, bool check) {
  const Operation& from = send->op;
  const Operation& to = receive->op;
  const bool labels = !check || ToString(from.label) == ToString(to.label);
  if (from.count != to.count || from.dtype != to.dtype || !labels) {
    // Each end's `peer` is the other end's rank.
    const std::string error = absl::StrFormat("rank %d calls %s to rank %d, which calls %s", to.peer,
                                              Describe(from), from.peer, Describe(to));
    send->error = error;
    receive->error = error;
    Finish(send, MessageState::kFailed);
    Finish(receive, MessageState::kFailed);
    return;
  }
  if (from.count > 0) {
    std::memcpy(to.output, from.input, static_cast<size_t>(from.count * from.element_size()));
  }
  Finish(send, MessageState::kDone);
  Finish(receive, MessageState::kDone);
}

}  // namespace

void Inbox::Queue::Push(Message* message) {
  message->next = nullptr;
  message->queued = true;
  message->self = message->weak_from_this().lock();
  (tail == nullptr ? head : tail->next) = message;
  tail = message;
}

std::shared_ptr<Message> Inbox::Queue::Pop(Message** message) {
  *message = head;
  head = head->next;
  if (head == nullptr) tail = nullptr;
  (*message)->queued = false;
  return std::move((*message)->self);
}

bool Inbox::Queue::Remove(Message* message) {
  Message* before = nullptr;
  for (Message* at = head; at != nullptr; before = at, at = at->next) {
    if (at != message) continue;
    (before == nullptr ? head : before->next) = at->next;
    if (tail == at) tail = before;
    at->queued = false;
    at->self.reset();
    return true;
  }
  return false;
}

Inbox::~Inbox() {
  // Messages that nobody received keep themselves: let go of them.
  for (Channel& channel : channels_) {
    Message* message = nullptr;
    while (channel.sends.head != nullptr) channel.sends.Pop(&message);
    while (channel.receives.head != nullptr) channel.receives.Pop(&message);
  }
}

void Inbox::Put(Message* message, int from) {
  Message* receive = nullptr;
  std::shared_ptr<Message> keep;
  {
    const std::lock_guard lock(mutex_);
    Channel& channel = channels_[from];
    if (channel.receives.head != nullptr) {
      keep = channel.receives.Pop(&receive);
    } else {
      const int64_t bytes = message->op.count * message->op.element_size();
      if (bytes > kEagerBytes || check_) return channel.sends.Push(message);
      std::shared_ptr<Message> aside;
      if (spare_.empty()) {
        aside = std::make_shared<Message>();
        aside->copy.resize(kEagerBytes);
      } else {
        aside = std::move(spare_.back());
        spare_.pop_back();
      }
      if (bytes > 0) std::memcpy(aside->copy.data(), message->op.input, static_cast<size_t>(bytes));
      aside->op = message->op;
      aside->op.input = aside->copy.data();
      channel.sends.Push(aside.get());
    }
  }
  if (receive != nullptr) return Transfer(message, receive, check_);
  message->ended = FlightRecorder::Clock::now();
  message->state.store(MessageState::kDone, std::memory_order_release);
}

void Inbox::Take(Message* message, int from) {
  Message* send = nullptr;
  std::shared_ptr<Message> keep;
  {
    const std::lock_guard lock(mutex_);
    Channel& channel = channels_[from];
    if (channel.sends.head == nullptr) return channel.receives.Push(message);
    keep = channel.sends.Pop(&send);
  }
  Transfer(send, message, check_);
  if (keep && !keep->copy.empty()) {
    const std::lock_guard lock(mutex_);
    spare_.push_back(std::move(keep));
  }
}

bool Inbox::Cancel(Message* message, int from) {
  const std::lock_guard lock(mutex_);
  if (!message->queued) return false;
  Channel& channel = channels_[from];
  Queue& queue = message->op.kind == OpKind::kSend ? channel.sends : channel.receives;
  return queue.Remove(message);
}

}  // namespace orthant::local
