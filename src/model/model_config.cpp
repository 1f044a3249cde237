#include "orthant/model/model_config.h"

namespace orthant {

void Describe(Fields& f, ModelConfig& c) {
  f.Choice("family", &c.family, {"gpt2"}).Doc("Architecture: gpt2 (pre-norm, learned positions).");
  f.Integer("layers", &c.layers).AtLeast(1).Doc("Transformer blocks.");
  f.Integer("heads", &c.heads).AtLeast(1).Doc("Attention heads; must divide hidden.");
  f.Integer("hidden", &c.hidden).AtLeast(1).Doc("Width of the residual stream.");
  f.Integer("context", &c.context).AtLeast(1).Unit("tokens").Doc("Sequence length of a sample.");
  f.Integer("vocab", &c.vocab)
      .AtLeast(0)
      .Unit("classes")
      .Doc("Size of the vocabulary, at least the data's; 0 takes the data's own.");
  f.Bool("bias", &c.bias).Doc("Biases in linear layers and norms.");
  f.Real("dropout", &c.dropout)
      .AtLeast(0)
      .Below(1)
      .Doc("Probability of dropping an element: embeddings, attention probabilities, residual branches.");
  f.Bool("tie_embeddings", &c.tie_embeddings).Doc("The vocabulary projection is the token embedding.");
  f.Choice("activation", &c.activation, {"gelu", "gelu_tanh"})
      .Doc("Activation of the MLP: gelu is the erf form, gelu_tanh the approximation that GPT-2 uses.");
  f.Real("norm_eps", &c.norm_eps).Above(0).Doc("Epsilon inside layer norms.");
  f.Real("init_std", &c.init_std)
      .AtLeast(0)
      .Doc(
          "Standard deviation of initial weights; projections onto the residual stream use it / sqrt(2 "
          "layers).");
}

int64_t CountParameters(const ModelConfig& c, int64_t vocab) {
  const int64_t h = c.hidden;
  const int64_t norm = c.bias ? 2 * h : h;
  const int64_t block = 12 * h * h + (c.bias ? 9 * h : 0) + 2 * norm;
  return vocab * h * (c.tie_embeddings ? 1 : 2) + c.context * h + c.layers * block + norm;
}

double FlopsPerToken(const ModelConfig& c, int64_t vocab) {
  const double h = static_cast<double>(c.hidden);
  const double products = static_cast<double>(c.layers) * 12.0 * h * h + static_cast<double>(vocab) * h;
  return 6.0 * products + 6.0 * static_cast<double>(c.layers) * h * static_cast<double>(c.context);
}

}  // namespace orthant
