#include "comm/shared_heap.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <limits>

namespace orthant {
namespace {

constexpr int64_t kPage = 4096;
// Pages beyond what was in use at once are given back only from here on.
constexpr int64_t kSlack = 64 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<SharedHeap>> SharedHeap::Create(int64_t span) {
  absl::StatusOr<SharedMemory> memory = SharedMemory::Create(span / kPage * kPage);
  if (!memory.ok()) return memory.status();
  return std::unique_ptr<SharedHeap>(new SharedHeap(*std::move(memory)));
}

SharedHeap::SharedHeap(SharedMemory memory) : memory_(std::move(memory)) {
  AddFree(0, memory_.bytes());
}

void SharedHeap::AddFree(int64_t offset, int64_t bytes) {
  free_by_offset_.emplace(offset, bytes);
  free_by_bytes_.emplace(bytes, offset);
}

void SharedHeap::RemoveFree(int64_t offset, int64_t bytes) {
  free_by_offset_.erase(offset);
  free_by_bytes_.erase({bytes, offset});
}

void* SharedHeap::Allocate(int64_t bytes) {
  if (bytes > memory_.bytes()) return nullptr;
  bytes = (bytes + kPage - 1) / kPage * kPage;
  const std::lock_guard lock(mutex_);
  // The smallest that holds it, of equal ones the lowest: addresses never used before come last.
  const auto found = free_by_bytes_.lower_bound({bytes, 0});
  if (found == free_by_bytes_.end()) return nullptr;
  const auto [room, offset] = *found;
  RemoveFree(offset, room);
  if (room > bytes) AddFree(offset + bytes, room - bytes);
  used_by_offset_[offset] = bytes;
  used_ += bytes;
  most_used_ = std::max(most_used_, used_);
  kept_ -= std::min(kept_, std::max<int64_t>(0, std::min(bytes, touched_ - offset)));
  touched_ = std::max(touched_, offset + bytes);
  return memory_.data() + offset;
}

void SharedHeap::Free(void* block) {
  const std::lock_guard lock(mutex_);
  int64_t offset = OffsetOf(block);
  const auto used = used_by_offset_.find(offset);
  int64_t bytes = used->second;
  used_by_offset_.erase(used);
  used_ -= bytes;
  kept_ += bytes;
  const auto after = free_by_offset_.lower_bound(offset);
  if (after != free_by_offset_.begin()) {
    const auto [begin, before] = *std::prev(after);
    if (begin + before == offset) {
      RemoveFree(begin, before);
      offset = begin;
      bytes += before;
    }
  }
  if (const auto next = free_by_offset_.find(offset + bytes); next != free_by_offset_.end()) {
    const auto [begin, behind] = *next;
    RemoveFree(begin, behind);
    bytes += behind;
  }
  AddFree(offset, bytes);
  if (used_ + kept_ > most_used_ + most_used_ / 4 + kSlack) GiveBackPages();
}

void SharedHeap::GiveBackPages() {
  for (const auto& [offset, bytes] : free_by_offset_) {
    const int64_t end = std::min(offset + bytes, touched_);
    if (end > offset) madvise(memory_.data() + offset, static_cast<size_t>(end - offset), MADV_REMOVE);
  }
  kept_ = 0;
}

int64_t SharedHeap::OffsetOf(const void* address) const {
  const auto* place = static_cast<const std::byte*>(address);
  if (place < memory_.data() || place >= memory_.data() + memory_.bytes()) return -1;
  return place - memory_.data();
}

namespace {

class HeapAllocator final : public c10::Allocator {
 public:
  HeapAllocator(std::unique_ptr<SharedHeap> heap, c10::Allocator* behind)
      : heap_(std::move(heap)), behind_(behind), free_(behind->raw_deleter()) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < SharedHeap::kSmallestBlock || bytes > std::numeric_limits<int64_t>::max() / 2)
      return behind_->allocate(bytes);
    void* data = heap_->Allocate(static_cast<int64_t>(bytes));
    if (data == nullptr) return behind_->allocate(bytes);
    return {data, data, &Delete, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Delete; }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }
  const SharedHeap& heap() const { return *heap_; }

 private:
  static void Delete(void* data);

  const std::unique_ptr<SharedHeap> heap_;
  c10::Allocator* const behind_;
  const c10::DeleterFnPtr free_;
};

// Of the process, as LibTorch's allocator is. Never destroyed: tensors keep its deleter.
HeapAllocator* installed = nullptr;

void HeapAllocator::Delete(void* data) {
  if (installed->heap_->Holds(data)) return installed->heap_->Free(data);
  installed->free_(data);
}

}  // namespace

absl::StatusOr<const SharedHeap*> InstallSharedHeap(int64_t span) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (installed != nullptr) return &installed->heap();
  c10::Allocator* behind = c10::GetCPUAllocator();
  if (behind->raw_deleter() == nullptr) {
    return absl::UnavailableError("another library has put its allocator behind LibTorch's tensors");
  }
  absl::StatusOr<std::unique_ptr<SharedHeap>> heap = SharedHeap::Create(span);
  if (!heap.ok()) return heap.status();
  installed = new HeapAllocator(*std::move(heap), behind);
  // Below that of the accounts of memory (room memory), which stands in front once it is there.
  c10::SetCPUAllocator(installed, std::numeric_limits<uint8_t>::max() - 1);
  return &installed->heap();
}

}  // namespace orthant
