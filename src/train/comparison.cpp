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
  return what == What::kValue ? parameter.value() : parameter.grad();
}

double LargestMagnitude(const at::Tensor& tensor) {
  return tensor.numel() == 0 ? 0.0 : tensor.abs().max().item<double>();
}

// Where all of these gradients are at least this share of the largest of their tensor.
LogicalTensors Settled(const std::vector<LogicalTensors>& gradients, double share) {
  LogicalTensors settled;
  for (const LogicalTensors& step : gradients) {
    for (const auto& [name, gradient] : step) {
      const at::Tensor clear = gradient.abs().ge(share * LargestMagnitude(gradient));
      at::Tensor& all = settled[name];
      all = all.defined() ? all.logical_and(clear) : clear;
    }
  }
  return settled;
}

}  // namespace

Tolerance ToleranceFor(const std::string& dtype) {
  if (dtype == "fp64") return {};
  if (dtype == "fp32") {
    return {.numbers = 1e-6, .first_gradients = 3e-6, .gradients = 5e-4, .values = 2e-4, .settled = 5e-4};
  }
  return {.numbers = 5e-3, .first_gradients = 0.05, .gradients = 0.2, .values = 0.15, .settled = 0.2};
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

void Differences::Add(const std::string& name, double difference, double Tolerance::*kind) {
  // A difference that is no number is the worst there is.
  if (!std::isfinite(difference)) difference = std::numeric_limits<double>::infinity();
  largest_.*kind = std::max(largest_.*kind, difference);
  if (difference > tolerance_.*kind && first_name_.empty()) {
    first_name_ = name;
    first_ = difference;
  }
  if (worst_name_.empty() || difference > worst_) {
    worst_name_ = name;
    worst_ = difference;
  }
}

void Differences::AddNumber(const std::string& name, double value, double reference) {
  Add(name, value == reference ? 0.0 : std::abs(value - reference) / std::abs(reference),
      &Tolerance::numbers);
}

void Differences::AddTensors(const std::vector<ShardedUnit*>& units, What what,
                             const LogicalTensors& reference, const LogicalTensors& counting) {
  double Tolerance::*const kind = what == What::kValue           ? &Tolerance::values
                                  : what == What::kFirstGradient ? &Tolerance::first_gradients
                                                                 : &Tolerance::gradients;
  const char* const word = what == What::kValue ? "value of " : "gradient of ";
  for (const ShardedUnit* unit : units) {
    for (const auto& parameter : unit->parameters()) {
      const ParameterSpec& spec = parameter->spec();
      const at::Tensor share = TensorOf(*parameter, what).view({-1});
      const at::Tensor logical = reference.at(spec.name).view({-1});
      const at::Tensor padding = share.clone();
      double largest = 0.0;
      for (const LogicalRun& run : LogicalRuns(spec)) {
        padding.narrow(0, run.local, run.length).zero_();
        at::Tensor off = share.narrow(0, run.local, run.length).to(logical.scalar_type()) -
                         logical.narrow(0, run.logical, run.length);
        if (!counting.empty()) {  // what is no number stays none
          off.mul_(counting.at(spec.name).view({-1}).narrow(0, run.logical, run.length));
        }
        const double magnitude = LargestMagnitude(off);
        largest =
            std::max(largest, std::isfinite(magnitude) ? magnitude : std::numeric_limits<double>::infinity());
      }
      Add(absl::StrCat(word, spec.name), largest == 0.0 ? 0.0 : largest / LargestMagnitude(logical), kind);
      if (LargestMagnitude(padding) != 0.0) {
        Add(absl::StrCat("padding of ", spec.name), std::numeric_limits<double>::infinity(), kind);
      }
    }
  }
}

void Differences::Merge(const Differences& other) {
  for (double Tolerance::*kind :
       {&Tolerance::numbers, &Tolerance::first_gradients, &Tolerance::gradients, &Tolerance::values}) {
    largest_.*kind = std::max(largest_.*kind, other.largest_.*kind);
  }
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
      const StepResult result = engine.Step();
      reference.losses.push_back(result.loss);
      reference.norms.push_back(result.grad_norm);
      reference.gradients.push_back(CopyTensors(engine.model().units(), What::kGradient));
    }
    reference.values = CopyTensors(engine.model().units(), What::kValue);
  });
  const double settled = ToleranceFor(run.config.train.dtype).settled;
  if (settled > 0.0) reference.settled = Settled(reference.gradients, settled);
  return reference;
}

Differences CompareRank(const PreparedRun& run, const Reference& reference, Communicator& world) {
  const BindMemory memory(MemoryAccount::Create(run.config.memory.limit));
  Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
  Differences differences(ToleranceFor(run.config.train.dtype));
  for (size_t i = 0; i < reference.losses.size(); ++i) {
    const StepResult step = engine.Step();
    differences.AddNumber("loss", step.loss, reference.losses[i]);
    differences.AddNumber("grad_norm", step.grad_norm, reference.norms[i]);
    for (ShardedUnit* unit : engine.model().units()) unit->GatherGradients();
    differences.AddTensors(engine.model().units(), i == 0 ? What::kFirstGradient : What::kGradient,
                           reference.gradients[i]);
  }
  differences.AddTensors(engine.model().units(), What::kValue, reference.values, reference.settled);
  return differences;
}

}  // namespace orthant
