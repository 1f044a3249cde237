#include "orthant/model/activation_bytes.h"

namespace orthant {

ActivationShape ShapeOf(const ModelConfig& config, int64_t micro_batch, int tensor, int sequence,
                        bool tensor_sequence, at::ScalarType dtype) {
  ActivationShape s;
  s.samples = micro_batch;
  s.context = config.context;
  s.tokens = config.context / sequence;
  s.held = s.tokens / (tensor_sequence ? tensor : 1);
  s.hidden = config.hidden;
  s.heads = config.heads / (int64_t{tensor} * sequence);
  s.head_dim = config.head_dim();
  s.tensor = tensor;
  s.sequence = sequence;
  s.element = static_cast<int64_t>(c10::elementSize(dtype));
  s.statistic = s.element == 8 ? 8 : 4;
  s.core = dtype == at::kHalf ? 4 : s.element;
  s.dropout = config.dropout > 0.0;
  return s;
}

std::vector<SavedTensor> SavedByAttention(const ActivationShape& s) {
  std::vector<SavedTensor> saved;
  if (s.widened() && !s.CopiesHeads())
    saved.push_back({"attn.core", "q, k and v in fp32", 3 * s.CoreFeatures()});
  if (!s.dropout) {
    saved.insert(saved.end(), {{"attn.core", "output", s.CoreFeatures()},
                               {"attn.core", "log-sum-exp", s.samples * s.heads * s.context * s.statistic}});
    return saved;
  }
  if (s.CopiesHeads()) saved.push_back({"attn.core", "q, k and v by head", 3 * s.CoreFeatures()});
  saved.push_back({"attn.core", "scores that lie ahead", s.context * s.context});
  saved.push_back({"attn.core", "probabilities", s.Scores() * s.core});
  saved.push_back({"attn.core", "probabilities that were kept", s.Scores()});
  saved.push_back({"attn.core", "probabilities after dropout", s.Scores() * s.core});
  return saved;
}

std::vector<SavedTensor> SavedByBlock(const ActivationShape& s, RecomputePlan::Kind recompute) {
  if (recompute == RecomputePlan::Kind::kFull) return {{"block", "input", s.Held()}};
  const int64_t statistics = 2 * s.HeldRows() * s.statistic;
  const bool selective = recompute == RecomputePlan::Kind::kSelective;
  std::vector<SavedTensor> saved = {{"ln_1", "input", s.Held()},
                                    {"ln_1", "mean and deviation of each row", statistics},
                                    {"attn.qkv", "input", s.Held()}};
  if (selective || !(s.CopiesHeads() || s.widened()))
    saved.push_back({"attn.core", "q, k and v", 3 * s.Features()});
  if (!selective) {
    for (SavedTensor& tensor : SavedByAttention(s)) saved.push_back(std::move(tensor));
  }
  // The flash kernel's output is attn.out's input; behind an exchange, or heads that were apart, it is a
  // copy.
  if (selective || s.dropout || s.sequence > 1 || s.widened())
    saved.push_back({"attn.out", "input", s.Features()});
  if (s.dropout) saved.push_back({"attn.dropout", "elements that were kept", s.HeldRows() * s.hidden});
  saved.push_back({"ln_2", "input", s.Held()});
  saved.push_back({"ln_2", "mean and deviation of each row", statistics});
  saved.push_back({"mlp.fc", "input", s.Held()});
  saved.push_back({"mlp.gelu", "input", 4 * s.Features()});
  saved.push_back({"mlp.proj", "input", 4 * s.Features()});
  if (s.dropout) saved.push_back({"mlp.dropout", "elements that were kept", s.HeldRows() * s.hidden});
  return saved;
}

std::vector<SavedTensor> SavedByEmbedding(const ActivationShape& s) {
  if (!s.dropout) return {};
  return {{"embedding.dropout", "elements that were kept", s.HeldRows() * s.hidden}};
}

std::vector<SavedTensor> SavedByHead(const ActivationShape& s) {
  return {{"ln_f", "input", s.Held()},
          {"ln_f", "mean and deviation of each row", 2 * s.HeldRows() * s.statistic},
          {"loss", "gradient of its input", s.Whole()}};
}

int64_t SumOf(const std::vector<SavedTensor>& saved) {
  int64_t sum = 0;
  for (const SavedTensor& tensor : saved) sum += tensor.bytes;
  return sum;
}

}  // namespace orthant
