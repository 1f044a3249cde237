#include "orthant/train/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ATen/ATen.h"
#include "orthant/core/philox.h"

namespace orthant {

int64_t SampleToken(const at::Tensor& logits, const SamplingOptions& options, double u) {
  const at::Tensor row = logits.to(at::kCPU, at::kDouble).contiguous();
  const double* value = row.data_ptr<double>();
  const int64_t classes = row.numel();
  std::vector<int64_t> order(classes);
  std::iota(order.begin(), order.end(), 0);
  const int64_t kept = options.top_k > 0 ? std::min(options.top_k, classes) : classes;
  const auto likelier = [&](int64_t a, int64_t b) {
    return value[a] != value[b] ? value[a] > value[b] : a < b;
  };
  if (options.temperature == 0.0) return *std::min_element(order.begin(), order.end(), likelier);
  if (kept < classes) {
    std::partial_sort(order.begin(), order.begin() + kept, order.end(), likelier);
    order.resize(kept);
  }
  const double top = value[*std::min_element(order.begin(), order.end(), likelier)];
  std::vector<double> cumulative;
  double sum = 0.0;
  for (int64_t id : order) cumulative.push_back(sum += std::exp((value[id] - top) / options.temperature));
  const auto drawn = std::upper_bound(cumulative.begin(), cumulative.end(), u * sum) - cumulative.begin();
  return order[std::min<int64_t>(drawn, kept - 1)];
}

std::vector<int64_t> Generate(ParallelModel& model, const std::vector<int64_t>& prompt, int64_t context,
                              const SamplingOptions& options) {
  std::vector<int64_t> text = prompt;
  Communicator& pipeline = *model.groups().pipeline;
  const PhiloxKey key = DeriveKey(options.seed, "sample");
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int64_t length = std::min<int64_t>(context, static_cast<int64_t>(text.size()));
    // Causal attention: what follows `position` in the window cannot be seen, so its fill does not matter.
    at::Tensor window = at::zeros({1, context}, at::kLong);
    std::copy(text.end() - length, text.end(), window.data_ptr<int64_t>());
    const at::Tensor logits = model.NextTokenLogits(window, length - 1);
    at::Tensor next = at::zeros({1}, at::kLong);
    if (model.last_stage()) {
      next.fill_(SampleToken(logits, options, Uniform(key, /*hi=*/0, static_cast<uint64_t>(i))));
    }
    pipeline.Broadcast(next, pipeline.size() - 1, "sample");
    text.push_back(next.item<int64_t>());
  }
  return {text.begin() + static_cast<int64_t>(prompt.size()), text.end()};
}

}  // namespace orthant
