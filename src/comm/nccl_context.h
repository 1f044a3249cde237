// The nccl backend of one rank: issues operations to its lanes, follows them by events, opens lanes of
// messages, and gives all up at the first failure. A thread of its own watches.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "comm/nccl_lane.h"
#include "comm/nccl_letters.h"
#include "orthant/comm/communicator.h"

namespace orthant::nccl {

// Tells those who can end the job of a missed deadline (`message` empty) or of a failure. May wait for that
// end; returns when it does not come. Any thread.
using Report = std::function<void(const std::string& message)>;

// Events are used again: making one takes the driver longer than an operation.
class EventPool : public std::enable_shared_from_this<EventPool> {
 public:
  explicit EventPool(const DeviceTable& device) : device_(device) {}
  ~EventPool();
  Event Take();  // throws CommError

 private:
  const DeviceTable& device_;
  std::mutex mutex_;
  std::vector<DeviceEvent*> spare_;
};

// Thrown by calls that have not been carried out within the deadline.
class Late : public CommError {
 public:
  using CommError::CommError;
};

void Pause(int round);  // a little longer each time
double SecondsSince(Clock::time_point time);

// Threads: the rank's own thread opens groups, issues and waits. The watchdog looks at events and errors,
// moves on the lanes of messages that are being opened, and aborts. So NCCL's operations come from the rank's
// thread in the order of its program, but for messages called before their lane was open, which whoever finds
// it open issues, in their order. Never two at once.
class Context {
 public:
  // On the calling thread's current device. The tables must outlive it. CommError when the device fails.
  Context(const NcclTable& nccl, const DeviceTable& device, std::shared_ptr<FlightRecorder> recorder,
          std::unique_ptr<Letters> letters, Report report, double poll_seconds);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool OnDevice(const at::Tensor& tensor) const { return device_.on_device(device_.self, tensor); }
  const std::shared_ptr<FlightRecorder>& recorder() const { return recorder_; }

  // How many groups with this text there were before. The rank's own thread.
  int CountGroup(const std::string& text) { return groups_[text]++; }

  NcclUniqueId NewId();
  // A lane for a group's collectives; all members call it. CommError when they do not within the deadline.
  std::shared_ptr<Lane> OpenGroup(const std::string& group, int rank, int size, const NcclUniqueId& id);
  // The same for a group with all members of the parent's, in their order.
  std::shared_ptr<Lane> OpenTwin(const std::string& group, Lane* parent);
  // One end of a lane of messages: group, rank, size, sender, check, peer, peer_world_rank and key of `lane`
  // are given. Does not wait; letters with this key carry the id.
  std::shared_ptr<Lane> OpenMessages(Lane lane);
  // The lanes of a group that ends: waits for what is in them, then for the other members to close theirs;
  // after a failure, or when an exception ends the group, nobody is waited for.
  void Close(const std::vector<std::shared_ptr<Lane>>& lanes);

  // Puts the operation behind what the current stream holds now. CommError when it, or any before, failed.
  std::shared_ptr<Flight> Issue(const std::shared_ptr<Lane>& lane, const Operation& op,
                                const at::Tensor& output, const at::Tensor& input);
  // Puts what the current stream gets from now on behind the operation. Waits itself only until the operation
  // is in its stream. CommError when it, or any other, failed.
  void Wait(const std::shared_ptr<Flight>& flight);

 private:
  using Lock = std::unique_lock<std::mutex>;

  // nccl_context.cpp. `issuing_` is held.
  void Launch(const std::shared_ptr<Flight>& flight);
  // Calls NCCL on the lane and waits until the call has been carried out.
  void Call(Lane* lane, const char* what, absl::FunctionRef<NcclResult()> call);
  void Follow(const std::shared_ptr<Flight>& flight);

  // nccl_opening.cpp
  std::shared_ptr<Lane> NewLane(Lane lane);
  void Join(Lane* lane, const NcclUniqueId& id, int rank, int size);
  void Await(const std::shared_ptr<Lane>& lane, NcclComm* parent);
  void Advance(const std::shared_ptr<Lane>& lane);  // `issuing_` is held
  bool Agreed(Flight* flight);
  std::shared_ptr<Flight> FirstWaiting(Lane* lane);
  void AdvanceAll();  // `issuing_` is held
  void Greet(Lane* lane);
  bool Drain(const std::vector<std::shared_ptr<Lane>>& lanes);
  void Finalize(const std::vector<std::shared_ptr<Lane>>& lanes);
  void Forget(const std::vector<std::shared_ptr<Lane>>& lanes);

  // nccl_watch.cpp
  struct Trouble {
    std::shared_ptr<Flight> flight;  // null: none in particular
    std::string text;                // "": all is well
    bool late = false;
  };
  void ThreadMain();
  void Tick();
  // With `mutex_` held.
  bool AnyOpening() const;
  void Reap(Lane* lane);
  void Over(Flight* flight, Phase phase);
  Trouble LookAround();
  Trouble FindLate() const;
  void NoteWaiting() const;
  bool failed() const { return !failure_.empty(); }
  // Without it. The first failure is the one that counts. `late`: it is a missed deadline.
  void Fail(const std::shared_ptr<Flight>& flight, const std::string& text, bool late);
  void Fail(const std::shared_ptr<Flight>& flight, const CommError& error);
  void Abort(const std::vector<std::shared_ptr<Lane>>& lanes);
  [[noreturn]] void GiveUp(const Flight* flight);

  // Throw CommError. With `mutex_` held: they ask the library for its words.
  void CheckNccl(NcclResult result, const char* call, NcclComm* comm) const;
  void CheckDevice(int code, const char* call) const;

  void Record(Event* event, DeviceStream* stream);  // takes a new one
  NcclResult StateOf(Lane* lane) const;

  const NcclTable& nccl_;
  const DeviceTable& device_;
  const std::shared_ptr<FlightRecorder> recorder_;
  const std::unique_ptr<Letters> letters_;
  const Report report_;
  const double poll_seconds_;
  std::map<std::string, int> groups_;
  int device_index_ = 0;
  const std::shared_ptr<EventPool> events_;

  std::mutex issuing_;  // held by whoever issues, for as long as NCCL needs; taken before mutex_
  std::mutex mutex_;    // guards what follows, and every single call of NCCL; held briefly
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Lane>> lanes_;  // in the order they were made
  std::string failure_;                       // what the first failure said; "": none
  bool late_ = false;                         // it was a missed deadline
  std::shared_ptr<Flight> culprit_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace orthant::nccl
