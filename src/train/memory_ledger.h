// MemoryLedger: an account that is kept by hand. A predicted step opens and closes blocks as the real one
// would; what stood highest is the prediction.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_set>

#include "orthant/memory/account.h"

namespace orthant {

class MemoryLedger {
 public:
  // Bytes under a tag, as a tensor holds them: until the last handle is gone. The ledger outlives them.
  class Block {
   public:
    Block(MemoryLedger& ledger, MemoryTag tag, int64_t bytes);
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    int64_t bytes() const { return bytes_; }

   private:
    friend class MemoryLedger;
    MemoryLedger& ledger_;
    MemoryTag tag_;
    int64_t bytes_;
  };
  using Held = std::shared_ptr<const Block>;

  Held New(MemoryTag tag, int64_t bytes) { return std::make_shared<Block>(*this, tag, bytes); }
  Held Temporary(int64_t bytes) { return New(MemoryTag::kTemporary, bytes); }
  // What an operation holds while it runs and gives back.
  void Pass(int64_t bytes) { Temporary(bytes); }
  // As MemoryAccount::KeepTemporaries.
  void KeepTemporaries();

  void Enter(StepPhase phase) { phase_ = phase; }
  const TagBytes& current() const { return current_; }
  const MemoryPeak& peak() const { return peak_; }
  StepPhase peak_phase() const { return peak_phase_; }

 private:
  void Add(MemoryTag tag, int64_t bytes);

  TagBytes current_{};
  int64_t device_ = 0;
  MemoryPeak peak_;
  StepPhase phase_ = StepPhase::kSetup, peak_phase_ = StepPhase::kSetup;
  std::unordered_set<Block*> temporaries_;
};

}  // namespace orthant
