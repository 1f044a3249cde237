#include "model/gpt2_specs.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

Init Normal(double stddev) {
  return {Init::Kind::kNormal, stddev};
}
constexpr Init kZeros{Init::Kind::kZeros, 0.0};
constexpr Init kOnes{Init::Kind::kOnes, 0.0};

void AddNorm(std::vector<ParameterSpec>& specs, const ModelConfig& c, const std::string& name) {
  specs.push_back(WholeSpec(name + ".weight", {c.hidden}, kOnes, false));
  if (c.bias) specs.push_back(WholeSpec(name + ".bias", {c.hidden}, kZeros, false));
}

}  // namespace

std::string BlockName(int layer, const std::string& rest) {
  return absl::StrCat("h.", layer, ".", rest);
}

std::vector<ParameterSpec> Gpt2EmbeddingSpecs(const ModelConfig& c, int64_t vocab, int parts, int part) {
  return {ShardedSpec("wte.weight", {vocab, c.hidden}, 0, parts, part, Normal(c.init_std), true),
          WholeSpec("wpe.weight", {c.context, c.hidden}, Normal(c.init_std), true)};
}

std::vector<ParameterSpec> Gpt2BlockSpecs(const ModelConfig& c, int layer, int parts, int part) {
  const int64_t h = c.hidden;
  const Init weight = Normal(c.init_std);
  const Init residual = Normal(c.init_std / std::sqrt(2.0 * static_cast<double>(c.layers)));
  const auto name = [&](const char* rest) { return BlockName(layer, rest); };
  std::vector<ParameterSpec> specs;
  AddNorm(specs, c, name("ln_1"));
  specs.push_back(ShardedSpec(name("attn.c_attn.weight"), {3, h, h}, 1, parts, part, weight, true));
  specs.push_back(ShardedSpec(name("attn.c_proj.weight"), {h, h}, 1, parts, part, residual, true));
  AddNorm(specs, c, name("ln_2"));
  specs.push_back(ShardedSpec(name("mlp.c_fc.weight"), {4 * h, h}, 0, parts, part, weight, true));
  specs.push_back(ShardedSpec(name("mlp.c_proj.weight"), {h, 4 * h}, 1, parts, part, residual, true));
  for (ParameterSpec& spec : specs) spec.linear = spec.shape.size() > 1;
  if (c.bias) {
    specs.push_back(ShardedSpec(name("attn.c_attn.bias"), {3, h}, 1, parts, part, kZeros, false));
    specs.push_back(WholeSpec(name("attn.c_proj.bias"), {h}, kZeros, false));
    specs.push_back(ShardedSpec(name("mlp.c_fc.bias"), {4 * h}, 0, parts, part, kZeros, false));
    specs.push_back(WholeSpec(name("mlp.c_proj.bias"), {h}, kZeros, false));
  }
  return specs;
}

std::vector<ParameterSpec> Gpt2HeadSpecs(const ModelConfig& c, int64_t vocab, bool with_embedding, int parts,
                                         int part) {
  std::vector<ParameterSpec> specs;
  AddNorm(specs, c, "ln_f");
  if (c.tie_embeddings && with_embedding) return specs;
  // A tied copy draws the same numbers as the embedding: they hang on the logical name.
  specs.push_back(ShardedSpec(c.tie_embeddings ? "wte.weight" : "lm_head.weight", {vocab, c.hidden}, 0, parts,
                              part, Normal(c.init_std), true));
  specs.back().tied_copy = c.tie_embeddings;
  return specs;
}

Gpt2StageSpecs SpecsOfGpt2Stage(const ModelConfig& c, const StageShare& share, int64_t vocab, int parts,
                                int part) {
  const bool across = c.tie_embeddings && share.embedding != share.head;
  Gpt2StageSpecs stage;
  if (share.embedding) {
    stage.embedding = Gpt2EmbeddingSpecs(c, vocab, parts, part);
    if (c.tie_embeddings && share.head) stage.embedding.front().uses = 2;  // looked up and projected onto
    if (across) {
      stage.table = {stage.embedding.front()};
      stage.embedding.erase(stage.embedding.begin());
    }
  }
  for (int64_t l = 0; l < share.layers; ++l) {
    stage.blocks.push_back(Gpt2BlockSpecs(c, static_cast<int>(share.first_layer + l), parts, part));
  }
  if (share.head) {
    stage.head = Gpt2HeadSpecs(c, vocab, share.embedding, parts, part);
    if (across) {
      stage.table = {stage.head.back()};
      stage.head.pop_back();
    }
  }
  return stage;
}

}  // namespace orthant
