// The moving half of ShardedUnit: gathers of values, reductions of gradients.
#include <algorithm>

#include "ATen/ATen.h"
#include "data_parallel/buffer.h"
#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/memory/account.h"

namespace orthant {

void ShardedUnit::StartGather() {
  if (values_present_ || gathering_) return;
  const OperationScope operation(name_.c_str());
  const MemoryScope scope(MemoryTag::kParameters);
  GiveMemory(values_);
  const at::Tensor mine = OpenValues();
  gather_ = options_.shard->AllGatherAsync(values_, mine, "zero.gather");
  gathering_ = true;
  options_.queue->GatherBegins();
}

void ShardedUnit::FinishGather() {
  gather_.Wait();
  gather_ = Work();
  CloseValues(/*changed=*/false);
  gathering_ = false;
  options_.queue->GatherEnds();
}

void ShardedUnit::NeedValues() {
  StartGather();
  FinishGather();
  values_present_ = true;
  options_.queue->Used(this);
}

void ShardedUnit::ReleaseValues() {
  if (options_.zero_stage < 3) return;
  if (gathering_) FinishGather();  // ahead of a use that did not come
  if (HasMemory(values_)) DropMemory(values_);
  values_present_ = false;
}

void ShardedUnit::AfterForward() {
  if (options_.release_after_forward) ReleaseValues();
}

void ShardedUnit::BeginStep(int microbatches) {
  microbatches_left_ = microbatches;
  uses_left_ = uses_;
  reduced_before_ = false;
  for (auto& parameter : parameters_) parameter->StartGradient();
  if (options_.zero_stage >= 2 && HasMemory(gradients_)) DropMemory(gradients_);
  gradients_present_ = options_.zero_stage < 2;
}

void ShardedUnit::NeedGradients() {
  WaitReduction();  // of the microbatch before, whose buffer is taken over
  if (!HasMemory(gradients_)) {
    options_.queue->MakeRoom();
    const OperationScope operation(name_.c_str());
    const MemoryScope scope(MemoryTag::kGradients);
    GiveMemory(gradients_);
  }
  gradients_present_ = true;
}

void ShardedUnit::ContributionDone() {
  TORCH_CHECK(microbatches_left_ > 0, "more gradient contributions to unit ", name_,
              " than the step announced");
  if (--uses_left_ > 0) return;
  uses_left_ = uses_;
  --microbatches_left_;
  if (options_.position != nullptr && options_.position->probe != nullptr && gradients_present_) Probe();
  if (options_.zero_stage >= 2 || microbatches_left_ == 0) StartReduce();
  if (options_.release_after_forward || microbatches_left_ == 0) ReleaseValues();
}

// Gaps between parameters, and parameters that had no contribution since the buffer was allocated.
void ShardedUnit::ZeroWhatNobodyWrote() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t count = parameters_[i]->spec().LocalElements();
    const int64_t from = parameters_[i]->has_grad() ? offsets_[i] + count : offsets_[i];
    const int64_t to = i + 1 < parameters_.size() ? offsets_[i + 1] : elements_;
    if (to > from) gradients_.narrow(0, from, to - from).zero_();
  }
}

at::Tensor ShardedUnit::InReduceType(const at::Tensor& tensor) const {
  const MemoryScope scope(MemoryTag::kCommunication);
  return tensor.to(options_.reduce_dtype);  // itself when it is of that type
}

void ShardedUnit::Probe() const {
  for (const auto& parameter : parameters_) {
    if (!parameter->has_grad()) continue;
    const ProbeMoment moment{options_.position->microbatch, true, options_.depth};
    options_.position->probe->Check(moment, "gradient of " + parameter->spec().name, parameter->grad());
  }
}

void ShardedUnit::StartReduce() {
  const OperationScope operation(name_.c_str());
  if (options_.zero_stage >= 2) {
    if (!gradients_present_)
      return;  // all of it was in an earlier reduction (a loss that runs ahead of backward)
    ZeroWhatNobodyWrote();
    gradients_present_ = false;
    for (auto& parameter : parameters_) parameter->StartGradient();
    options_.queue->Reducing(this);
  }
  sent_ = InReduceType(gradients_);
  reducing_ = true;
  if (options_.zero_stage == 0) {
    received_ = sent_;
    if (options_.replica != nullptr)
      reduce_ = options_.replica->AllReduceAsync(sent_, ReduceOp::kSum, "zero.reduce");
    return;
  }
  if (options_.zero_stage == 1) {
    received_ = sent_.narrow(0, begin_, share());
  } else if (!reduced_before_ && options_.reduce_dtype == options_.gradient_dtype) {
    received_ = gradient_shard_;
  } else {
    const MemoryScope scope(MemoryTag::kCommunication);
    received_ = at::empty({share()}, sent_.options());
  }
  reduce_ = options_.shard->ReduceScatterAsync(received_, sent_, ReduceOp::kSum, "zero.reduce");
}

void ShardedUnit::WaitReduction() {
  if (!reducing_) return;
  reduce_.Wait();
  reduce_ = Work();
  reducing_ = false;
  const at::Tensor target = options_.zero_stage == 0 ? gradients_ : gradients();
  if (reduced_before_) {
    target.add_(received_);
  } else if (received_.data_ptr() != target.data_ptr()) {
    target.copy_(received_);
  }
  reduced_before_ = true;
  sent_ = received_ = at::Tensor();
  if (options_.zero_stage >= 2) options_.queue->Reduced(this);
}

void ShardedUnit::FinishReduction() {
  WaitReduction();
  if (options_.zero_stage >= 2 && HasMemory(gradients_)) DropMemory(gradients_);
}

void ShardedUnit::AllReduce(Communicator& group, const at::Tensor& tensor, const char* what) const {
  const at::Tensor travelling = InReduceType(tensor);
  group.AllReduce(travelling, ReduceOp::kSum, what);
  if (travelling.data_ptr() != tensor.data_ptr()) tensor.copy_(travelling);
}

void ShardedUnit::FinishReduce() {
  TORCH_CHECK(microbatches_left_ == 0, "unit ", name_, " lacks gradients of ", microbatches_left_,
              " microbatches");
  FinishReduction();
  const at::Tensor mine = gradients();
  if (options_.zero_stage > 0 && options_.replica != nullptr)
    AllReduce(*options_.replica, mine, "zero.replicas");
  if (options_.tensor_partial && options_.tensor != nullptr) {
    const int64_t from = std::max(replicated_begin_, begin_), to = std::min(replicated_end_, end_);
    if (from < to) AllReduce(*options_.tensor, mine.narrow(0, from - begin_, to - from), "grad.replicated");
  }
  if (pair_ != nullptr) AllReduce(*pair_, mine, "grad.tied");
}

void ShardedUnit::GatherGradients() {
  if (options_.zero_stage == 0) return;
  if (!HasMemory(gradients_)) {
    const MemoryScope scope(MemoryTag::kGradients);
    GiveMemory(gradients_);
  }
  options_.shard->AllGather(gradients_, gradients(), "gradients");
  gradients_present_ = true;
}

}  // namespace orthant
