#include "orthant/nn/embedding.h"

#include <algorithm>
#include <compare>
#include <cstring>
#include <span>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "orthant/nn/accumulate.h"
#include "orthant/nn/kernels.h"
#include "orthant/nn/widen.h"

namespace orthant {
namespace {

template <typename scalar_t>
void Lookup(scalar_t* out, const int64_t* tokens, int64_t count, const scalar_t* table, int64_t rows,
            int64_t width, int64_t first) {
  at::parallel_for(0, count, std::max<int64_t>(1, 32768 / width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = tokens[i] - first;
      if (row >= 0 && row < rows) {
        std::memcpy(out + i * width, table + row * width, width * sizeof(scalar_t));
      } else {
        std::memset(out + i * width, 0, width * sizeof(scalar_t));
      }
    }
  });
}

// One token that names a row of this table, and where it stands. Sorts by row, then by place.
struct Place {
  int64_t row, place;
  friend auto operator<=>(const Place&, const Place&) = default;
};

std::vector<Place> PlacesByRow(const int64_t* tokens, int64_t count, int64_t rows, int64_t first) {
  std::vector<Place> places;
  places.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    if (tokens[i] >= first && tokens[i] < first + rows) places.push_back({tokens[i] - first, i});
  }
  std::sort(places.begin(), places.end());
  return places;
}

// row += the sum of dy at `places`, in their order; of 16-bit numbers in fp32, rounded once.
template <typename grad_t, typename dy_t>
void AddToRow(grad_t* row, const dy_t* dy, std::span<const Place> places, int64_t width) {
  if constexpr (std::is_same_v<dy_t, Wide<dy_t>>) {
    for (const Place& p : places) {
      const dy_t* from = dy + p.place * width;
      for (int64_t c = 0; c < width; ++c) row[c] += from[c];
    }
  } else {
    float sum[kWidenBlock], summand[kWidenBlock];
    for (int64_t begin = 0; begin < width; begin += kWidenBlock) {
      const int64_t n = std::min(kWidenBlock, width - begin);
      Widen(row + begin, sum, n);
      for (const Place& p : places) {
        Widen(dy + p.place * width + begin, summand, n);
        for (int64_t c = 0; c < n; ++c) sum[c] += summand[c];
      }
      Narrow(sum, row + begin, n);
    }
  }
}

// Threads share the rows: no two add to the same element and the order of sums is fixed.
template <typename grad_t, typename dy_t>
void Scatter(const at::Tensor& grad, const at::Tensor& dy, const at::Tensor& tokens, int64_t first) {
  const auto* from = dy.const_data_ptr<dy_t>();
  auto* to = grad.data_ptr<grad_t>();
  const int64_t width = grad.size(1);
  const std::vector<Place> places =
      PlacesByRow(tokens.const_data_ptr<int64_t>(), tokens.numel(), grad.size(0), first);
  std::vector<size_t> starts;  // in `places`, of each row that is named; and the end
  for (size_t i = 0; i < places.size(); ++i) {
    if (i == 0 || places[i].row != places[i - 1].row) starts.push_back(i);
  }
  const auto named = static_cast<int64_t>(starts.size());
  starts.push_back(places.size());
  at::parallel_for(0, named, std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto at = std::span<const Place>(places).subspan(starts[r], starts[r + 1] - starts[r]);
      AddToRow(to + at.front().row * width, from, at, width);
    }
  });
}

// Made of LibTorch's kernels. Ids that are held elsewhere stand for rows all over this table, whose values
// are blanked and to whose gradients zeros are added: one row for all of them would be added to one by one.
struct AtenRows {
  AtenRows(const at::Tensor& ids, int64_t first, int64_t rows)
      : row((ids.view({-1}) - first).remainder(rows)),
        elsewhere(ids.view({-1}).lt(first).logical_or(ids.view({-1}).ge(first + rows)).unsqueeze(1)) {}
  at::Tensor row, elsewhere;  // [N] int64, [N, 1] bool
};

at::Tensor AtenLookup(const at::Tensor& ids, const at::Tensor& table, int64_t first) {
  const AtenRows at(ids, first, table.size(0));
  return table.index_select(0, at.row).masked_fill_(at.elsewhere, 0).view({ids.size(0), ids.size(1), -1});
}

// index_put_ sorts by row when it accumulates on a GPU: the order of sums is fixed.
void AtenScatter(const at::Tensor& grad, const at::Tensor& dy, const at::Tensor& ids, int64_t first) {
  const AtenRows at(ids, first, grad.size(0));
  const at::ScalarType wide = at::toOpMathType(grad.scalar_type());
  const at::Tensor summands = dy.reshape({-1, dy.size(-1)}).to(wide).masked_fill(at.elsewhere, 0);
  const at::Tensor sum =
      grad.scalar_type() == wide ? grad : at::zeros(grad.sizes(), grad.options().dtype(wide));
  sum.index_put_({at.row}, summands, /*accumulate=*/true);
  if (!sum.is_same(grad)) AddOrCopy(grad, sum, true);
}

}  // namespace

at::Tensor EmbeddingLookup(const at::Tensor& tokens, const at::Tensor& table, int64_t first) {
  const int64_t width = table.size(1);
  const at::Tensor ids = tokens.contiguous();
  if (!OwnKernels(table)) return AtenLookup(ids, table, first);
  at::Tensor out = at::empty({ids.size(0), ids.size(1), width}, table.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, table.scalar_type(), "embedding_lookup", [&] {
    Lookup(out.data_ptr<scalar_t>(), ids.data_ptr<int64_t>(), ids.numel(), table.data_ptr<scalar_t>(),
           table.size(0), width, first);
  });
  return out;
}

void EmbeddingBackward(const at::Tensor& dy, const at::Tensor& tokens, Parameter& table, int64_t first) {
  const bool add = table.AddsToGrad();
  const at::Tensor grad = table.grad();
  if (!add) grad.zero_();
  const at::Tensor ids = tokens.contiguous(), rows = dy.contiguous();
  if (OwnKernels(grad)) {
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, rows.scalar_type(), "embedding_backward", [&] {
      if (grad.scalar_type() == rows.scalar_type()) {
        Scatter<scalar_t, scalar_t>(grad, rows, ids, first);
      } else {
        Scatter<float, scalar_t>(grad, rows, ids, first);
      }
    });
  } else {
    AtenScatter(grad, rows, ids, first);
  }
  table.ContributionDone();
}

}  // namespace orthant
