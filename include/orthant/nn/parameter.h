// Parameter: this rank's share of one logical tensor, with its gradient. Not an autograd leaf: the operations
// of this project write gradients straight into `grad`, so there is no hidden copy, hook or allocation
// between a backward and the bucket that reduces it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"

namespace orthant {

// How the values of a new parameter are drawn (counter-based, by logical position: the same on any mesh).
struct Init {
  enum class Kind { kZeros, kOnes, kNormal };
  Kind kind = Kind::kZeros;
  double stddev = 0.0;  // kNormal: mean 0
};

// What a parameter is, before it has memory. Pure data.
struct ParameterSpec {
  std::string name;            // logical name, as "h.3.attn.c_attn.weight"
  std::vector<int64_t> shape;  // logical shape: whole and without padding
  int shard_dim = -1;          // dim split over the tensor axis; -1: every tensor rank holds all of it
  int64_t shard_begin = 0;     // first index along shard_dim held here
  int64_t shard_length = 0;    // indices held here along shard_dim, padding excluded (0: all is padding)
  int64_t local_length = 0;    // indices of the local tensor along shard_dim, padding included
  Init init;
  bool decay = true;       // weight decay applies (matrices)
  bool tied_copy = false;  // a second copy of a logical tensor that another stage owns (tied embeddings)
  int uses = 1;            // operations that add to its gradient in one backward (2: tied on one stage)
  bool linear = false;     // the weight of a linear layer, which may be tiled
  // A tile: `rows` rows, from `row_begin`, of the local tensor seen as [rows, its last dim]; -1: all of it.
  int64_t row_begin = 0, rows = -1;

  std::vector<int64_t> LocalShape() const;
  int64_t LocalElements() const;
  bool replicated_over_tensor() const { return shard_dim < 0; }
};

// A stretch of the local tensor and where it lies in the logical one, both flattened row-major. In elements.
struct LogicalRun {
  int64_t local = 0, logical = 0, length = 0;
};
// Where the local elements come from, ascending in both; padding is in no run.
std::vector<LogicalRun> LogicalRuns(const ParameterSpec& spec);

// Spec of a parameter split evenly along `dim` over `parts` (its length padded up to a multiple), of which
// this rank holds `part`.
ParameterSpec ShardedSpec(std::string name, std::vector<int64_t> shape, int dim, int parts, int part,
                          Init init, bool decay);
// Spec of a parameter that every tensor rank holds whole.
ParameterSpec WholeSpec(std::string name, std::vector<int64_t> shape, Init init, bool decay);

// Who gives parameters their memory (a ShardedUnit): values may be gathered only when they are read,
// gradients only while they are added to. Used by the parameters' own thread.
class ParameterOwner {
 public:
  virtual ~ParameterOwner() = default;
  bool values_present() const { return values_present_; }
  bool gradients_present() const { return gradients_present_; }
  virtual void NeedValues() = 0;     // afterwards values_present()
  virtual void NeedGradients() = 0;  // afterwards gradients_present()
  // A tile has been read, and others of its weight come next.
  virtual void DoneReading() {}
  // One use of one of its parameters has added all of its contribution of one microbatch.
  virtual void ContributionDone() = 0;

 protected:
  bool values_present_ = true, gradients_present_ = true;
};

// Used by the owning rank's thread alone. `value` and `grad` are views into the unit's flat buffers; their
// dtypes may differ (16-bit values with fp32 gradients). An operation reads value() before it tells
// ContributionDone(): afterwards the owner may take the memory back.
class Parameter {
 public:
  explicit Parameter(ParameterSpec spec) : spec_(std::move(spec)) {}
  Parameter(const Parameter&) = delete;
  Parameter& operator=(const Parameter&) = delete;

  const ParameterSpec& spec() const { return spec_; }
  // Gathers the values first where they are sharded: a collective over the unit's group.
  const at::Tensor& value() const {
    if (owner_ != nullptr && !owner_->values_present()) owner_->NeedValues();
    return value_;
  }
  // Holds garbage until the first contribution.
  const at::Tensor& grad() const {
    if (owner_ != nullptr && !owner_->gradients_present()) owner_->NeedGradients();
    return grad_;
  }

  // Called by the owner of the memory, which may be null for memory that stays.
  void Attach(at::Tensor value, at::Tensor grad, ParameterOwner* owner);
  // The gradient starts afresh: the first contribution overwrites it, later ones add.
  void StartGradient() { has_grad_ = false; }
  bool has_grad() const { return has_grad_; }  // a contribution has come since

  // True when the gradient holds earlier contributions, so that the caller must add to it; false when it must
  // overwrite. Counts the call as the contribution itself.
  bool AddsToGrad();
  // Tells that a tile has been read.
  void DoneReading() const {
    if (owner_ != nullptr) owner_->DoneReading();
  }
  // Tells that one use's contribution of one microbatch is complete.
  void ContributionDone();

 private:
  ParameterSpec spec_;
  at::Tensor value_, grad_;
  ParameterOwner* owner_ = nullptr;
  bool has_grad_ = false;
};

// Fills `value` (local shape) by the spec's rule from (seed, logical name, logical element index): each rank
// draws its own share alone. Padding is zero. 16-bit values are rounded from the fp32 draw.
void Initialize(const ParameterSpec& spec, uint64_t seed, const at::Tensor& value);

}  // namespace orthant
