#include "orthant/train/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/comm/local.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

const at::Tensor& TensorOf(const Parameter& parameter, What what) {
  return what == What::kGradient ? parameter.grad() : parameter.value();
}

double LargestMagnitude(const at::Tensor& tensor) {
  return tensor.numel() == 0 ? 0.0 : tensor.abs().max().item<double>();
}

}  // namespace

Tolerance ToleranceFor(const std::string& dtype) {
  if (dtype == "fp64") return {1e-9, 1e-9, 1e-9};
  if (dtype == "fp32") return {1e-5, 1e-3, 1e-2};
  return {2e-2, 2.5e-1, 2.5e-1};
}

LogicalTensors CopyTensors(const std::vector<ShardedUnit*>& units, What what) {
  LogicalTensors tensors;
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      const ParameterSpec& spec = parameter->spec();
      at::Tensor& logical = tensors[spec.name];
      const at::Tensor share = TensorOf(*parameter, what).view({-1});
      if (!logical.defined()) logical = at::zeros(spec.shape, share.options());
      for (const LogicalRun& run : LogicalRuns(spec)) {
        logical.view({-1}).narrow(0, run.logical, run.length).copy_(share.narrow(0, run.local, run.length));
      }
    }
  }
  return tensors;
}

void Differences::Add(const std::string& name, double difference, double tolerance, double* largest) {
  // A difference that is no number is the worst there is.
  if (!std::isfinite(difference)) difference = std::numeric_limits<double>::infinity();
  *largest = std::max(*largest, difference);
  if (difference > tolerance && first_name_.empty()) {
    first_name_ = name;
    first_ = difference;
  }
  if (worst_name_.empty() || difference > worst_) {
    worst_name_ = name;
    worst_ = difference;
  }
}

void Differences::AddNumber(const std::string& name, double value, double reference) {
  Add(name, value == reference ? 0.0 : std::abs(value - reference) / std::abs(reference), tolerance_.numbers,
      &largest_.numbers);
}

void Differences::AddTensors(const std::vector<ShardedUnit*>& units, What what,
                             const LogicalTensors& reference) {
  const char* kind = what == What::kGradient ? "gradient of " : "value of ";
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      const ParameterSpec& spec = parameter->spec();
      const at::Tensor share = TensorOf(*parameter, what).view({-1});
      const at::Tensor logical = reference.at(spec.name);
      // What the reference puts at each of this rank's elements; padding is zero.
      const at::Tensor expected = at::zeros_like(share, logical.scalar_type());
      for (const LogicalRun& run : LogicalRuns(spec)) {
        expected.narrow(0, run.local, run.length)
            .copy_(logical.view({-1}).narrow(0, run.logical, run.length));
      }
      const double off = LargestMagnitude(share.to(expected.scalar_type()) - expected);
      const bool gradient = what == What::kGradient;
      Add(absl::StrCat(kind, spec.name), off == 0.0 ? 0.0 : off / LargestMagnitude(logical),
          gradient ? tolerance_.gradients : tolerance_.values,
          gradient ? &largest_.gradients : &largest_.values);
    }
  }
}

void Differences::Merge(const Differences& other) {
  largest_.numbers = std::max(largest_.numbers, other.largest_.numbers);
  largest_.gradients = std::max(largest_.gradients, other.largest_.gradients);
  largest_.values = std::max(largest_.values, other.largest_.values);
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
    const BindMemory memory(MemoryAccount::Create(run.config.memory.limit));
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
  const BindMemory memory(MemoryAccount::Create(run.config.memory.limit));
  Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
  Differences differences(ToleranceFor(run.config.train.dtype));
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
