// The GPT-2 family: pre-norm blocks, GELU, learned positions, bias on or off, tied or untied embeddings,
// dropout on embeddings, attention probabilities and residual branches.
#pragma once

#include "orthant/model/attention.h"
#include "orthant/model/stage_model.h"
#include "orthant/nn/dropout.h"

namespace orthant {

struct Gpt2StageSpecs;

class Gpt2Stage : public StageModel {
 public:
  Gpt2Stage(const ModelConfig& config, const StageShare& share, const StageContext& context);

  at::Tensor Embed(const at::Tensor& tokens) override;
  at::Tensor Blocks(const at::Tensor& x) override;
  at::Tensor Loss(const at::Tensor& x, const at::Tensor& targets, double scale,
                  double gradient_scale) override;
  at::Tensor Logits(const at::Tensor& x, int64_t position) override;
  std::vector<ShardedUnit*> units() const override;
  std::vector<ShardedUnit*> tied_units() const override;

 private:
  struct Norm {
    Parameter* weight = nullptr;
    Parameter* bias = nullptr;
  };
  using Units = std::vector<std::unique_ptr<ShardedUnit>>;
  struct Block {
    int layer = 0;
    Units units;
    Norm norm1, norm2;
    AttentionParameters attention;
    Weight fc, proj;
    Parameter *fc_bias = nullptr, *proj_bias = nullptr;
  };

  UnitOptions UnitAt(int64_t layer) const;
  void Probe(int64_t layer, const std::string& what, const at::Tensor& x) const;
  void MakeEnds(Gpt2StageSpecs specs);
  Block MakeBlock(int layer, std::vector<ParameterSpec> specs) const;
  at::Tensor RunBlock(const Block& block, const at::Tensor& x) const;
  at::Tensor Activate(const at::Tensor& x, int layer) const;
  at::Tensor ForwardBlock(const Block& block, const at::Tensor& x) const;
  at::Tensor ApplyNorm(const at::Tensor& x, const Norm& norm) const;
  at::Tensor DropHidden(const at::Tensor& x, DropoutSite site, int64_t layer) const;

  ModelConfig config_;
  StageShare share_;
  StageContext context_;
  // A table that is tied across stages has units of its own; elsewhere it belongs to the embedding, or the
  // head.
  Units embedding_, head_, table_;
  std::vector<Block> blocks_;
  Parameter *tokens_ = nullptr, *positions_ = nullptr, *projection_ = nullptr;
  Norm final_norm_;
  at::Tensor anchor_;  // scalar that requires grad: where backward ends on the first stage
};

}  // namespace orthant
