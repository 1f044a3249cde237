#include "train/memory_ledger.h"

#include <algorithm>

namespace orthant {

MemoryLedger::Block::Block(MemoryLedger& ledger, MemoryTag tag, int64_t bytes)
    : ledger_(ledger), tag_(tag), bytes_(bytes) {
  ledger_.Add(tag_, bytes_);
  if (tag_ == MemoryTag::kTemporary) ledger_.temporaries_.insert(this);
}

MemoryLedger::Block::~Block() {
  ledger_.Add(tag_, -bytes_);
  if (tag_ == MemoryTag::kTemporary) ledger_.temporaries_.erase(this);
}

void MemoryLedger::Add(MemoryTag tag, int64_t bytes) {
  current_[static_cast<size_t>(tag)] += bytes;
  if (tag == MemoryTag::kHost) {
    peak_.host_bytes = std::max(peak_.host_bytes, current_[static_cast<size_t>(tag)]);
    return;
  }
  device_ += bytes;
  if (device_ <= peak_.device_bytes) return;
  peak_.device_bytes = device_;
  peak_.tags = current_;
  peak_phase_ = phase_;
}

void MemoryLedger::KeepTemporaries() {
  for (Block* block : temporaries_) {
    block->tag_ = MemoryTag::kActivations;
    current_[static_cast<size_t>(MemoryTag::kTemporary)] -= block->bytes_;
    current_[static_cast<size_t>(MemoryTag::kActivations)] += block->bytes_;
  }
  temporaries_.clear();
}

}  // namespace orthant
