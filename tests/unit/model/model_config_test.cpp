// Counts that follow from the model section alone, against the parameter lists and against published figures.
#include "orthant/model/model_config.h"

#include <gtest/gtest.h>

#include <set>

#include "model/gpt2_specs.h"  // of the room itself: not installed

namespace orthant {
namespace {

ModelConfig Gpt2(int64_t layers, int64_t hidden, int64_t context, bool bias, bool tied) {
  ModelConfig c;
  c.layers = layers;
  c.heads = 4;
  c.hidden = hidden;
  c.context = context;
  c.bias = bias;
  c.tie_embeddings = tied;
  return c;
}

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t d : shape) count *= d;
  return count;
}

std::vector<ParameterSpec> AllSpecs(const ModelConfig& c, int64_t vocab, bool one_stage, int parts,
                                    int part) {
  std::vector<ParameterSpec> all = Gpt2EmbeddingSpecs(c, vocab, parts, part);
  const auto append = [&](const std::vector<ParameterSpec>& specs) {
    all.insert(all.end(), specs.begin(), specs.end());
  };
  for (int layer = 0; layer < c.layers; ++layer) append(Gpt2BlockSpecs(c, layer, parts, part));
  append(Gpt2HeadSpecs(c, vocab, one_stage, parts, part));
  return all;
}

// Elements of the logical tensors, tied copies left out.
int64_t LogicalElements(const std::vector<ParameterSpec>& specs) {
  int64_t count = 0;
  for (const ParameterSpec& spec : specs) count += spec.tied_copy ? 0 : Elements(spec.shape);
  return count;
}

TEST(CountParameters, IsTheSumOfTheSpecs) {
  for (bool bias : {false, true}) {
    for (bool tied : {false, true}) {
      const ModelConfig c = Gpt2(3, 24, 10, bias, tied);
      for (bool one_stage : {false, true}) {
        EXPECT_EQ(CountParameters(c, 61), LogicalElements(AllSpecs(c, 61, one_stage, 1, 0)))
            << "bias " << bias << ", tied " << tied << ", one stage " << one_stage;
      }
    }
  }
}

TEST(CountParameters, CountsNoPaddingOfTensorRanks) {
  const ModelConfig c = Gpt2(2, 24, 10, true, true);
  EXPECT_EQ(CountParameters(c, 61), LogicalElements(AllSpecs(c, 61, true, 4, 1)));
}

TEST(CountParameters, IsGpt2sPublishedFigure) {
  // Radford et al. 2019: "124M" (the paper's own table says 117M, which its authors corrected).
  EXPECT_EQ(CountParameters(Gpt2(12, 768, 1024, true, true), 50257), 124439808);
  EXPECT_EQ(CountParameters(Gpt2(24, 1024, 1024, true, true), 50257), 354823168);
  EXPECT_EQ(CountParameters(Gpt2(48, 1600, 1024, true, true), 50257), 1557611200);
}

TEST(CountParameters, IsWhatAPrintedTrainingLogCounts) {
  // A nanoGPT-style run of 12 x 768, context 1024, 65 characters, without bias: "num decayed parameter
  // tensors: 50, with 85,771,008 parameters; non-decayed: 25, with 19,200 parameters; num_params=85003776"
  // (positions left out).
  const ModelConfig c = Gpt2(12, 768, 1024, false, true);
  int64_t decayed = 0, decayed_tensors = 0, others = 0, other_tensors = 0;
  for (const ParameterSpec& spec : AllSpecs(c, 65, true, 1, 0)) {
    (spec.decay ? decayed : others) += Elements(spec.shape);
    ++(spec.decay ? decayed_tensors : other_tensors);
  }
  EXPECT_EQ(decayed, 85771008);
  EXPECT_EQ(decayed_tensors, 50);
  EXPECT_EQ(others, 19200);
  EXPECT_EQ(other_tensors, 25);
  EXPECT_EQ(CountParameters(c, 65), 85771008 + 19200);
  EXPECT_EQ(CountParameters(c, 65) - 1024 * 768, 85003776);
}

