// The header in front of every block of the accounting allocator, and the lists that blocks stand in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/context.h"

namespace orthant {

struct MemoryLink {
  MemoryLink* previous = this;
  MemoryLink* next = this;

  MemoryLink() = default;
  MemoryLink(const MemoryLink&) = delete;
  MemoryLink& operator=(const MemoryLink&) = delete;

  // `link` stands in no list.
  void Append(MemoryLink& link) {
    link.previous = previous;
    link.next = this;
    previous->next = &link;
    previous = &link;
  }
  void Unlink() {
    previous->next = next;
    next->previous = previous;
    previous = next = this;
  }
};

// One cache line, so that the data behind it keeps LibTorch's alignment. The account's mutex guards the links
// and the tag; the rest is set once.
struct alignas(64) MemoryBlock : MemoryLink {
  MemoryAccount::State* account = nullptr;  // null: charged to nobody
  int64_t bytes = 0;                        // without this header
  ChargedOperation operation;
  const MemoryContext* thread = nullptr;  // which allocated it
  MemoryTag tag = MemoryTag::kTemporary;
  StepPhase phase = StepPhase::kSetup;

  void* data() { return this + 1; }
  static MemoryBlock* Of(void* data) { return static_cast<MemoryBlock*>(data) - 1; }
};
static_assert(sizeof(MemoryBlock) == 64);

}  // namespace orthant
