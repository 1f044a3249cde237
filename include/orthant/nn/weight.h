// Weight: the matrix of a linear layer, whole or as tiles of rows that are gathered, used and released one
// after another (memory-centric tiling: ZeRO-Infinity, arXiv 2104.07857, section 5.1.3).
#pragma once

#include <vector>

#include "orthant/nn/parameter.h"
#include "torch/csrc/autograd/custom_function.h"

namespace orthant {

// Does not own. Logical [M, K]; a weight of more than two dims counts as its rows of the last one.
class Weight {
 public:
  Weight() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a whole parameter is the usual weight
  Weight(Parameter& whole) : tiles_{&whole} {}
  // Tiles of one parameter, in the order of their rows.
  explicit Weight(std::vector<Parameter*> tiles) : tiles_(std::move(tiles)) {}

  const std::vector<Parameter*>& tiles() const { return tiles_; }
  bool tiled() const { return tiles_.size() > 1; }
  Parameter& whole() const { return *tiles_.front(); }

  // In an autograd context, by address: the parameters outlive the graph.
  void Save(torch::autograd::AutogradContext& ctx, const char* name) const;
  static Weight Load(torch::autograd::AutogradContext& ctx, const char* name);

 private:
  std::vector<Parameter*> tiles_;
};

// The products of matmul.h over all tiles.
at::Tensor LinearForward(const at::Tensor& x, const Weight& weight, const at::Tensor& bias);
at::Tensor LinearBackwardInput(const at::Tensor& dy, const Weight& weight);
void LinearBackwardWeight(const at::Tensor& dy, const at::Tensor& x, const Weight& weight, Parameter* bias);

}  // namespace orthant
