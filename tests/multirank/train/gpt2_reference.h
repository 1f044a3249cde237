// Test support: GPT-2 written plainly in ATen operations, differentiated by LibTorch's autograd. It shares no
// line with the model under test: what agrees with it has right formulas and right hand-written backwards.
#pragma once

#include <cmath>
#include <map>
#include <string>

#include "ATen/ATen.h"
#include "orthant/model/model_config.h"
#include "torch/csrc/autograd/autograd.h"

namespace orthant::testing {

class Gpt2Reference {
 public:
  // `values` by logical name; they are copied and become leaves.
  Gpt2Reference(const ModelConfig& config, const std::map<std::string, at::Tensor>& values)
      : config_(config) {
    for (const auto& [name, value] : values) {
      leaves_[name] = value.detach().clone().requires_grad_(true);
    }
  }

  // tokens [b, S] -> logits [b, S, V]
  at::Tensor Logits(const at::Tensor& tokens) {
    at::Tensor x = at::embedding(Get("wte.weight"), tokens) + Get("wpe.weight").narrow(0, 0, tokens.size(1));
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      const std::string h = "h." + std::to_string(layer) + ".";
      x = x + Attention(Norm(x, h + "ln_1"), h + "attn.");
      const at::Tensor wide = Linear(Norm(x, h + "ln_2"), h + "mlp.c_fc");
      x = x + Linear(at::gelu(wide, config_.activation == "gelu" ? "none" : "tanh"), h + "mlp.c_proj");
    }
    return at::linear(Norm(x, "ln_f"), Get(config_.tie_embeddings ? "wte.weight" : "lm_head.weight"));
  }

  // Mean cross-entropy over all tokens.
  at::Tensor Loss(const at::Tensor& tokens, const at::Tensor& targets) {
    const at::Tensor logits = Logits(tokens);
    const at::Tensor log_probabilities = at::log_softmax(logits.reshape({-1, logits.size(-1)}), -1);
    return at::nll_loss(log_probabilities, targets.reshape({-1}));
  }

  // Differentiates Loss and returns its value.
  double Backward(const at::Tensor& tokens, const at::Tensor& targets) {
    const at::Tensor loss = Loss(tokens, targets);
    torch::autograd::backward({loss}, {});
    return loss.item<double>();
  }

  const std::map<std::string, at::Tensor>& leaves() const { return leaves_; }

 private:
  at::Tensor Get(const std::string& name) const { return leaves_.at(name); }
  at::Tensor Find(const std::string& name) const {
    const auto found = leaves_.find(name);
    return found == leaves_.end() ? at::Tensor() : found->second;
  }
  at::Tensor Norm(const at::Tensor& x, const std::string& name) const {
    const at::Tensor centred = x - x.mean(-1, /*keepdim=*/true);
    const at::Tensor variance = centred.square().mean(-1, /*keepdim=*/true);
    const at::Tensor y = centred * (variance + config_.norm_eps).rsqrt() * Get(name + ".weight");
    const at::Tensor bias = Find(name + ".bias");
    return bias.defined() ? y + bias : y;
  }
  at::Tensor Linear(const at::Tensor& x, const std::string& name) const {
    const at::Tensor bias = Find(name + ".bias");
    const at::Tensor y = at::matmul(x, Get(name + ".weight").reshape({-1, x.size(-1)}).t());
    return bias.defined() ? y + bias.reshape({-1}) : y;
  }
  at::Tensor Attention(const at::Tensor& x, const std::string& name) const {
    const int64_t b = x.size(0), s = x.size(1), d = config_.hidden / config_.heads;
    const at::Tensor qkv =
        Linear(x, name + "c_attn").reshape({b, s, 3, config_.heads, d}).permute({2, 0, 3, 1, 4});
    const at::Tensor scores =
        at::matmul(qkv[0], qkv[1].transpose(-1, -2)) / std::sqrt(static_cast<double>(d));
    const at::Tensor seen = at::ones({s, s}, at::kBool).tril();
    const at::Tensor probabilities = at::softmax(scores.masked_fill(seen.logical_not(), -INFINITY), -1);
    const at::Tensor y =
        at::matmul(probabilities, qkv[2]).permute({0, 2, 1, 3}).reshape({b, s, config_.hidden});
    return Linear(y, name + "c_proj");
  }

  ModelConfig config_;
  std::map<std::string, at::Tensor> leaves_;
};

}  // namespace orthant::testing
