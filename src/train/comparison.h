// Comparing one rank's share of the logical tensors with a one-rank reference.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/train/verify.h"

namespace orthant {

enum class What { kGradient, kValue };

// Whole logical tensors by name.
using LogicalTensors = std::map<std::string, at::Tensor>;

// What one rank computed. One entry a step, but for the values, which are those after the last.
struct Reference {
  std::vector<double> losses, norms;
  std::vector<LogicalTensors> gradients;
  LogicalTensors values;
};

// Copies of all parameters' gradients or values; on one rank these are the logical tensors.
LogicalTensors CopyTensors(const std::vector<ShardedUnit*>& units, What what);

// The differences that one rank sees, relative to the largest magnitude of the reference tensor.
class Differences {
 public:
  void AddNumber(const std::string& name, double value, double reference);
  // This rank's shares against their slices of the reference; padding must be zero.
  void AddTensors(const std::vector<ShardedUnit*>& units, What what, const LogicalTensors& reference);
  // Keeps the worst of both.
  void MergeInto(CombinationResult* result) const;

 private:
  void Add(const std::string& name, double difference);

  double worst_ = 0.0, first_ = 0.0;
  std::string worst_name_, first_name_;
};

}  // namespace orthant
