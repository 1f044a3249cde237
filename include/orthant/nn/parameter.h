// Parameter: this rank's share of one logical tensor, with its gradient. Not an autograd leaf: the operations
// of this project write gradients straight into `grad`, so there is no hidden copy, hook or allocation
// between a backward and the bucket that reduces it.
#pragma once

#include <cstdint>
#include <functional>
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

  std::vector<int64_t> LocalShape() const;
  bool replicated_over_tensor() const { return shard_dim < 0; }
};

// Spec of a parameter split evenly along `dim` over `parts` (its length padded up to a multiple), of which
// this rank holds `part`.
ParameterSpec ShardedSpec(std::string name, std::vector<int64_t> shape, int dim, int parts, int part,
                          Init init, bool decay);
// Spec of a parameter that every tensor rank holds whole.
ParameterSpec WholeSpec(std::string name, std::vector<int64_t> shape, Init init, bool decay);

// Used by the owning rank's thread alone. `value` and `grad` are views into the unit's flat buffers.
class Parameter {
 public:
  explicit Parameter(ParameterSpec spec) : spec_(std::move(spec)) {}
  Parameter(const Parameter&) = delete;
  Parameter& operator=(const Parameter&) = delete;

  const ParameterSpec& spec() const { return spec_; }
  const at::Tensor& value() const { return value_; }
  const at::Tensor& grad() const { return grad_; }

  // Called by the owner of the memory. `ready` runs when the last contribution of a step has been added.
  void Attach(at::Tensor value, at::Tensor grad, std::function<void()> ready);
  // Opens a step: the first contribution overwrites the gradient, later ones add. `microbatches` backwards
  // follow.
  void BeginStep(int microbatches);

  // True when the gradient holds earlier contributions of this step, so that the caller must add to it; false
  // when it must overwrite. Counts the call as the contribution itself.
  bool AddsToGrad();
  // Tells that one use's contribution of one microbatch is complete; the last of the step runs `ready`.
  void ContributionDone();
  // Contributions of this step still missing.
  int contributions_left() const { return contributions_left_; }

 private:
  ParameterSpec spec_;
  at::Tensor value_, grad_;
  std::function<void()> ready_;
  bool has_grad_ = false;
  int contributions_left_ = 0;
};

// Fills `value` (local shape) by the spec's rule from (seed, logical name, logical element index): each rank
// draws its own share alone. Padding is zero.
void Initialize(const ParameterSpec& spec, uint64_t seed, const at::Tensor& value);

}  // namespace orthant
