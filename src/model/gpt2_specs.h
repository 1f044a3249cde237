// Parameter lists of the GPT-2 family, unit by unit: pure data.
#pragma once

#include <string>
#include <vector>

#include "orthant/model/model_config.h"
#include "orthant/model/stage_share.h"
#include "orthant/nn/parameter.h"

namespace orthant {

// "h.3.attn.c_attn.weight"
std::string BlockName(int layer, const std::string& rest);

// `parts` and `part`: tensor degree and position.
std::vector<ParameterSpec> Gpt2EmbeddingSpecs(const ModelConfig& config, int64_t vocab, int parts, int part);
std::vector<ParameterSpec> Gpt2BlockSpecs(const ModelConfig& config, int layer, int parts, int part);
// The final norm, and the vocabulary projection unless it is the embedding of the same stage.
std::vector<ParameterSpec> Gpt2HeadSpecs(const ModelConfig& config, int64_t vocab, bool with_embedding,
                                         int parts, int part);

// A stage's parameters, by the units (or groups of units) that they live in.
struct Gpt2StageSpecs {
  std::vector<ParameterSpec>
      table;  // the embedding tied across stages: first and last stage hold a copy each
  std::vector<ParameterSpec> embedding, head;
  std::vector<std::vector<ParameterSpec>> blocks;  // by layer of the stage
};
Gpt2StageSpecs SpecsOfGpt2Stage(const ModelConfig& config, const StageShare& share, int64_t vocab, int parts,
                                int part);

}  // namespace orthant
