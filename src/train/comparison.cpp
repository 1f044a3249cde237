#include "train/comparison.h"

#include <cmath>
#include <limits>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

const at::Tensor& TensorOf(const Parameter& parameter, What what) {
  return what == What::kGradient ? parameter.grad() : parameter.value();
}

// The share of a logical tensor that the spec describes.
at::Tensor SliceOf(const at::Tensor& logical, const ParameterSpec& spec) {
  return spec.shard_dim < 0 ? logical : logical.narrow(spec.shard_dim, spec.shard_begin, spec.shard_length);
}

double LargestMagnitude(const at::Tensor& tensor) {
  return tensor.numel() == 0 ? 0.0 : tensor.abs().max().item<double>();
}

}  // namespace

LogicalTensors CopyTensors(const std::vector<ShardedUnit*>& units, What what) {
  LogicalTensors tensors;
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      tensors[parameter->spec().name] = SliceOf(TensorOf(*parameter, what), parameter->spec()).clone();
    }
  }
  return tensors;
}

void Differences::Add(const std::string& name, double difference) {
  // A difference that is no number is the worst there is.
  if (!std::isfinite(difference)) difference = std::numeric_limits<double>::infinity();
  if (difference > kVerifyTolerance && first_name_.empty()) {
    first_name_ = name;
    first_ = difference;
  }
  if (worst_name_.empty() || difference > worst_) {
    worst_name_ = name;
    worst_ = difference;
  }
}

void Differences::AddNumber(const std::string& name, double value, double reference) {
  Add(name, value == reference ? 0.0 : std::abs(value - reference) / std::abs(reference));
}

void Differences::AddTensors(const std::vector<ShardedUnit*>& units, What what, const LogicalTensors& reference) {
  const char* kind = what == What::kGradient ? "gradient of " : "value of ";
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      const ParameterSpec& spec = parameter->spec();
      const at::Tensor& share = TensorOf(*parameter, what);
      const at::Tensor& logical = reference.at(spec.name);
      const int64_t dim = spec.shard_dim, valid = spec.shard_length;
      const at::Tensor mine = dim < 0 ? share : share.narrow(dim, 0, valid);
      const double scale = LargestMagnitude(logical);
      const double off = LargestMagnitude(mine - SliceOf(logical, spec));
      Add(absl::StrCat(kind, spec.name), off == 0.0 ? 0.0 : off / scale);
      if (dim >= 0 && spec.local_length > valid) {
        const double padding = LargestMagnitude(share.narrow(dim, valid, spec.local_length - valid));
        if (padding != 0.0) Add(absl::StrCat("padding of ", spec.name), std::numeric_limits<double>::infinity());
      }
    }
  }
}

void Differences::MergeInto(CombinationResult* result) const {
  if (result->worst.empty() || worst_ > result->max_rel_diff) {
    result->max_rel_diff = worst_;
    result->worst = worst_name_;
  }
  if (result->first.empty() && !first_name_.empty()) {
    result->first = first_name_;
    result->first_diff = first_;
  }
}

}  // namespace orthant
