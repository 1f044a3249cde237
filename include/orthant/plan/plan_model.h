// A model as the planner sees it: its shape and what follows from it, parameters and floating-point
// operations. Pure; a family that the trainer lacks may be planned too.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/config/config.h"

namespace orthant {

struct PlanModel {
  std::string family = "gpt2";  // gpt2: layer norm, GELU, learned positions; llama: RMS norm, gated, rotary
  int64_t layers = 4;
  int64_t heads = 4;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t hidden = 128;
  int64_t ffn = 0;  // width of the MLP; 0: 4 hidden
  int64_t context = 64;
  int64_t vocab = 0;
  bool bias = false;
  double dropout = 0;
  bool tie_embeddings = true;

  bool gated() const { return family == "llama"; }
  bool trainable() const { return family == "gpt2"; }  // by Orthant today
  int64_t head_dim() const { return hidden / heads; }
  int64_t Ffn() const { return ffn > 0 ? ffn : 4 * hidden; }
  int64_t KvWidth() const { return (kv_heads > 0 ? kv_heads : heads) * head_dim(); }
  int64_t FfnInputs() const { return (gated() ? 2 : 1) * Ffn(); }  // columns of the MLP's first product
  // Elements of the matrices of a block.
  int64_t BlockMatrix() const {
    return hidden * (hidden + 2 * KvWidth()) + hidden * hidden + hidden * (FfnInputs() + Ffn());
  }
  int64_t BlockParameters() const;
  int64_t EmbeddingParameters() const;  // table and positions
  int64_t HeadParameters() const;       // final norm, and a table of its own where embeddings are not tied
  int64_t Parameters() const;           // of the whole model, tied tensors once

  // Model FLOPs of forward and backward for a token: 6 for each element of a matrix (the vocabulary's
  // projection included), and causal attention counted once, as `mfu` of a run.
  double FlopsPerToken() const;
  // Of them attention's products alone.
  double AttentionFlopsPerToken() const;
};

// The `model` section of configs/models/*.yaml and of a run.
void Describe(Fields& fields, PlanModel& model);

// ConfigurationError with key, value, rule and nearest legal value, and the place where `loaded` has it.
absl::Status CheckPlanModel(const PlanModel& model, const LoadedConfig* loaded = nullptr);

// What `orthant plan` reads from a file of configs/models: the model and how it is trained.
struct PlanFile {
  PlanModel model;
  int64_t global_batch = 0;  // samples; 0: not said
  std::string dtype = "bf16";
};

// `family`, if given, is set to the file's even where something else of it is wrong.
absl::StatusOr<PlanFile> LoadPlanFile(const std::string& path, const std::vector<std::string>& overrides,
                                      std::string* family = nullptr);

}  // namespace orthant
