// Text from the model, over the whole mesh: every rank takes part in each token, and every mesh draws the
// same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/data/tokenizer.h"
#include "orthant/train/parallel_model.h"

namespace orthant {

struct SamplingOptions {
  int64_t tokens = 200;
  double temperature = 0.8;  // 0: the likeliest token
  int64_t top_k = 0;         // 0: among all
  uint64_t seed = 0;         // draws hang on (seed, index of the token) alone
};

// The id drawn from `logits` [V] with the uniform number u in [0, 1). Pure.
int64_t SampleToken(const at::Tensor& logits, const SamplingOptions& options, double u);

// Continues `prompt` (at least one id) by options.tokens ids, each seeing the last `context` ones. -> the new
// ids, the same on every rank. Collective over the world.
std::vector<int64_t> Generate(ParallelModel& model, const std::vector<int64_t>& prompt, int64_t context,
                              const SamplingOptions& options);

}  // namespace orthant
