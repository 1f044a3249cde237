// A device for each rank, made of main memory: streams that a scheduler runs in an order drawn from a seed,
// events, and blocks that are poisoned when they are freed. The rank's thread is its current stream: what it
// reads and writes are that stream's kernels, and where the stream waits the thread does.
#pragma once

#include <ATen/ATen.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "comm/device_table.h"

namespace orthant::testing {

// Something that runs in a stream.
class FakeKernel {
 public:
  virtual ~FakeKernel() = default;
  // Called by the scheduler, with its mutex held, while the kernel is first in its stream; true: it has
  // ended.
  virtual bool Poll() = 0;

  int rank = 0;
  uint64_t launch = 0;  // among its rank's
  bool resident = false;
  std::chrono::steady_clock::time_point not_before{};
};

struct FakeDeviceOptions {
  uint64_t seed = 1;
  int delay_us = 0;           // each kernel runs up to so much later than it could
  int resident = 1000;        // kernels of one rank that can run at the same time, the first launched first
  bool capturing = false;     // every stream is being recorded into a graph
  bool early_events = false;  // fault: every event is said to be done
};

class FakeDevices {
 public:
  FakeDevices(int ranks, const FakeDeviceOptions& options);
  ~FakeDevices();

  // The table of one rank; valid as long as this object.
  const DeviceTable& Table(int rank) const { return tables_[static_cast<size_t>(rank)]; }
  int ranks() const { return static_cast<int>(tables_.size()); }

  // A tensor in a block of the fake's own: once freed, the block is filled with poison and never given again.
  at::Tensor Tensor(int64_t size, at::ScalarType dtype);
  // A violation when [data, data + bytes) lies in a freed block. With the mutex held.
  void CheckMemory(const void* data, size_t bytes, const std::string& who);

  // With the mutex held.
  void Launch(DeviceStream* stream, std::shared_ptr<FakeKernel> kernel);

  void Violation(const std::string& text);  // any thread, with the mutex held or not
  std::vector<std::string> Violations() const;

  std::mutex& mutex() { return mutex_; }
  void Wake() { wake_.notify_all(); }

 private:
  struct Event {
    uint64_t recorded = 0;
    uint64_t done = 0;
  };
  struct Task {
    enum class Kind { kRecord, kWait, kKernel } kind;
    Event* event = nullptr;
    uint64_t count = 0;
    std::shared_ptr<FakeKernel> kernel;
  };
  struct Stream {
    bool host = false;  // the rank's thread
    std::deque<Task> tasks;
  };
  struct Rank {
    FakeDevices* all = nullptr;
    int rank = 0;
    Stream* current = nullptr;
    uint64_t launches = 0;
    int resident = 0;
  };
  struct Block {
    std::vector<std::byte> bytes;
    bool freed = false;
  };

  static DeviceTable MakeTable(Rank* rank);
  static int Record(void* self, DeviceEvent* event, DeviceStream* stream);
  static int Wait(void* self, DeviceStream* stream, DeviceEvent* event);
  void Free(Block* block);
  void ThreadMain();
  bool Step(Stream* stream);  // true: something has moved
  bool Run(FakeKernel* kernel);

  const FakeDeviceOptions options_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<DeviceTable> tables_;

  std::mutex mutex_;
  std::condition_variable wake_;   // the scheduler
  std::condition_variable moved_;  // threads that wait for events
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Event>> events_;
  std::map<const std::byte*, std::unique_ptr<Block>> blocks_;
  std::mt19937_64 random_;
  bool stop_ = false;

  mutable std::mutex violations_mutex_;
  std::vector<std::string> violations_;
  std::thread thread_;
};

}  // namespace orthant::testing
