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
  return local;
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

void Parameter::Attach(at::Tensor value, at::Tensor grad, std::function<void()> ready) {
  value_ = std::move(value);
  grad_ = std::move(grad);
  ready_ = std::move(ready);
}

void Parameter::BeginStep(int microbatches) {
  has_grad_ = false;
  contributions_left_ = microbatches * spec_.uses;
}

bool Parameter::AddsToGrad() {
  return std::exchange(has_grad_, true);
}

void Parameter::ContributionDone() {
  TORCH_CHECK(contributions_left_ > 0, "more gradient contributions to ", spec_.name,
              " than the step announced");
  if (--contributions_left_ == 0 && ready_) ready_();
}

namespace {

template <typename scalar_t>
void DrawNormal(const ParameterSpec& spec, PhiloxKey key, scalar_t* values) {
  int64_t outer = 1, inner = 1;
  const int64_t dims = static_cast<int64_t>(spec.shape.size());
  const int64_t split = spec.shard_dim < 0 ? 0 : spec.shard_dim;
  for (int64_t d = 0; d < split; ++d) outer *= spec.shape[d];
  for (int64_t d = split + 1; d < dims; ++d) inner *= spec.shape[d];
  const int64_t whole = spec.shape[split];
  const int64_t begin = spec.shard_dim < 0 ? 0 : spec.shard_begin;
  const int64_t length = spec.shard_dim < 0 ? whole : spec.shard_length;
  const int64_t local = spec.shard_dim < 0 ? whole : spec.local_length;
  for (int64_t o = 0; o < outer; ++o) {
    const std::span<scalar_t> run(values + o * local * inner, length * inner);
    FillNormal(key, /*hi=*/0, static_cast<uint64_t>((o * whole + begin) * inner), run);
    for (scalar_t& v : run) v *= static_cast<scalar_t>(spec.init.stddev);
  }
}

}  // namespace

void Initialize(const ParameterSpec& spec, uint64_t seed, const at::Tensor& value) {
  TORCH_CHECK(value.is_contiguous() && value.sizes() == at::IntArrayRef(spec.LocalShape()), "shape of ",
              spec.name);
  value.zero_();
  if (spec.init.kind == Init::Kind::kZeros) return;
  if (spec.init.kind == Init::Kind::kOnes) {
    (spec.shard_dim < 0 ? value : value.narrow(spec.shard_dim, 0, spec.shard_length)).fill_(1);
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
