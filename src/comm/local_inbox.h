// Point to point between ranks of one process: one queue per (sender, receiver), matched in order.
// The second to come copies; small messages are copied aside at once, so that their sender never waits.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "comm/wait_word.h"
#include "orthant/comm/flight_recorder.h"
#include "orthant/comm/operation.h"

namespace orthant::local {

enum class MessageState : uint32_t { kPending, kDone, kFailed };

// One end of a transfer: a send or a receive that waits for its match.
struct Message : std::enable_shared_from_this<Message> {
  Operation op;
  std::atomic<MessageState> state{MessageState::kPending};
  std::string error;                          // written before state turns kFailed
  FlightRecorder::Clock::time_point ended{};  // written before state turns kDone
  WaitWord* parking = nullptr;                // where the owner sleeps; outlives the message
  Message* next = nullptr;
  bool queued = false;            // guarded by the inbox
  std::shared_ptr<Message> self;  // while queued: keeps the message, where it is a shared one
  at::Tensor tensor;              // asynchronous: keeps the memory
  std::vector<std::byte> copy;    // eager send: the content
};

// The queues of one receiver.
class Inbox {
 public:
  // `check`: labels must agree, and no send is done before its receive has come to compare them.
  Inbox(int senders, bool check) : check_(check), channels_(senders) {}
  ~Inbox();

  // Small sends return done, with the content set aside. Others are matched at once (the content is copied
  // here) or queued until their match comes. `message` must stay where it is until it is no longer pending.
  void Put(Message* message, int from);   // a send by rank `from` to this inbox
  void Take(Message* message, int from);  // a receive by this inbox's owner
  // Takes a pending message back; false: it has been matched and is done or about to be.
  bool Cancel(Message* message, int from);

  static constexpr int64_t kEagerBytes = 16 << 10;

 private:
  struct Queue {
    Message* head = nullptr;
    Message* tail = nullptr;
    void Push(Message* message);
    std::shared_ptr<Message> Pop(Message** message);  // what keeps it; empty for one on its owner's stack
    bool Remove(Message* message);
  };
  struct Channel {
    Queue sends;
    Queue receives;
  };

  const bool check_;
  std::mutex mutex_;
  std::vector<Channel> channels_;
  std::vector<std::shared_ptr<Message>> spare_;  // eager messages to use again
};

}  // namespace orthant::local
