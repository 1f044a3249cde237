#include "orthant/memory/account.h"

#include "memory/account_state.h"

namespace orthant {

std::string_view MemoryTagName(MemoryTag tag) {
  constexpr std::array<std::string_view, kMemoryTags> kNames = {
      "parameters", "gradients", "optimizer", "activations", "communication", "temporary", "host"};
  return kNames[static_cast<size_t>(tag)];
}

std::string_view StepPhaseName(StepPhase phase) {
  constexpr std::array<std::string_view, kStepPhases> kNames = {"setup",     "forward", "backward", "reduce",
                                                                "optimizer", "gather",  "evaluate"};
  return kNames[static_cast<size_t>(phase)];
}

int64_t DeviceBytes(const TagBytes& bytes) {
  int64_t sum = 0;
  for (size_t tag = 0; tag < bytes.size(); ++tag) {
    if (static_cast<MemoryTag>(tag) != MemoryTag::kHost) sum += bytes[tag];
  }
  return sum;
}

std::shared_ptr<MemoryAccount> MemoryAccount::Create(int64_t limit) {
  return std::shared_ptr<MemoryAccount>(new MemoryAccount(limit));
}

MemoryAccount::MemoryAccount(int64_t limit) : state_(std::make_unique<State>(*this, limit)) {}
MemoryAccount::~MemoryAccount() = default;

int64_t MemoryAccount::limit() const {
  return state_->limit();
}
TagBytes MemoryAccount::current() const {
  return state_->current();
}
MemoryPeak MemoryAccount::peak() const {
  return state_->peak();
}
MemoryPeak MemoryAccount::peak(StepPhase phase) const {
  return state_->peak(phase);
}
bool MemoryAccount::seen(StepPhase phase) const {
  return state_->seen(phase);
}
void MemoryAccount::ResetPeaks() {
  state_->ResetPeaks(ThreadMemoryContext().phase);
}
std::vector<MemoryHolder> MemoryAccount::LargestHolders(int count) const {
  return state_->LargestHolders(count);
}
void MemoryAccount::KeepTemporaries() {
  state_->KeepTemporaries(ThreadMemoryContext());
}

}  // namespace orthant
