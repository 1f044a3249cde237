#include "memory/allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>

#include <cstdint>
#include <limits>
#include <mutex>
#include <new>

#include "memory/account_state.h"
#include "memory/block.h"

namespace orthant {
namespace {

static_assert(sizeof(MemoryBlock) % c10::gAlignment == 0 || c10::gAlignment % sizeof(MemoryBlock) == 0);

// Blocks of the allocator behind it, each with a MemoryBlock in front of the data.
class AccountingAllocator final : public c10::Allocator {
 public:
  explicit AccountingAllocator(c10::Allocator* behind) : behind_(behind), free_(behind->raw_deleter()) {}

  c10::DataPtr allocate(size_t bytes) override;
  // Static in the interface's sense: the same for every block, so raw_allocate works.
  c10::DeleterFnPtr raw_deleter() const override { return &Delete; }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

 private:
  static void Delete(void* data);

  c10::Allocator* const behind_;
  const c10::DeleterFnPtr free_;
};

// The one object of the process that ranks share: LibTorch has one CPU allocator for all its threads, and
// tensors keep the pointer, so it is never destroyed. It holds nothing that changes; what differs by rank is
// in the calling thread's context and in the block.
AccountingAllocator* installed = nullptr;

c10::DataPtr AccountingAllocator::allocate(size_t bytes) {
  constexpr size_t kLargest = static_cast<size_t>(std::numeric_limits<int64_t>::max()) - sizeof(MemoryBlock);
  if (bytes == 0) return {nullptr, nullptr, &Delete, c10::Device(c10::DeviceType::CPU)};
  if (bytes > kLargest) return behind_->allocate(bytes);  // which refuses it, in its own words
  const MemoryContext& thread = ThreadMemoryContext();
  MemoryAccount::State* account = thread.account == nullptr ? nullptr : &thread.account->state();
  if (account != nullptr) account->CheckLimit(static_cast<int64_t>(bytes), thread);

  auto* block = new (behind_->raw_allocate(sizeof(MemoryBlock) + bytes)) MemoryBlock;
  block->account = account;
  block->bytes = static_cast<int64_t>(bytes);
  block->operation = thread.operation;
  block->thread = &thread;
  block->tag = thread.tag;
  block->phase = thread.phase;
  if (account != nullptr && !account->Add(*block)) {
    free_(block);
    account->ThrowOutOfMemory(static_cast<int64_t>(bytes), thread);
  }
  return {block->data(), block->data(), &Delete, c10::Device(c10::DeviceType::CPU)};
}

void AccountingAllocator::Delete(void* data) {
  if (data == nullptr) return;
  MemoryBlock* block = MemoryBlock::Of(data);
  if (block->account != nullptr) block->account->Remove(*block);
  installed->free_(block);
}

}  // namespace

void InstallMemoryAllocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    c10::Allocator* behind = c10::GetCPUAllocator();
    // One without raw blocks cannot carry a header; LibTorch's own can.
    if (behind->raw_deleter() == nullptr) behind = c10::GetDefaultCPUAllocator();
    installed = new AccountingAllocator(behind);
    c10::SetCPUAllocator(installed, std::numeric_limits<uint8_t>::max());
  });
}

}  // namespace orthant
