#include "orthant/nn/weight.h"

#include "ATen/ATen.h"
#include "orthant/nn/matmul.h"

namespace orthant {
namespace {

int64_t RowsOf(const Parameter& tile) {
  const ParameterSpec& spec = tile.spec();
  return spec.LocalElements() / spec.LocalShape().back();
}

// Calls use(tile, first row, rows) for each tile.
template <typename Use>
void ForTiles(const Weight& weight, const Use& use) {
  int64_t row = 0;
  for (Parameter* tile : weight.tiles()) {
    const int64_t rows = RowsOf(*tile);
    use(*tile, row, rows);
    row += rows;
  }
}

}  // namespace

void Weight::Save(torch::autograd::AutogradContext& ctx, const char* name) const {
  c10::List<int64_t> addresses;
  for (Parameter* tile : tiles_) addresses.push_back(static_cast<int64_t>(reinterpret_cast<intptr_t>(tile)));
  ctx.saved_data[name] = addresses;
}

Weight Weight::Load(torch::autograd::AutogradContext& ctx, const char* name) {
  std::vector<Parameter*> tiles;
  for (const int64_t address : ctx.saved_data[name].toIntVector()) {
    tiles.push_back(reinterpret_cast<Parameter*>(static_cast<intptr_t>(address)));
  }
  return Weight(std::move(tiles));
}

at::Tensor LinearForward(const at::Tensor& x, const Weight& weight, const at::Tensor& bias) {
  if (!weight.tiled()) return LinearForward(x, weight.whole().value(), bias);
  std::vector<at::Tensor> parts;
  const at::Tensor flat_bias = bias.defined() ? bias.view({-1}) : bias;
  ForTiles(weight, [&](Parameter& tile, int64_t row, int64_t rows) {
    parts.push_back(
        LinearForward(x, tile.value(), bias.defined() ? flat_bias.narrow(0, row, rows) : flat_bias));
    tile.DoneReading();
  });
  return at::cat(parts, -1);
}

at::Tensor LinearBackwardInput(const at::Tensor& dy, const Weight& weight) {
  if (!weight.tiled()) return LinearBackwardInput(dy, weight.whole().value());
  at::Tensor dx;
  ForTiles(weight, [&](Parameter& tile, int64_t row, int64_t rows) {
    const at::Tensor part = LinearBackwardInput(dy.narrow(-1, row, rows), tile.value());
    tile.DoneReading();
    dx = dx.defined() ? dx.add_(part) : part;
  });
  return dx;
}

void LinearBackwardWeight(const at::Tensor& dy, const at::Tensor& x, const Weight& weight, Parameter* bias) {
  ForTiles(weight, [&](Parameter& tile, int64_t row, int64_t rows) {
    LinearBackwardWeight(weight.tiled() ? dy.narrow(-1, row, rows) : dy, x, tile, nullptr);
  });
  if (bias != nullptr) BiasBackward(dy, *bias);
}

}  // namespace orthant
