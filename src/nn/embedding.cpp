#include "orthant/nn/embedding.h"

#include <cstring>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

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

// Threads share the columns, not the tokens: no two add to the same element and the order of sums is fixed.
template <typename scalar_t>
void Scatter(scalar_t* grad, const int64_t* tokens, int64_t count, const scalar_t* dy, int64_t rows,
             int64_t width, int64_t first) {
  at::parallel_for(0, width, std::max<int64_t>(16, 32768 / std::max<int64_t>(1, count)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = 0; i < count; ++i) {
                       const int64_t row = tokens[i] - first;
                       if (row < 0 || row >= rows) continue;
                       scalar_t* to = grad + row * width;
                       const scalar_t* from = dy + i * width;
                       for (int64_t c = begin; c < end; ++c) to[c] += from[c];
                     }
                   });
}

}  // namespace

at::Tensor EmbeddingLookup(const at::Tensor& tokens, const at::Tensor& table, int64_t first) {
  const int64_t width = table.size(1);
  const at::Tensor ids = tokens.contiguous();
  at::Tensor out = at::empty({ids.size(0), ids.size(1), width}, table.options());
  AT_DISPATCH_FLOATING_TYPES(table.scalar_type(), "embedding_lookup", [&] {
    Lookup(out.data_ptr<scalar_t>(), ids.data_ptr<int64_t>(), ids.numel(), table.data_ptr<scalar_t>(),
           table.size(0), width, first);
  });
  return out;
}

void EmbeddingBackward(const at::Tensor& dy, const at::Tensor& tokens, Parameter& table, int64_t first) {
  const at::Tensor grad = table.grad();
  if (!table.AddsToGrad()) grad.zero_();
  const at::Tensor ids = tokens.contiguous(), rows = dy.contiguous();
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "embedding_backward", [&] {
    Scatter(grad.data_ptr<scalar_t>(), ids.data_ptr<int64_t>(), ids.numel(), rows.data_ptr<scalar_t>(),
            grad.size(0), grad.size(1), first);
  });
  table.ContributionDone();
}

}  // namespace orthant
