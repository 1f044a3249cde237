#include "support/fake_device.h"

#include <algorithm>
#include <cstring>

namespace orthant::testing {
namespace {

constexpr std::byte kPoison{0xA5};

}  // namespace

FakeDevices::FakeDevices(int ranks, const FakeDeviceOptions& options)
    : options_(options), random_(options.seed) {
  for (int rank = 0; rank < ranks; ++rank) {
    streams_.push_back(std::make_unique<Stream>());
    streams_.back()->host = true;
    ranks_.push_back(std::make_unique<Rank>());
    ranks_.back()->all = this;
    ranks_.back()->rank = rank;
    ranks_.back()->current = streams_.back().get();
    tables_.push_back(MakeTable(ranks_.back().get()));
  }
  thread_ = std::thread([this] { ThreadMain(); });
}

FakeDevices::~FakeDevices() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

DeviceTable FakeDevices::MakeTable(Rank* rank) {
  DeviceTable table;
  table.self = rank;
  table.on_device = [](void*, const at::Tensor&) { return true; };
  table.current_device = [](void* self, int* device) {
    *device = static_cast<Rank*>(self)->rank;
    return 0;
  };
  table.set_device = [](void*, int) { return 0; };
  table.current_stream = [](void* self) {
    return reinterpret_cast<DeviceStream*>(static_cast<Rank*>(self)->current);
  };
  table.capturing = [](void* self, DeviceStream*) {
    return static_cast<Rank*>(self)->all->options_.capturing;
  };
  table.create_stream = [](void* self, DeviceStream** stream) {
    FakeDevices* all = static_cast<Rank*>(self)->all;
    const std::lock_guard lock(all->mutex_);
    all->streams_.push_back(std::make_unique<Stream>());
    *stream = reinterpret_cast<DeviceStream*>(all->streams_.back().get());
    return 0;
  };
  table.destroy_stream = [](void*, DeviceStream*) { return 0; };  // kept: its tasks still run
  table.create_event = [](void* self, DeviceEvent** event) {
    FakeDevices* all = static_cast<Rank*>(self)->all;
    const std::lock_guard lock(all->mutex_);
    all->events_.push_back(std::make_unique<Event>());
    *event = reinterpret_cast<DeviceEvent*>(all->events_.back().get());
    return 0;
  };
  table.destroy_event = [](void*, DeviceEvent*) { return 0; };
  table.record_event = Record;
  table.query_event = [](void* self, DeviceEvent* event, bool* done) {
    FakeDevices* all = static_cast<Rank*>(self)->all;
    const std::lock_guard lock(all->mutex_);
    const Event* known = reinterpret_cast<Event*>(event);
    *done = known->done >= known->recorded || all->options_.early_events;
    return 0;
  };
  table.stream_wait = Wait;
  table.one_element = [](void*) { return at::zeros({1}, at::kFloat); };
  table.error_text = [](void*, int) { return "a fault of the fake device"; };
  return table;
}

int FakeDevices::Record(void* self, DeviceEvent* event, DeviceStream* stream) {
  FakeDevices* all = static_cast<Rank*>(self)->all;
  auto* known = reinterpret_cast<Event*>(event);
  auto* place = reinterpret_cast<Stream*>(stream);
  {
    const std::lock_guard lock(all->mutex_);
    const uint64_t count = ++known->recorded;
    if (place->host) {  // the thread has done all that came before
      known->done = std::max(known->done, count);
    } else {
      place->tasks.push_back({Task::Kind::kRecord, known, count, nullptr});
    }
  }
  all->wake_.notify_all();
  return 0;
}

// What was recorded before the call counts, as in CUDA.
int FakeDevices::Wait(void* self, DeviceStream* stream, DeviceEvent* event) {
  FakeDevices* all = static_cast<Rank*>(self)->all;
  auto* known = reinterpret_cast<Event*>(event);
  auto* place = reinterpret_cast<Stream*>(stream);
  std::unique_lock lock(all->mutex_);
  const uint64_t count = known->recorded;
  if (place->host) {
    all->moved_.wait(lock, [&] { return known->done >= count; });
  } else {
    place->tasks.push_back({Task::Kind::kWait, known, count, nullptr});
    all->wake_.notify_all();
  }
  return 0;
}

at::Tensor FakeDevices::Tensor(int64_t size, at::ScalarType dtype) {
  auto made = std::make_unique<Block>();
  made->bytes.resize(std::max<size_t>(1, static_cast<size_t>(size) * c10::elementSize(dtype)));
  Block* block = made.get();
  {
    const std::lock_guard lock(mutex_);
    blocks_[block->bytes.data()] = std::move(made);
  }
  return at::from_blob(
      block->bytes.data(), {size}, [this, block](void*) { Free(block); }, at::TensorOptions().dtype(dtype));
}

// Also called with the mutex of the backend held, never with ours.
void FakeDevices::Free(Block* block) {
  const std::lock_guard lock(mutex_);
  block->freed = true;
  std::fill(block->bytes.begin(), block->bytes.end(), kPoison);
}

void FakeDevices::CheckMemory(const void* data, size_t bytes, const std::string& who) {
  if (data == nullptr || bytes == 0) return;
  const auto* first = static_cast<const std::byte*>(data);
  auto block = blocks_.upper_bound(first);
  if (block == blocks_.begin()) return;
  --block;
  if (first >= block->first + block->second->bytes.size() || !block->second->freed) return;
  Violation(who + " uses memory that was freed before it ran");
}

void FakeDevices::Launch(DeviceStream* stream, std::shared_ptr<FakeKernel> kernel) {
  kernel->launch = ranks_[static_cast<size_t>(kernel->rank)]->launches++;
  reinterpret_cast<Stream*>(stream)->tasks.push_back({Task::Kind::kKernel, nullptr, 0, std::move(kernel)});
  wake_.notify_all();
}

void FakeDevices::Violation(const std::string& text) {
  const std::lock_guard lock(violations_mutex_);
  if (std::find(violations_.begin(), violations_.end(), text) == violations_.end()) {
    violations_.push_back(text);
  }
}

std::vector<std::string> FakeDevices::Violations() const {
  const std::lock_guard lock(violations_mutex_);
  return violations_;
}

// A kernel that runs keeps its place on the device until it ends, as NCCL's do.
bool FakeDevices::Run(FakeKernel* kernel) {
  Rank* rank = ranks_[static_cast<size_t>(kernel->rank)].get();
  if (!kernel->resident) {
    if (rank->resident >= options_.resident) return false;
    kernel->resident = true;
    ++rank->resident;
    if (options_.delay_us > 0) {
      kernel->not_before = std::chrono::steady_clock::now() +
                           std::chrono::microseconds(random_() % static_cast<uint64_t>(options_.delay_us));
    }
  }
  if (std::chrono::steady_clock::now() < kernel->not_before || !kernel->Poll()) return false;
  --rank->resident;
  return true;
}

bool FakeDevices::Step(Stream* stream) {
  if (stream->tasks.empty()) return false;
  const Task task = stream->tasks.front();
  switch (task.kind) {
    case Task::Kind::kRecord:
      task.event->done = std::max(task.event->done, task.count);
      break;
    case Task::Kind::kWait:
      if (task.event->done < task.count) return false;
      break;
    case Task::Kind::kKernel:
      if (!Run(task.kernel.get())) return false;
      break;
  }
  stream->tasks.pop_front();
  return true;
}

void FakeDevices::ThreadMain() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    std::vector<Stream*> order;
    for (const auto& stream : streams_) {
      if (!stream->tasks.empty()) order.push_back(stream.get());
    }
    // Between streams any order may happen; places on the device go to the first launched.
    std::shuffle(order.begin(), order.end(), random_);
    std::stable_sort(order.begin(), order.end(), [](const Stream* a, const Stream* b) {
      const auto launch = [](const Stream* stream) {
        const Task& task = stream->tasks.front();
        return task.kernel == nullptr || task.kernel->resident ? 0 : task.kernel->launch + 1;
      };
      return launch(a) < launch(b);
    });
    bool moved = false;
    for (Stream* stream : order) moved = Step(stream) || moved;
    if (moved) {
      moved_.notify_all();
    } else {
      wake_.wait_for(lock, std::chrono::microseconds(order.empty() ? 20000 : 200));
    }
  }
}

}  // namespace orthant::testing
