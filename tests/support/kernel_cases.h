// Every operation that has kernels of this project and is made of LibTorch's on a GPU, as a function of the
// device: the two are compared on the processor (tests/unit) and between processor and GPU (tests/gpu).
#pragma once

#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/dropout.h"
#include "orthant/nn/embedding.h"
#include "orthant/nn/layer_norm.h"
#include "orthant/nn/matmul.h"
#include "orthant/nn/position_embedding.h"
#include "orthant/nn/softmax_loss.h"
#include "support/owned_parameter.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant::testing {

struct KernelCase {
  std::string name;
  // Relative to the largest magnitude of a result; 0: equal to the bit.
  double tolerance;
  // The same inputs at every call; results in an order of the case's own.
  std::function<std::vector<at::Tensor>(c10::Device)> run;
};

// Normal numbers, the same at every call of the same seed.
inline at::Tensor Numbers(const std::vector<int64_t>& shape, at::ScalarType dtype, c10::Device device,
                          uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator, at::kDouble).to(dtype).to(device);
}
inline at::Tensor Ids(int64_t below, const std::vector<int64_t>& shape, c10::Device device, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randint(below, shape, generator, at::kLong).to(device);
}

inline double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.to(at::kCPU, at::kDouble), y = b.to(at::kCPU, at::kDouble);
  return x.numel() == 0 ? 0.0 : ((x - y).abs().max() / y.abs().max().clamp_min(1e-300)).item<double>();
}

inline std::vector<at::Tensor> RunEmbedding(at::ScalarType dtype, at::ScalarType grad, int64_t first,
                                            c10::Device d) {
  // Some of the ids are below this shard, some above.
  const at::Tensor tokens = Ids(40, {4, 9}, d, 1), dy = Numbers({4, 9, 6}, dtype, d, 2);
  OwnedParameter table(WholeSpec("t", {11, 6}, {}, true), Numbers({11, 6}, dtype, d, 3), grad);
  const at::Tensor y = EmbeddingLookup(tokens, table.value, first);
  EmbeddingBackward(dy, tokens, table.parameter, first);
  EmbeddingBackward(dy * 2, tokens, table.parameter, first);
  return {y, table.grad};
}

inline std::vector<at::Tensor> RunLayerNorm(at::ScalarType dtype, at::ScalarType grad, bool with_bias,
                                            c10::Device d) {
  OwnedParameter weight(WholeSpec("w", {24}, {}, false), Numbers({24}, dtype, d, 1) + 1, grad);
  OwnedParameter bias(WholeSpec("b", {24}, {}, false), Numbers({24}, dtype, d, 2), grad);
  const at::Tensor x = Numbers({3, 7, 24}, dtype, d, 3).requires_grad_();
  const at::Tensor y = LayerNorm(x, weight.parameter, with_bias ? &bias.parameter : nullptr, 1e-5);
  torch::autograd::backward({y}, {Numbers({3, 7, 24}, dtype, d, 4)});
  return {y.detach(), x.grad(), weight.grad, bias.grad};
}

// One shard of a vocabulary, of which another one's maximum and sum are known.
inline std::vector<at::Tensor> RunLoss(at::ScalarType dtype, const VocabShard& shard, c10::Device d) {
  const at::Tensor block = Numbers({8, 13}, dtype, d, 1).mul_(6), targets = Ids(23, {8}, d, 2);
  const at::Tensor maxima = RowMaxima(block, shard), found = maxima.clone();
  maxima.copy_(at::maximum(maxima, Numbers({8}, dtype, d, 3)));
  const at::Tensor sums = ExponentiateRows(block, maxima, targets, shard);
  const at::Tensor exponentials = block.narrow(1, 0, shard.valid).clone();
  GradientRows(block, sums[0] + 1.5, targets, shard, 0.37);
  return {found, sums, exponentials, block};
}

inline std::vector<at::Tensor> RunLinear(at::ScalarType dtype, at::ScalarType grad, c10::Device d) {
  const at::Tensor x = Numbers({5, 3, 16}, dtype, d, 1), dy = Numbers({5, 3, 12}, dtype, d, 2);
  OwnedParameter weight(WholeSpec("w", {12, 16}, {}, true), Numbers({12, 16}, dtype, d, 3), grad);
  OwnedParameter bias(WholeSpec("b", {12}, {}, false), Numbers({12}, dtype, d, 4), grad);
  const at::Tensor y = LinearForward(x, weight.value, bias.value), dx = LinearBackwardInput(dy, weight.value);
  LinearBackwardWeight(dy, x, weight.parameter, &bias.parameter);
  LinearBackwardWeight(dy, x, weight.parameter, &bias.parameter);
  return {y, dx, weight.grad, bias.grad};
}

