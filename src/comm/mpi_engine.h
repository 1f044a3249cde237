// The engine that moves MPI operations on: queues of the communicators, a thread for asynchronous ones, and
// the rule that whoever waits moves everything on itself, so that a waiting rank needs no hand-over between
// threads.
#pragma once

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ATen/core/Tensor.h"
#include "comm/mpi_host.h"
#include "comm/mpi_spread.h"
#include "comm/mpi_stage.h"
#include "orthant/comm/operation.h"

namespace orthant::mpi {

struct Channel;
class Watchdog;

// What the members of a group, or both ends of a message, must agree on. Sent as it stands.
struct Fingerprint {
  OpKind kind;
  ReduceOp reduce;
  c10::ScalarType dtype;
  int32_t peer;
  int32_t layer;
  int32_t microbatch;
  int64_t count;
  uint64_t sequence;
  char what[64];
};

Fingerprint FingerprintOf(const Operation& op);
Operation OperationOf(const Fingerprint& print);  // points into `print`; for its description
// Whether two members mean the same collective: but for the labels, or with them.
bool SameCollective(const Fingerprint& a, const Fingerprint& b, bool labels);

// How far a collective is whose members reach into each other's tensors.
enum class DirectStage { kNot, kMove, kFinished, kOver };
struct DirectRun {
  DirectStage stage = DirectStage::kNot;
  std::vector<std::byte*> inputs, outputs;  // by member; an output that nobody reaches into may be anything
  int member = 0;                           // how many members have been copied from
  int64_t at = 0;                           // elements of what is added or copied now
};

// How far a collective is that goes through shared memory.
struct SharedRun {
  uint64_t base = 0;   // the stage's rounds before it
  int64_t pieces = 0;  // rounds; 0: not begun
  int64_t piece = 0;   // elements of a piece
  int64_t extent = 0;  // elements that the pieces cut up
  bool twice = false;  // members fetch results from each other, too
  bool told = false;   // the first round moves no data: members tell each other counts, or where to read
  bool verified = false;
  int64_t staged = 0;  // pieces, as in Lane
  int64_t read = 0;
  int64_t finished = 0;
  DirectRun direct;
};

// One operation on its way. Guarded by the engine's mutex, but for `done`.
struct Transfer {
  Operation op;
  std::vector<int64_t> input_counts;  // all_to_all_split: our own copies
  std::vector<int64_t> output_counts;
  at::Tensor output;  // keep the memory
  at::Tensor input;

  int stage = 0;      // of the algorithm: what to post next
  int64_t begin = 0;  // the piece in hand, in elements of the share
  int64_t end = 0;
  std::vector<MPI_Request> requests;  // all of them posted and not yet complete
  std::vector<MPI_Datatype> types;    // to free when the requests are complete
  std::vector<int> counts;            // must live as long as the requests
  std::vector<int> offsets;

  SharedRun shared;
  SpreadRun spread;

  int check_stage = 0;  // of comm.check, before the first of the algorithm; -1: over
  std::vector<Fingerprint> prints;
  std::vector<int64_t> shares;

  std::string error;                              // written before done
  bool error_is_whole = false;                    // it names the operation itself
  std::chrono::steady_clock::time_point ended{};  // written before done
  std::atomic<bool> done{false};

  void Reset();
};

// A communicator's queues. Collectives run one after another in the order of issue; messages are posted at
// once.
struct Channel {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int64_t max_count = 0;
  bool check = false;
  std::string name;
  std::deque<std::shared_ptr<Transfer>> collectives;
  std::vector<std::shared_ptr<Transfer>> messages;
  std::unique_ptr<Stage> stage;    // of a group on one host; null: it has none, or no memory is shared
  std::unique_ptr<Spread> spread;  // of a group on several hosts, if its seats allow it
  std::vector<std::byte> scratch;  // of the collective at the head of the queue
  bool active = false;             // in the engine's list

  ~Channel();
  std::byte* Scratch(int64_t bytes);
};

class Engine {
 public:
  explicit Engine(std::shared_ptr<Host> host) : host_(std::move(host)) {}
  ~Engine();  // stops the thread

  // Queues the operation and posts what can be posted now. `background`: the thread shall move it on.
  void Submit(const std::shared_ptr<Channel>& channel, const std::shared_ptr<Transfer>& transfer,
              bool background);
  // Moves everything on until the transfer is done; false when the time has passed before.
  bool WaitFor(const Transfer& transfer, double timeout_seconds);
  // Waits until nothing is under way.
  bool Drain(double timeout_seconds);

  const Host& host() const { return *host_; }

  // Told of missed deadlines, and of MPI calls that have none. Null: nobody. Not owned.
  void SetWatchdog(Watchdog* watchdog) { watchdog_.store(watchdog); }
  Watchdog* watchdog() const { return watchdog_.load(); }

 private:
  bool Pass();  // one round over all queues, under mutex_; true: something moved
  bool Advance(Channel* channel, Transfer* transfer, bool* moved);
  // After `misses` rounds in which nothing moved: gives the core away, for `limit` at the longest.
  void Idle(int misses, std::chrono::microseconds limit);
  void ThreadMain();

  const std::shared_ptr<Host> host_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::vector<std::shared_ptr<Channel>> active_;  // guarded by mutex_
  std::atomic<Watchdog*> watchdog_{nullptr};
  std::atomic<int> waiters_{0};
  std::atomic<bool> messages_{false};  // something is under way that only polling moves
  std::atomic<bool> idle_{true};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// mpi_algorithms.cpp: posts the next requests of the operation; false when there are none left. Throws
// CommError.
bool PostNext(Channel* channel, Transfer* transfer);
// mpi_check.cpp: the same for the comparison that comes first; throws CommError when members disagree.
bool PostCheck(Channel* channel, Transfer* transfer);
// mpi_shared.cpp: moves a collective on through the channel's stage, by a few steps at most; true: it is over
// here. Throws CommError when members disagree.
bool AdvanceShared(Channel* channel, Transfer* transfer, const Host& host, bool* moved);
// Throws CommError with MPI's text.
void Check(int code, const char* call);

}  // namespace orthant::mpi
