#include "train/shadow_layers.h"

namespace orthant {

ProductRoute ProductRoute::Of(at::ScalarType values, at::ScalarType gradients,
                              const ProductKernels& kernels) {
  ProductRoute route;
  route.through_float = values == at::kHalf || (values == at::kBFloat16 && !kernels.bfloat16_products);
  const bool one_dnn = kernels.one_dnn_float && (route.through_float || values == at::kFloat);
  route.transposes = one_dnn;
  route.product = one_dnn || (!route.through_float && values != gradients) ||
                  (route.through_float && gradients != at::kFloat);
  return route;
}

ShadowLayers::Held ShadowLayers::NormForward(const ShadowNorm& norm, Held* y) {
  norm.weight->Read();
  if (norm.bias != nullptr) norm.bias->Read();
  *y = New(shape_.Held());
  return New(2 * shape_.HeldRows() * shape_.statistic);
}

ShadowLayers::Held ShadowLayers::NormBackward(const ShadowNorm& norm) {
  norm.weight->Read();
  if (norm.bias != nullptr) norm.bias->Read();
  Held dx = New(shape_.Held());
  for (ShadowUnit* unit : {norm.weight, norm.bias}) {
    if (unit == nullptr) continue;
    unit->AddGradient();
    unit->Done();
  }
  return dx;
}

ShadowLayers::Held ShadowLayers::Forward(const ShadowLinear& linear, int64_t rows) {
  if (linear.bias != nullptr) linear.bias->Read();
  std::vector<Held> parts;
  for (size_t i = 0; i < linear.tiles.size(); ++i) {
    linear.tiles[i]->Read();
    if (route_.through_float) {
      const Held wide = New(4 * (rows * linear.in + linear.rows[i] * linear.in + rows * linear.rows[i]));
      parts.push_back(New(rows * linear.rows[i] * Element()));
    } else {
      parts.push_back(New(rows * linear.rows[i] * Element()));
    }
    if (linear.tiles.size() > 1) linear.tiles[i]->DoneReading();
  }
  return parts.size() == 1 ? parts.front() : New(rows * linear.out * Element());
}

ShadowLayers::Held ShadowLayers::BackwardInput(const ShadowLinear& linear, int64_t rows) {
  Held dx;
  for (size_t i = 0; i < linear.tiles.size(); ++i) {
    linear.tiles[i]->Read();
    Held scratch;
    const int64_t out = linear.rows[i];
    if (route_.through_float) {
      scratch = New(4 * (rows * linear.in + out * linear.in + rows * out));
    } else if (linear.tiles.size() > 1 && route_.transposes) {
      scratch = New(rows * out * Element());  // a tile's columns, made contiguous
    }
    const Held part = New(rows * linear.in * Element());
    if (dx == nullptr) dx = part;
    if (linear.tiles.size() > 1) linear.tiles[i]->DoneReading();
  }
  return dx;
}

void ShadowLayers::AddProduct(ShadowUnit& unit, int64_t rows, int64_t out, int64_t in, bool widened) {
  const int64_t element = route_.through_float ? 4 : Element();
  Held wide, transposed, product;
  if (route_.through_float && !widened) wide = New(4 * rows * (out + in));
  unit.AddGradient();
  if (route_.transposes) transposed = New(rows * out * element);
  if (route_.product) product = New(out * in * element);
}

void ShadowLayers::BackwardWeight(const ShadowLinear& linear, int64_t rows) {
  for (size_t i = 0; i < linear.tiles.size(); ++i) {
    AddProduct(*linear.tiles[i], rows, linear.rows[i], linear.in);
    linear.tiles[i]->Done();
  }
}

ShadowLayers::Held ShadowLayers::Gather() {
  Held shards = New(shape_.Whole());
  return shape_.samples == 1 ? shards : New(shape_.Whole());
}

ShadowLayers::Held ShadowLayers::ReduceScatter() {
  Held shards;
  if (shape_.samples > 1) shards = New(shape_.Whole());
  return New(shape_.Held());
}

ShadowLayers::Held ShadowLayers::Exchange(Held x) {
  if (shape_.sequence == 1) return x;
  const int64_t bytes = x->bytes();
  const Held send = New(bytes);
  const Held received = New(bytes);
  return New(bytes);
}

ShadowLayers::Held ShadowLayers::Column(const ShadowLinear& linear) {
  Held whole;
  if (tensor_sequence_) whole = Gather();
  return Forward(linear, shape_.Rows());
}

ShadowLayers::Held ShadowLayers::ColumnBackward(const ShadowLinear& linear, Held) {
  Held dx = BackwardInput(linear, shape_.Rows());
  Held whole;
  if (tensor_sequence_) whole = Gather();
  BackwardWeight(linear, shape_.Rows());
  if (linear.bias != nullptr) {
    linear.bias->AddGradient();
    linear.bias->Done();
  }
  if (tensor_sequence_) dx = ReduceScatter();
  return dx;
}

ShadowLayers::Held ShadowLayers::Row(const ShadowLinear& linear) {
  Held y = Forward(linear, shape_.Rows());
  return tensor_sequence_ ? ReduceScatter() : y;
}

ShadowLayers::Held ShadowLayers::RowBackward(const ShadowLinear& linear, Held dy) {
  const Held whole = tensor_sequence_ ? Gather() : dy;
  Held dx = BackwardInput(linear, shape_.Rows());
  BackwardWeight(linear, shape_.Rows());
  if (linear.bias != nullptr) {
    linear.bias->AddGradient();
    linear.bias->Done();
  }
  return dx;
}

}  // namespace orthant
