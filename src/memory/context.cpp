// The thread's context and the scopes that set it.
#include "memory/context.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "memory/account_state.h"
#include "memory/allocator.h"

namespace orthant {
namespace {

constinit thread_local MemoryContext this_thread;

}  // namespace

MemoryContext& ThreadMemoryContext() {
  return this_thread;
}

std::string OperationText(const ChargedOperation& operation) {
  std::string text = operation.what == nullptr ? "" : operation.what;
  if (operation.layer >= 0) absl::StrAppend(&text, " layer=", operation.layer);
  if (operation.microbatch >= 0) absl::StrAppend(&text, " mb=", operation.microbatch);
  return text;
}

BindMemory::BindMemory(std::shared_ptr<MemoryAccount> account)
    : account_(std::move(account)), previous_(this_thread.account) {
  InstallMemoryAllocator();
  this_thread.account = account_.get();
  if (account_ != nullptr) account_->state().EnterPhase(this_thread.phase);
}

BindMemory::~BindMemory() {
  this_thread.account = previous_;
}

std::shared_ptr<MemoryAccount> BoundMemory() {
  return this_thread.account == nullptr ? nullptr : this_thread.account->shared_from_this();
}

MemoryScope::MemoryScope(MemoryTag tag) : previous_(std::exchange(this_thread.tag, tag)) {}

MemoryScope::~MemoryScope() {
  this_thread.tag = previous_;
}

OperationScope::OperationScope(const char* what, int layer, int microbatch)
    : previous_what_(this_thread.operation.what),
      previous_layer_(this_thread.operation.layer),
      previous_microbatch_(this_thread.operation.microbatch) {
  this_thread.operation = {what, layer, microbatch};
}

OperationScope::~OperationScope() {
  this_thread.operation = {previous_what_, previous_layer_, previous_microbatch_};
}

PhaseScope::PhaseScope(StepPhase phase) : previous_(std::exchange(this_thread.phase, phase)) {
  if (this_thread.account != nullptr) this_thread.account->state().EnterPhase(phase);
}

PhaseScope::~PhaseScope() {
  this_thread.phase = previous_;
  if (this_thread.account != nullptr) this_thread.account->state().EnterPhase(previous_);
}

}  // namespace orthant