TEST(Specs, ShardsOfAllTensorRanksAreTheWhole) {
  const ModelConfig c = Gpt2(2, 24, 10, true, false);
  const int parts = 4;
  std::vector<std::vector<ParameterSpec>> ranks;
  for (int part = 0; part < parts; ++part) ranks.push_back(AllSpecs(c, 61, true, parts, part));
  for (size_t i = 0; i < ranks[0].size(); ++i) {
    const ParameterSpec& first = ranks[0][i];
    if (first.shard_dim < 0) continue;
    int64_t next = 0;
    for (const auto& specs : ranks) {
      EXPECT_EQ(specs[i].name, first.name);
      EXPECT_EQ(specs[i].shard_begin, next) << first.name;
      EXPECT_EQ(specs[i].local_length, first.local_length) << first.name;
      next += specs[i].shard_length;
    }
    EXPECT_EQ(next, first.shape[first.shard_dim]) << first.name;
  }
}

TEST(Specs, NamesAreUniqueAndOnlyMatricesDecay) {
  const ModelConfig c = Gpt2(3, 24, 10, true, false);
  std::set<std::string> names;
  for (const ParameterSpec& spec : AllSpecs(c, 61, true, 1, 0)) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    const bool matrix =
        spec.name.find("bias") == std::string::npos && spec.name.find("ln_") == std::string::npos;
    EXPECT_EQ(spec.decay, matrix) << spec.name;
  }
  EXPECT_EQ(names.count("h.2.mlp.c_proj.weight"), 1u);
}

TEST(Specs, WithoutBiasNothingIsCalledBias) {
  for (const ParameterSpec& spec : AllSpecs(Gpt2(2, 24, 10, false, true), 61, true, 1, 0)) {
    EXPECT_EQ(spec.name.find("bias"), std::string::npos) << spec.name;
  }
}

TEST(Specs, ATiedCopyStandsOnTheLastStageAlone) {
  const ModelConfig tied = Gpt2(1, 24, 10, false, true);
  EXPECT_EQ(Gpt2HeadSpecs(tied, 61, /*with_embedding=*/true, 1, 0).size(), 1u);
  const std::vector<ParameterSpec> last = Gpt2HeadSpecs(tied, 61, /*with_embedding=*/false, 1, 0);
  ASSERT_EQ(last.size(), 2u);
  EXPECT_EQ(last[1].name, "wte.weight");
  EXPECT_TRUE(last[1].tied_copy);
  const std::vector<ParameterSpec> untied = Gpt2HeadSpecs(Gpt2(1, 24, 10, false, false), 61, false, 1, 0);
  EXPECT_EQ(untied.back().name, "lm_head.weight");
  EXPECT_FALSE(untied.back().tied_copy);
}

TEST(FlopsPerToken, IsTheStatedFormula) {
  const ModelConfig c = Gpt2(12, 768, 1024, true, true);
  const double matrices = 12.0 * 12 * 768 * 768 + 50257.0 * 768;
  EXPECT_EQ(FlopsPerToken(c, 50257), 6 * matrices + 6.0 * 12 * 768 * 1024);
}

TEST(FlopsPerToken, CountsTheProducts) {
  // One layer by hand: a token's forward multiplies with qkv (3 H^2), out (H^2), the MLP (8 H^2) and the
  // projection (V H); attention reads (S + 1) / 2 keys and values on average, here rounded to S / 2. Backward
  // costs twice that.
  const ModelConfig c = Gpt2(1, 32, 16, false, false);
  const double forward = 2.0 * (12 * 32 * 32 + 61 * 32) + 2.0 * 2 * (16 / 2) * 32;
  EXPECT_EQ(FlopsPerToken(c, 61), 3.0 * forward);
}

TEST(FlopsPerToken, LookupsNormsAndTyingCostNothing) {
  EXPECT_EQ(FlopsPerToken(Gpt2(2, 32, 16, true, true), 61), FlopsPerToken(Gpt2(2, 32, 16, false, false), 61));
}

}  // namespace
}  // namespace orthant
