// Comparing a mesh with a one-rank reference, rank by rank: what `orthant verify` and the parity tests share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "orthant/data_parallel/sharded_unit.h"
#include "orthant/train/engine.h"
#include "orthant/train/trainer.h"

namespace orthant {

// Relative differences by what they are differences of: of tolerances, the largest that count as agreement
// (justified in docs/verify.md).
struct Tolerance {
  double numbers = 1e-9;          // loss, gradient norm
  double first_gradients = 1e-9;  // of step 1: no update has come before
  double gradients = 1e-9;        // of later steps
  double values = 1e-9;           // after the last step
  // Values count where the reference's gradient was, at every step, at least this share of the largest of its
  // tensor. AdamW moves a value by the sign of its gradient, nearly: that of a gradient which is rounding
  // alone is arbitrary.
  double settled = 0.0;
};
inline constexpr Tolerance kNoDifference = {0.0, 0.0, 0.0, 0.0, 0.0};
// Of a run in fp64, fp32, bf16 or fp16.
Tolerance ToleranceFor(const std::string& dtype);

enum class What { kFirstGradient, kGradient, kValue };

// Whole logical tensors by name.
using LogicalTensors = std::map<std::string, at::Tensor>;

// What one rank computed. One entry a step, but for the values, which are those after the last.
struct Reference {
  std::vector<double> losses, norms;
  std::vector<LogicalTensors> gradients;
  LogicalTensors values;
  LogicalTensors settled;  // which values count, bool; empty: all
};

// The logical tensors of all gradients or values, of which this rank's shares are filled in; on one rank all
// is.
LogicalTensors CopyTensors(const std::vector<ShardedUnit*>& units, What what);

// The differences that one rank sees, relative to the largest magnitude of the reference tensor.
class Differences {
 public:
  explicit Differences(const Tolerance& tolerance) : tolerance_(tolerance) {}
  void AddNumber(const std::string& name, double value, double reference);
  // This rank's shares against their slices of the reference, where `counting` is true (empty: everywhere);
  // padding must be zero. Computed in the reference's type.
  void AddTensors(const std::vector<ShardedUnit*>& units, What what, const LogicalTensors& reference,
                  const LogicalTensors& counting = {});
  // Keeps the worst of both, and the first.
  void Merge(const Differences& other);

  double worst() const { return worst_; }  // largest relative difference
  // "loss", "grad_norm", "gradient of ...", "value of ..."
  const std::string& worst_name() const { return worst_name_; }
  // The largest of each kind.
  const Tolerance& largest() const { return largest_; }
  // The first, in forward order, beyond the tolerance; "" when there is none.
  const std::string& first_name() const { return first_name_; }
  double first() const { return first_; }

 private:
  // `kind`: a member of Tolerance.
  void Add(const std::string& name, double difference, double Tolerance::*kind);

  Tolerance tolerance_, largest_ = kNoDifference;
  double worst_ = 0.0, first_ = 0.0;
  std::string worst_name_, first_name_;
};

// `steps` steps of `run` on one rank (its mesh must be that of one), on a thread of this process.
Reference RunReference(const PreparedRun& run, int64_t steps);
// The same steps on this rank of `world` (the run's whole mesh), compared as they go. Collective.
Differences CompareRank(const PreparedRun& run, const Reference& reference, Communicator& world);

}  // namespace orthant
