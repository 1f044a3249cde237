#include "train/shadow_unit.h"

namespace orthant {

ShadowUnit::ShadowUnit(const UnitPlan& plan, const ShadowOptions& options)
    : name_(plan.name), options_(options), elements_(PlannedElements(plan.specs, options.shards)) {
  for (const ParameterSpec& spec : plan.specs) {
    parameters_ += spec.LocalElements();
    uses_ += spec.uses;
  }
  MemoryLedger& ledger = *options_.ledger;
  values_ = ledger.New(MemoryTag::kParameters, value_bytes());
  gradients_ = ledger.New(MemoryTag::kGradients, elements_ * options_.gradient_size);
  if (options_.zero_stage >= 2) {
    gradients_ = nullptr;
    gradients_present_ = false;
    gradient_shard_ = ledger.New(MemoryTag::kGradients, share() * options_.gradient_size);
  }
  MemoryLedger::Held drawn;
  if (options_.masters) {
    drawn = ledger.Temporary(elements_ * 4);
    master_ = ledger.New(MemoryTag::kOptimizer, share() * 4);
  }
  if (options_.zero_stage < 3) return;
  value_shard_ = ledger.New(MemoryTag::kParameters, share() * options_.value_size);
  if (options_.parameters == Tier::kHost) {
    value_shard_ = ledger.New(MemoryTag::kHost, share() * options_.value_size);
  } else if (options_.parameters == Tier::kNvme) {
    value_shard_ = nullptr;
  }
  Release();
}

void ShadowUnit::BeginStep(int64_t microbatches) {
  microbatches_left_ = microbatches;
  uses_left_ = uses_;
  reduced_before_ = false;
  if (options_.zero_stage < 2) return;
  gradients_ = nullptr;
  gradients_present_ = false;
}

void ShadowUnit::StartGather() {
  if (present_ || gathering_) return;
  values_ = options_.ledger->New(MemoryTag::kParameters, value_bytes());
  gathering_ = true;
  options_.queue->GatherBegins();
}

void ShadowUnit::Read() {
  if (present_) return;
  StartGather();
  gathering_ = false;
  options_.queue->GatherEnds();
  present_ = true;
  options_.queue->Used(this);
}

void ShadowUnit::DoneReading() {
  AfterForward();
}

void ShadowUnit::Release() {
  if (options_.zero_stage < 3) return;
  if (gathering_) options_.queue->GatherEnds();
  gathering_ = present_ = false;
  values_ = nullptr;
}

void ShadowUnit::AfterForward() {
  if (options_.release_after_forward) Release();
}

void ShadowUnit::AddGradient() {
  if (gradients_present_) return;
  WaitReduction();
  if (gradients_ == nullptr) {
    options_.queue->MakeRoom();
    gradients_ = options_.ledger->New(MemoryTag::kGradients, elements_ * options_.gradient_size);
  }
  gradients_present_ = true;
}

void ShadowUnit::Done() {
  if (--uses_left_ > 0) return;
  uses_left_ = uses_;
  --microbatches_left_;
  if (options_.zero_stage >= 2 || microbatches_left_ == 0) StartReduce();
  if (options_.release_after_forward || microbatches_left_ == 0) Release();
}

void ShadowUnit::StartReduce() {
  if (options_.zero_stage >= 2) {
    if (!gradients_present_) return;
    gradients_present_ = false;
    options_.queue->Reducing(this);
  }
  MemoryLedger& ledger = *options_.ledger;
  if (!options_.one_type) sent_ = ledger.New(MemoryTag::kCommunication, elements_ * options_.reduce_size);
  reducing_ = true;
  if (options_.zero_stage >= 2 && (reduced_before_ || !options_.one_type)) {
    received_ = ledger.New(MemoryTag::kCommunication, share() * options_.reduce_size);
  }
}

void ShadowUnit::WaitReduction() {
  if (!reducing_) return;
  reducing_ = false;
  reduced_before_ = true;
  sent_ = received_ = nullptr;
  if (options_.zero_stage >= 2) options_.queue->Reduced(this);
}

void ShadowUnit::FinishReduction() {
  WaitReduction();
  if (options_.zero_stage >= 2) gradients_ = nullptr;
}

void ShadowUnit::FinishReduce() {
  FinishReduction();
  if (options_.zero_stage > 0 && options_.replicas && !options_.one_type) {
    options_.ledger->New(MemoryTag::kCommunication, share() * options_.reduce_size);
  }
}

}  // namespace orthant
