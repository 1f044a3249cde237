#include "orthant/data_parallel/sharded_unit.h"

#include <algorithm>
#include <utility>

#include "ATen/ATen.h"

namespace orthant {
namespace {

// Parameters start on 64-byte boundaries (fp32), which matrix kernels like.
constexpr int64_t kAlignment = 16;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t LocalElements(const ParameterSpec& spec) {
  int64_t count = 1;
  for (int64_t d : spec.LocalShape()) count *= d;
  return count;
}

// Decayed before undecayed, and what every tensor rank holds whole in the middle: each treatment is one
// stretch.
int LayoutClass(const ParameterSpec& spec) {
  if (spec.decay) return spec.replicated_over_tensor() ? 1 : 0;
  return spec.replicated_over_tensor() ? 2 : 3;
}

}  // namespace

ShardedUnit::ShardedUnit(std::string name, std::vector<ParameterSpec> specs, const UnitOptions& options)
    : name_(std::move(name)), options_(options) {
  LayOut(std::move(specs));
  const int64_t share = values_.numel() / options_.data->size();
  begin_ = options_.zero_stage == 0 ? 0 : share * options_.data->rank();
  end_ = options_.zero_stage == 0 ? values_.numel() : begin_ + share;
  BuildSegments();
}

void ShardedUnit::LayOut(std::vector<ParameterSpec> specs) {
  std::stable_sort(specs.begin(), specs.end(), [](const ParameterSpec& a, const ParameterSpec& b) {
    return LayoutClass(a) < LayoutClass(b);
  });
  int64_t total = 0;
  for (ParameterSpec& spec : specs) {
    offsets_.push_back(total);
    const int64_t next = total + RoundUp(LocalElements(spec), kAlignment);
    if (spec.replicated_over_tensor()) {
      if (replicated_end_ == 0) replicated_begin_ = total;
      replicated_end_ = next;
    }
    total = next;
    parameters_.push_back(std::make_unique<Parameter>(std::move(spec)));
  }
  total = RoundUp(total, kAlignment * options_.data->size());
  values_ = at::zeros({total}, options_.dtype);
  gradients_ = at::zeros({total}, options_.dtype);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const ParameterSpec& spec = parameters_[i]->spec();
    const std::vector<int64_t> shape = spec.LocalShape();
    const int64_t count = LocalElements(spec);
    const at::Tensor value = values_.narrow(0, offsets_[i], count).view(shape);
    Initialize(spec, options_.seed, value);
    parameters_[i]->Attach(value, gradients_.narrow(0, offsets_[i], count).view(shape),
                           [this] { ParameterReady(); });
  }
}

void ShardedUnit::BuildSegments() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const ParameterSpec& spec = parameters_[i]->spec();
    const int64_t next = i + 1 < parameters_.size() ? offsets_[i + 1] : values_.numel();
    Segment segment;
    segment.begin = std::max(offsets_[i], begin_) - begin_;
    segment.end = std::min(next, end_) - begin_;
    segment.decay = spec.decay;
    // Every logical element counts once: copies are left to tensor rank 0 and to the stage that owns them.
    segment.counts_in_norm =
        !spec.tied_copy && (!spec.replicated_over_tensor() || options_.tensor->rank() == 0);
    if (segment.begin >= segment.end) continue;
    Segment* last = segments_.empty() ? nullptr : &segments_.back();
    if (last != nullptr && last->decay == segment.decay && last->counts_in_norm == segment.counts_in_norm) {
      last->end = segment.end;
    } else {
      segments_.push_back(segment);
    }
  }
}

Parameter* ShardedUnit::Find(const std::string& logical_name) const {
  for (const auto& parameter : parameters_) {
    if (parameter->spec().name == logical_name) return parameter.get();
  }
  return nullptr;
}

void ShardedUnit::BeginStep(int microbatches) {
  pending_ = parameters_.size();
  for (auto& parameter : parameters_) parameter->BeginStep(microbatches);
}

void ShardedUnit::ParameterReady() {
  if (--pending_ == 0 && !held_) StartReduce();
}

void ShardedUnit::Release() {
  TORCH_CHECK(held_ && pending_ == 0, "unit ", name_, " released before its gradients were complete");
  StartReduce();
}

void ShardedUnit::StartReduce() {
  if (options_.tensor_partial && options_.tensor->size() > 1 && replicated_end_ > replicated_begin_) {
    options_.tensor->AllReduce(gradients_.narrow(0, replicated_begin_, replicated_end_ - replicated_begin_),
                               ReduceOp::kSum, "grad.replicated");
  }
  if (options_.zero_stage == 0) {
    reduce_ = options_.data->AllReduceAsync(gradients_, ReduceOp::kSum, "grad");
  } else {
    reduce_ = options_.data->ReduceScatterAsync(gradients(), gradients_, ReduceOp::kSum, "grad");
  }
}

void ShardedUnit::FinishReduce() {
  TORCH_CHECK(pending_ == 0, "unit ", name_, " lacks the gradients of ", pending_, " parameters");
  reduce_.Wait();
}

void ShardedUnit::StartGather() {
  if (options_.zero_stage == 0) return;
  gather_ = options_.data->AllGatherAsync(values_, values(), "parameters");
}

void ShardedUnit::FinishGather() {
  gather_.Wait();
  gather_ = Work();
}

void ShardedUnit::GatherGradients() {
  if (options_.zero_stage == 0) return;
  options_.data->AllGather(gradients_, gradients(), "gradients");
}

}  // namespace orthant
