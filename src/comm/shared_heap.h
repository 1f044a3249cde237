// SharedHeap: where a process keeps its large tensors when other processes of its host are to read them in
// place, as threads of one process do: memory of its own that the others map.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/status/statusor.h"
#include "comm/shared_memory.h"

namespace orthant {

// Thread-safe. Keeps as many pages as were ever in use at once, a quarter more, and gives the others back.
class SharedHeap {
 public:
  // Smaller blocks are not worth a place here.
  static constexpr int64_t kSmallestBlock = 32 << 10;

  // `span`: bytes of addresses; memory comes when it is first touched. UnavailableError with the reason when
  // the system refuses.
  static absl::StatusOr<std::unique_ptr<SharedHeap>> Create(int64_t span);

  // Uninitialised, aligned to a page. Null: no room.
  void* Allocate(int64_t bytes);
  void Free(void* block);  // one of Allocate's

  bool Holds(const void* address) const { return OffsetOf(address) >= 0; }
  // From the beginning; -1: not in here.
  int64_t OffsetOf(const void* address) const;
  // For the others, who may map it at any time.
  SharedMemoryHandle handle() const { return memory_.handle(); }

 private:
  explicit SharedHeap(SharedMemory memory);

  void AddFree(int64_t offset, int64_t bytes);     // under mutex_
  void RemoveFree(int64_t offset, int64_t bytes);  // under mutex_
  void GiveBackPages();                            // under mutex_

  const SharedMemory memory_;
  std::mutex mutex_;
  std::map<int64_t, int64_t> free_by_offset_;            // bytes
  std::set<std::pair<int64_t, int64_t>> free_by_bytes_;  // bytes, offset
  std::unordered_map<int64_t, int64_t> used_by_offset_;  // bytes
  int64_t used_ = 0, most_used_ = 0;
  int64_t kept_ = 0;     // free, but with pages
  int64_t touched_ = 0;  // nothing beyond has ever been in use
};

// This process's heap, behind LibTorch's CPU allocator from now on: tensors of kSmallestBlock and more lie in
// it while there is room. Made at the first call; it stays to the process's end, as tensors do. A process has
// one CPU allocator, and with it one heap. UnavailableError when the system refuses.
absl::StatusOr<const SharedHeap*> InstallSharedHeap(int64_t span);

}  // namespace orthant
