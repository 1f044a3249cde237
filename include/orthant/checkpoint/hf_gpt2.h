// Hugging Face's GPT-2 (transformers, GPT2LMHeadModel) beside this program's: config.json, names of tensors,
// and how each lies there. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "orthant/model/model_config.h"

namespace orthant {

// One tensor on both sides.
struct OutsideTensor {
  std::string name;            // outside: "transformer.h.3.attn.c_attn.weight"
  std::vector<int64_t> shape;  // outside
  std::string logical;         // "h.3.attn.c_attn.weight"
  std::vector<int64_t> logical_shape;
  // The logical tensor as [all other dims, last dim] is the transpose of the outside one: Conv1D keeps
  // [in, out], a linear layer here [out, in].
  bool transposed = false;
  // A bias, which every layer has there: zero, and not in the checkpoint, when model.bias is off.
  bool bias = false;
};

// Every tensor of the model, embeddings first. `config.vocab` is resolved.
std::vector<OutsideTensor> HfGpt2Tensors(const ModelConfig& config);

// The fields that GPT2Config reads. `dtype`: of the values, "fp32".
nlohmann::ordered_json HfGpt2Config(const ModelConfig& config, const std::string& dtype);

// The model that config.json describes, with biases. DataError naming `path`, key and value: another family,
// a key missing, what this program's GPT-2 does not compute (another width of the MLP, another activation,
// attention scaled otherwise, three dropout rates that differ).
absl::StatusOr<ModelConfig> ModelOfHfConfig(const nlohmann::json& config, const std::string& path);

// The logical name of a tensor of the files, whose names may lack "transformer."; "" for buffers that hold no
// parameter (attn.bias, attn.masked_bias: the causal mask) and for lm_head.weight where it is tied.
std::string LogicalNameOfHf(const std::string& name, bool tied);

// A ModelConfig as manifests keep it, {"family": "gpt2", "layers": 12, ...}, and back. DataError naming
// `path`: keys missing, or of another type or range.
nlohmann::ordered_json ModelToJson(const ModelConfig& config);
absl::StatusOr<ModelConfig> ModelFromJson(const nlohmann::json& json, const std::string& path);

}  // namespace orthant
