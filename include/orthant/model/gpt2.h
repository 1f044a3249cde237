// The GPT-2 family: pre-norm blocks, GELU, learned positions, bias on or off, tied or untied embeddings,
// dropout on embeddings, attention probabilities and residual branches.
#pragma once

#include "orthant/model/attention.h"
#include "orthant/model/stage_model.h"
#include "orthant/nn/dropout.h"

namespace orthant {

class Gpt2Stage : public StageModel {
 public:
  Gpt2Stage(const ModelConfig& config, const StageShare& share, const StageContext& context);

  at::Tensor Embed(const at::Tensor& tokens) override;
  at::Tensor Blocks(const at::Tensor& x) override;
  at::Tensor Loss(const at::Tensor& x, const at::Tensor& targets, double scale) override;
  at::Tensor Logits(const at::Tensor& x, int64_t position) override;
  std::vector<ShardedUnit*> units() const override;
  ShardedUnit* tied_unit() const override { return tied_unit_; }
  Parameter* tied_parameter() const override {
    return tied_unit_ == nullptr ? nullptr : tied_unit_->Find("wte.weight");
  }

 private:
  struct Norm {
    Parameter* weight = nullptr;
    Parameter* bias = nullptr;
  };
  struct Block {
    int layer = 0;
    std::unique_ptr<ShardedUnit> unit;
    Norm norm1, norm2;
    AttentionParameters attention;
    Parameter *fc = nullptr, *fc_bias = nullptr, *proj = nullptr, *proj_bias = nullptr;
  };

  Block MakeBlock(int layer) const;
  at::Tensor ForwardBlock(const Block& block, const at::Tensor& x) const;
  at::Tensor ApplyNorm(const at::Tensor& x, const Norm& norm) const;
  at::Tensor DropHidden(const at::Tensor& x, DropoutSite site, int64_t layer) const;

  ModelConfig config_;
  StageShare share_;
  StageContext context_;
  std::unique_ptr<ShardedUnit> embedding_, head_;
  std::vector<Block> blocks_;
  Parameter *tokens_ = nullptr, *positions_ = nullptr, *projection_ = nullptr;
  Norm final_norm_;
  ShardedUnit* tied_unit_ = nullptr;
  at::Tensor anchor_;  // scalar that requires grad: where backward ends on the first stage
};

}  // namespace orthant
