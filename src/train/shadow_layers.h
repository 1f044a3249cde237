// What the operations of a block hold while they run and keep for backward: the shadows of nn,
// tensor_parallel and sequence_parallel, with handles on bytes for tensors.
#pragma once

#include <cstdint>
#include <vector>

#include "orthant/model/activation_bytes.h"
#include "orthant/train/memory_estimate.h"
#include "train/memory_ledger.h"
#include "train/shadow_unit.h"

namespace orthant {

// How matrix products are made here (src/nn/matmul.cpp), for what they copy.
struct ProductRoute {
  bool through_float = false;  // 16-bit operands are converted first
  bool transposes = false;     // a transposed first operand is copied
  bool product = false;        // a weight's gradient is a product first, added then

  static ProductRoute Of(at::ScalarType values, at::ScalarType gradients, const ProductKernels& kernels);
};

// The weight and bias of a linear layer, [out, in] on this rank.
struct ShadowLinear {
  std::vector<ShadowUnit*> tiles;
  std::vector<int64_t> rows;  // of each tile
  ShadowUnit* bias = nullptr;
  int64_t out = 0, in = 0;
};

struct ShadowNorm {
  ShadowUnit* weight = nullptr;
  ShadowUnit* bias = nullptr;
};

class ShadowLayers {
 public:
  using Held = MemoryLedger::Held;

  ShadowLayers(MemoryLedger& ledger, const ActivationShape& shape, const ProductRoute& route,
               bool tensor_sequence)
      : ledger_(ledger), shape_(shape), route_(route), tensor_sequence_(tensor_sequence) {}

  const ActivationShape& shape() const { return shape_; }
  const ProductRoute& route() const { return route_; }
  MemoryLedger& ledger() { return ledger_; }
  Held New(int64_t bytes) { return ledger_.Temporary(bytes); }

  // -> the statistics that are kept.
  Held NormForward(const ShadowNorm& norm, Held* y);
  Held NormBackward(const ShadowNorm& norm);

  Held Column(const ShadowLinear& linear);
  Held ColumnBackward(const ShadowLinear& linear, Held dy);
  Held Row(const ShadowLinear& linear);
  Held RowBackward(const ShadowLinear& linear, Held dy);

  // [b, S/t, H] to [b, S, H], and the sum of such back.
  Held Gather();
  Held ReduceScatter();
  // `bytes` of an activation through an all-to-all.
  Held Exchange(Held x);

  // The products over `rows` rows.
  Held Forward(const ShadowLinear& linear, int64_t rows);
  Held BackwardInput(const ShadowLinear& linear, int64_t rows);
  void BackwardWeight(const ShadowLinear& linear, int64_t rows);
  // One weight's gradient [out, in] from `rows` rows; `widened`: the operands have the type of the product.
  void AddProduct(ShadowUnit& unit, int64_t rows, int64_t out, int64_t in, bool widened = false);

 private:
  int64_t Element() const { return shape_.element; }

  MemoryLedger& ledger_;
  ActivationShape shape_;
  ProductRoute route_;
  bool tensor_sequence_;
};

}  // namespace orthant
