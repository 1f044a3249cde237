#include "orthant/optim/adamw.h"

#include <cmath>
#include <utility>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

namespace orthant {
namespace {

// A plain loop that compilers vectorise; memory-bound, so one pass over four arrays is all there is to gain.
template <typename scalar_t>
void UpdateRange(scalar_t* __restrict value, const scalar_t* __restrict gradient, scalar_t* __restrict first,
                 scalar_t* __restrict second, int64_t count, const AdamWStep& s) {
  const auto beta1 = static_cast<scalar_t>(s.beta1), beta2 = static_cast<scalar_t>(s.beta2);
  const auto rest1 = static_cast<scalar_t>(1.0 - s.beta1), rest2 = static_cast<scalar_t>(1.0 - s.beta2);
  const auto scale = static_cast<scalar_t>(s.gradient_scale), eps = static_cast<scalar_t>(s.eps);
  const auto keep = static_cast<scalar_t>(1.0 - s.lr * s.weight_decay);
  const auto rate = static_cast<scalar_t>(s.lr / (1.0 - std::pow(s.beta1, static_cast<double>(s.step))));
  const auto root =
      static_cast<scalar_t>(1.0 / std::sqrt(1.0 - std::pow(s.beta2, static_cast<double>(s.step))));
  for (int64_t i = 0; i < count; ++i) {
    const scalar_t g = gradient[i] * scale;
    const scalar_t m = beta1 * first[i] + rest1 * g;
    const scalar_t v = beta2 * second[i] + rest2 * g * g;
    first[i] = m;
    second[i] = v;
    value[i] = keep * value[i] - rate * m / (std::sqrt(v) * root + eps);
  }
}

}  // namespace

void AdamWUpdate(const at::Tensor& value, const at::Tensor& gradient, const at::Tensor& first_moment,
                 const at::Tensor& second_moment, const AdamWStep& step) {
  AT_DISPATCH_FLOATING_TYPES(value.scalar_type(), "adamw", [&] {
    auto* p = value.data_ptr<scalar_t>();
    const auto* g = gradient.data_ptr<scalar_t>();
    auto* m = first_moment.data_ptr<scalar_t>();
    auto* v = second_moment.data_ptr<scalar_t>();
    at::parallel_for(0, value.numel(), /*grain_size=*/32768, [&](int64_t begin, int64_t end) {
      UpdateRange(p + begin, g + begin, m + begin, v + begin, end - begin, step);
    });
  });
}

AdamW::AdamW(std::vector<ShardedUnit*> units, const OptimizerConfig& config)
    : units_(std::move(units)), config_(config) {
  for (ShardedUnit* unit : units_) {
    const at::Tensor values = unit->values();
    moments_.push_back({at::zeros_like(values), at::zeros_like(values)});
  }
}

void AdamW::Step(int64_t step, double lr, double gradient_scale) {
  for (size_t u = 0; u < units_.size(); ++u) {
    const at::Tensor values = units_[u]->values(), gradients = units_[u]->gradients();
    for (const Segment& segment : units_[u]->segments()) {
      const int64_t begin = segment.begin, count = segment.end - segment.begin;
      const AdamWStep numbers{lr,
                              config_.betas[0],
                              config_.betas[1],
                              config_.eps,
                              segment.decay ? config_.weight_decay : 0.0,
                              gradient_scale,
                              step};
      AdamWUpdate(values.narrow(0, begin, count), gradients.narrow(0, begin, count),
                  moments_[u].first.narrow(0, begin, count), moments_[u].second.narrow(0, begin, count),
                  numbers);
    }
  }
}

int64_t AdamW::StateBytes() const {
  int64_t bytes = 0;
  for (const Moments& m : moments_) bytes += static_cast<int64_t>(m.first.nbytes() + m.second.nbytes());
  return bytes;
}

}  // namespace orthant