inline std::vector<at::Tensor> RunPositions(at::ScalarType dtype, at::ScalarType grad, c10::Device d) {
  OwnedParameter table(WholeSpec("p", {8, 6}, {}, true), Numbers({8, 6}, dtype, d, 1), grad);
  const at::Tensor x = Numbers({3, 4, 6}, dtype, d, 2).requires_grad_();
  const at::Tensor y = AddPositions(x, table.parameter, 3);
  torch::autograd::backward({y}, {Numbers({3, 4, 6}, dtype, d, 3)});
  return {y.detach(), x.grad(), table.grad};
}

inline std::vector<at::Tensor> RunAdd(at::ScalarType to, at::ScalarType from, bool add, c10::Device d) {
  const at::Tensor sum = Numbers({3, 1001}, to, d, 1);
  AddOrCopy(sum, Numbers({3, 1001}, from, d, 2), add);
  return {sum};
}

// A window whose runs begin and end anywhere in a Philox block, and more rows than one launch carries.
inline DropoutWindow OddWindow() {
  DropoutWindow window;
  window.logical1 = 9;
  window.begin0 = 2, window.count0 = 3;
  window.begin1 = 4, window.count1 = 5;
  window.count2 = 7;
  return window;
}
inline std::vector<at::Tensor> RunDropout(at::ScalarType dtype, double p, c10::Device d) {
  std::vector<int64_t> rows = {int64_t{1} << 40};
  for (int64_t r = 0; r < 69; ++r) rows.push_back(3 * r);
  const at::Tensor x = Numbers({70, 3, 5, 7}, dtype, d, 1).requires_grad_();
  const at::Tensor y = Dropout(x, p, DropoutKey{1337, 12, 3, DropoutSite::kAttention}, rows, OddWindow());
  torch::autograd::backward({y}, {Numbers({70, 3, 5, 7}, dtype, d, 2)});
  return {y.detach(), x.grad()};
}

inline std::vector<KernelCase> KernelCases() {
  constexpr auto kF64 = at::kDouble, kF32 = at::kFloat, kBf16 = at::kBFloat16, kF16 = at::kHalf;
  std::vector<KernelCase> cases;
  const auto add = [&](const std::string& name, double tolerance,
                       std::function<std::vector<at::Tensor>(c10::Device)> run) {
    cases.push_back({name, tolerance, std::move(run)});
  };
  const std::vector<std::tuple<at::ScalarType, at::ScalarType, double>> types = {
      {kF64, kF64, 1e-13}, {kF32, kF32, 2e-6}, {kBf16, kF32, 2e-2}, {kBf16, kBf16, 3e-2}};
  for (const auto& [dtype, grad, tolerance] : types) {
    const std::string suffix = std::string(c10::toString(dtype)) + "_" + c10::toString(grad);
    for (const int64_t first : {0, 15, 40}) {
      add("Embedding" + std::to_string(first) + suffix, tolerance,
          [=, d = dtype, g = grad](c10::Device at) { return RunEmbedding(d, g, first, at); });
    }
    add("LayerNorm" + suffix, tolerance,
        [d = dtype, g = grad](c10::Device at) { return RunLayerNorm(d, g, true, at); });
    add("LayerNormWithoutBias" + suffix, tolerance,
        [d = dtype, g = grad](c10::Device at) { return RunLayerNorm(d, g, false, at); });
    add("Linear" + suffix, tolerance, [d = dtype, g = grad](c10::Device at) { return RunLinear(d, g, at); });
    add("Positions" + suffix, tolerance,
        [d = dtype, g = grad](c10::Device at) { return RunPositions(d, g, at); });
  }
  for (const auto& [dtype, tolerance] : {std::pair{kF64, 1e-13}, {kF32, 3e-6}}) {
    const std::string suffix = c10::toString(dtype);
    for (const VocabShard shard : {VocabShard{0, 13}, {13, 10}, {26, 0}}) {
      add("Loss" + std::to_string(shard.first) + suffix, tolerance,
          [shard, d = dtype](c10::Device at) { return RunLoss(d, shard, at); });
    }
  }
  for (const auto dtype : {kF64, kF32, kBf16, kF16}) {
    add(std::string("Dropout") + c10::toString(dtype), 0.0,
        [dtype](c10::Device at) { return RunDropout(dtype, 0.3, at); });
  }
  for (const auto narrow : {kBf16, kF16}) {
    for (const auto& [to, from] : {std::pair{kF32, narrow}, {narrow, kF32}, {narrow, narrow}}) {
      const std::string name = std::string("Add") + c10::toString(from) + "To" + c10::toString(to);
      add(name, 0.0, [t = to, f = from](c10::Device at) { return RunAdd(t, f, true, at); });
      add(name + "Copy", 0.0, [t = to, f = from](c10::Device at) { return RunAdd(t, f, false, at); });
    }
    add(std::string("SumOfFirstDim") + c10::toString(narrow), 1e-6, [narrow](c10::Device at) {
      return std::vector<at::Tensor>{SumOfFirstDim(Numbers({70, 5, 9}, narrow, at, 1))};
    });
  }
  return cases;
}

}  // namespace orthant::testing
