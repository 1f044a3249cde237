// What the calling thread's allocations are charged as: account, tag, operation, phase. One a thread.
#pragma once

#include "orthant/memory/account.h"

namespace orthant {

// Where an allocation comes from: part of the thread's context, and kept with each block.
struct ChargedOperation {
  const char* what = nullptr;  // null: none
  int layer = -1, microbatch = -1;
};

// "mlp.fc layer=3 mb=1"; "" without one.
std::string OperationText(const ChargedOperation& operation);

// Thread-local because an allocation deep inside a library's kernel can be told nothing by its arguments.
// Without a destructor, so that blocks may still be freed while a thread's other thread-locals end.
struct MemoryContext {
  MemoryAccount* account = nullptr;  // kept alive by the innermost BindMemory
  ChargedOperation operation;
  MemoryTag tag = MemoryTag::kTemporary;
  StepPhase phase = StepPhase::kSetup;
};

// The calling thread's. Its address stands for the thread while the thread lives.
MemoryContext& ThreadMemoryContext();

}  // namespace orthant
