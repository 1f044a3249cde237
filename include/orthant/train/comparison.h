// Comparing a mesh with a one-rank reference, rank by rank: what `orthant verify` and the parity tests share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/train/engine.h"
#include "orthant/train/trainer.h"

namespace orthant {

// The largest relative difference that counts as agreement.
inline constexpr double kVerifyTolerance = 1e-9;

enum class What { kGradient, kValue };

// Whole logical tensors by name.
using LogicalTensors = std::map<std::string, at::Tensor>;

// What one rank computed. One entry a step, but for the values, which are those after the last.
struct Reference {
  std::vector<double> losses, norms;
  std::vector<LogicalTensors> gradients;
  LogicalTensors values;
};

// Copies of this rank's shares of all gradients or values, without padding; on one rank these are the logical
// tensors.
LogicalTensors CopyTensors(const std::vector<ShardedUnit*>& units, What what);

// The differences that one rank sees, relative to the largest magnitude of the reference tensor.
class Differences {
 public:
  void AddNumber(const std::string& name, double value, double reference);
  // This rank's shares against their slices of the reference; padding must be zero.
  void AddTensors(const std::vector<ShardedUnit*>& units, What what, const LogicalTensors& reference);
  // Keeps the worst of both, and the first.
  void Merge(const Differences& other);

  double worst() const { return worst_; }  // largest relative difference
  const std::string& worst_name() const {
    return worst_name_;
  }  // "loss", "grad_norm", "gradient of ...", "value of ..."
  // The first, in forward order, beyond the tolerance; "" when there is none.
  const std::string& first_name() const { return first_name_; }
  double first() const { return first_; }

 private:
  void Add(const std::string& name, double difference);

  double worst_ = 0.0, first_ = 0.0;
  std::string worst_name_, first_name_;
};

// `steps` steps of `run` on one rank (its mesh must be that of one), on a thread of this process.
Reference RunReference(const PreparedRun& run, int64_t steps);
// The same steps on this rank of `world` (the run's whole mesh), compared as they go. Collective.
Differences CompareRank(const PreparedRun& run, const Reference& reference, Communicator& world);

}  // namespace orthant
