#include "orthant/nn/parameter.h"

#include <algorithm>
#include <span>
#include <utility>

#include "ATen/ATen.h"
#include "orthant/core/philox.h"

namespace orthant {

std::vector<int64_t> ParameterSpec::LocalShape() const {
  std::vector<int64_t> local = shape;
  if (shard_dim >= 0) local[shard_dim] = local_length;
  return rows < 0 ? local : std::vector<int64_t>{rows, local.back()};
}

int64_t ParameterSpec::LocalElements() const {
  int64_t count = 1;
  for (int64_t d : LocalShape()) count *= d;
  return count;
}

std::vector<LogicalRun> LogicalRuns(const ParameterSpec& spec) {
  const int64_t split = std::max(spec.shard_dim, 0);
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < split; ++d) outer *= spec.shape[d];
  for (size_t d = split + 1; d < spec.shape.size(); ++d) inner *= spec.shape[d];
  const bool whole = spec.shard_dim < 0;
  const int64_t logical = spec.shape[split], begin = whole ? 0 : spec.shard_begin;
  const int64_t held = whole ? logical : spec.shard_length, local = whole ? logical : spec.local_length;
  const int64_t width = spec.LocalShape().back();
  const int64_t first = spec.rows < 0 ? 0 : spec.row_begin * width;
  const int64_t last = spec.rows < 0 ? outer * local * inner : first + spec.rows * width;
  std::vector<LogicalRun> runs;
  for (int64_t o = 0; o < outer; ++o) {
    const int64_t from = std::max(o * local * inner, first);
    const int64_t to = std::min((o * local + held) * inner, last);
    if (from >= to) continue;
    const int64_t source = (o * logical + begin) * inner + from - o * local * inner;
    LogicalRun* back = runs.empty() ? nullptr : &runs.back();
    if (back != nullptr && back->local + back->length == from - first &&
        back->logical + back->length == source) {
      back->length += to - from;
    } else {
      runs.push_back({from - first, source, to - from});
    }
  }
  return runs;
}

ParameterSpec ShardedSpec(std::string name, std::vector<int64_t> shape, int dim, int parts, int part,
                          Init init, bool decay) {
  ParameterSpec spec;
  const int64_t whole = shape[dim];
  spec.name = std::move(name);
  spec.shape = std::move(shape);
  spec.shard_dim = dim;
  spec.local_length = (whole + parts - 1) / parts;
  spec.shard_begin = std::min(whole, spec.local_length * part);
  spec.shard_length = std::min(whole, spec.local_length * (part + 1)) - spec.shard_begin;
  spec.init = init;
  spec.decay = decay;
  return spec;
}

ParameterSpec WholeSpec(std::string name, std::vector<int64_t> shape, Init init, bool decay) {
  ParameterSpec spec;
  spec.name = std::move(name);
  spec.shape = std::move(shape);
  spec.init = init;
  spec.decay = decay;
  return spec;
}

void Parameter::Attach(at::Tensor value, at::Tensor grad, ParameterOwner* owner) {
  value_ = std::move(value);
  grad_ = std::move(grad);
  owner_ = owner;
}

bool Parameter::AddsToGrad() {
  return std::exchange(has_grad_, true);
}

void Parameter::ContributionDone() {
  if (owner_ != nullptr) owner_->ContributionDone();
}

namespace {

template <typename scalar_t>
void DrawNormal(const ParameterSpec& spec, PhiloxKey key, scalar_t* values) {
  for (const LogicalRun& run : LogicalRuns(spec)) {
    const std::span<scalar_t> out(values + run.local, run.length);
    FillNormal(key, /*hi=*/0, static_cast<uint64_t>(run.logical), out);
    for (scalar_t& v : out) v *= static_cast<scalar_t>(spec.init.stddev);
  }
}

}  // namespace

void Initialize(const ParameterSpec& spec, uint64_t seed, const at::Tensor& value) {
  TORCH_CHECK(value.is_contiguous() && value.sizes() == at::IntArrayRef(spec.LocalShape()), "shape of ",
              spec.name);
  const bool narrow = at::isReducedFloatingType(value.scalar_type());
  if (narrow || !value.device().is_cpu()) {  // drawn on the processor, whatever the device
    const at::Tensor drawn = at::empty(value.sizes(), narrow ? at::kFloat : value.scalar_type());
    Initialize(spec, seed, drawn);
    value.copy_(drawn);
    return;
  }
  value.zero_();
  if (spec.init.kind == Init::Kind::kZeros) return;
  if (spec.init.kind == Init::Kind::kOnes) {
    for (const LogicalRun& run : LogicalRuns(spec))
      value.view({-1}).narrow(0, run.local, run.length).fill_(1);
    return;
  }
  const PhiloxKey key = DeriveKey(seed, spec.name);
  if (value.scalar_type() == at::kDouble) {
    DrawNormal(spec, key, value.data_ptr<double>());
  } else {
    DrawNormal(spec, key, value.data_ptr<float>());
  }
}

}  // namespace orthant
