#include "orthant/train/comparison.h"

#include <cmath>
#include <limits>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/comm/local.h"

namespace orthant {
namespace {

const at::Tensor& TensorOf(const Parameter& parameter, What what) {
  return what == What::kGradient ? parameter.grad() : parameter.value();
}

// The share of a logical tensor that the spec describes.
at::Tensor SliceOf(const at::Tensor& logical, const ParameterSpec& spec) {
  return spec.shard_dim < 0 ? logical : logical.narrow(spec.shard_dim, spec.shard_begin, spec.shard_length);
}

// The parameter's own share without its padding.
at::Tensor WithoutPadding(const at::Tensor& share, const ParameterSpec& spec) {
  return spec.shard_dim < 0 ? share : share.narrow(spec.shard_dim, 0, spec.shard_length);
}

double LargestMagnitude(const at::Tensor& tensor) {
  return tensor.numel() == 0 ? 0.0 : tensor.abs().max().item<double>();
}

}  // namespace

LogicalTensors CopyTensors(const std::vector<ShardedUnit*>& units, What what) {
  LogicalTensors tensors;
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      tensors[parameter->spec().name] = WithoutPadding(TensorOf(*parameter, what), parameter->spec()).clone();
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

void Differences::AddTensors(const std::vector<ShardedUnit*>& units, What what,
                             const LogicalTensors& reference) {
  const char* kind = what == What::kGradient ? "gradient of " : "value of ";
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      const ParameterSpec& spec = parameter->spec();
      const at::Tensor& share = TensorOf(*parameter, what);
      const at::Tensor& logical = reference.at(spec.name);
      const int64_t dim = spec.shard_dim, valid = spec.shard_length;
      const at::Tensor mine = WithoutPadding(share, spec);
      const double scale = LargestMagnitude(logical);
      const double off = LargestMagnitude(mine - SliceOf(logical, spec));
      Add(absl::StrCat(kind, spec.name), off == 0.0 ? 0.0 : off / scale);
      if (dim >= 0 && spec.local_length > valid) {
        const double padding = LargestMagnitude(share.narrow(dim, valid, spec.local_length - valid));
        if (padding != 0.0)
          Add(absl::StrCat("padding of ", spec.name), std::numeric_limits<double>::infinity());
      }
    }
  }
}

void Differences::Merge(const Differences& other) {
  if (!other.worst_name_.empty() && (worst_name_.empty() || other.worst_ > worst_)) {
    worst_ = other.worst_;
    worst_name_ = other.worst_name_;
  }
  if (first_name_.empty()) {
    first_ = other.first_;
    first_name_ = other.first_name_;
  }
}

Reference RunReference(const PreparedRun& run, int64_t steps) {
  Reference reference;
  RunLocal(1, {.timeout_seconds = run.config.comm.timeout}, [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    for (int64_t step = 1; step <= steps; ++step) {
      const StepResult result = engine.Step(step);
      reference.losses.push_back(result.loss);
      reference.norms.push_back(result.grad_norm);
      reference.gradients.push_back(CopyTensors(engine.model().units(), What::kGradient));
    }
    reference.values = CopyTensors(engine.model().units(), What::kValue);
  });
  return reference;
}

Differences CompareRank(const PreparedRun& run, const Reference& reference, Communicator& world) {
  Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
  Differences differences;
  for (size_t i = 0; i < reference.losses.size(); ++i) {
    const StepResult step = engine.Step(static_cast<int64_t>(i) + 1);
    differences.AddNumber("loss", step.loss, reference.losses[i]);
    differences.AddNumber("grad_norm", step.grad_norm, reference.norms[i]);
    for (ShardedUnit* unit : engine.model().units()) unit->GatherGradients();
    differences.AddTensors(engine.model().units(), What::kGradient, reference.gradients[i]);
  }
  differences.AddTensors(engine.model().units(), What::kValue, reference.values);
  return differences;
}

}  // namespace orthant
