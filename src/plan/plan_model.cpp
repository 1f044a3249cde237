#include "orthant/plan/plan_model.h"

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/mesh/divisors.h"

namespace orthant {
namespace {

absl::Status MustDivide(const LoadedConfig* loaded, const std::string& key, int64_t value,
                        const std::string& whole, int64_t of) {
  if (value > 0 && of % value == 0) return absl::OkStatus();
  const std::string cited = loaded != nullptr ? loaded->Cite(key) : absl::StrCat(key, " = ", value);
  return ConfigurationError(absl::StrCat(cited, " must divide ", whole, " = ", of,
                                         "; nearest legal: ", AnyOf(NearestDivisors(of, value))));
}

}  // namespace

int64_t PlanModel::BlockParameters() const {
  const int64_t norms = 2 * hidden * (bias ? 2 : 1);
  const int64_t biases = bias ? hidden + 2 * KvWidth() + hidden + FfnInputs() + hidden : 0;
  return BlockMatrix() + norms + biases;
}

int64_t PlanModel::EmbeddingParameters() const {
  return vocab * hidden + (gated() ? 0 : context * hidden);
}

int64_t PlanModel::HeadParameters() const {
  return hidden * (bias ? 2 : 1) + (tie_embeddings ? 0 : vocab * hidden);
}

int64_t PlanModel::Parameters() const {
  return EmbeddingParameters() + layers * BlockParameters() + HeadParameters();
}

double PlanModel::AttentionFlopsPerToken() const {
  // Two products of hidden x context / 2 multiply-adds forward, twice that backward.
  return 6.0 * static_cast<double>(layers) * static_cast<double>(hidden) * static_cast<double>(context);
}

double PlanModel::FlopsPerToken() const {
  const double products = static_cast<double>(layers) * static_cast<double>(BlockMatrix()) +
                          static_cast<double>(vocab) * static_cast<double>(hidden);
  return 6.0 * products + AttentionFlopsPerToken();
}

void Describe(Fields& f, PlanModel& m) {
  f.Choice("family", &m.family, {"gpt2", "llama"})
      .Doc("gpt2: layer norm, GELU, learned positions; llama: RMS norm, gated MLP, rotary positions.");
  f.Integer("layers", &m.layers).AtLeast(1).Doc("Transformer blocks.");
  f.Integer("heads", &m.heads).AtLeast(1).Doc("Attention heads; must divide hidden.");
  f.Integer("kv_heads", &m.kv_heads).AtLeast(0).Doc("Heads of keys and values; must divide heads; 0: all.");
  f.Integer("hidden", &m.hidden).AtLeast(1).Doc("Width of the residual stream.");
  f.Integer("ffn", &m.ffn).AtLeast(0).Doc("Width of the MLP; 0: 4 hidden.");
  f.Integer("context", &m.context).AtLeast(1).Unit("tokens").Doc("Sequence length of a sample.");
  f.Integer("vocab", &m.vocab).AtLeast(1).Unit("classes").Doc("Size of the vocabulary.");
  f.Bool("bias", &m.bias).Doc("Biases in linear layers and norms.");
  f.Real("dropout", &m.dropout).AtLeast(0).Below(1).Doc("Probability of dropping an element.");
  f.Bool("tie_embeddings", &m.tie_embeddings).Doc("The vocabulary projection is the token embedding.");
}

absl::Status CheckPlanModel(const PlanModel& m, const LoadedConfig* loaded) {
  if (absl::Status s = MustDivide(loaded, "model.heads", m.heads, "model.hidden", m.hidden); !s.ok())
    return s;
  if (m.kv_heads == 0) return absl::OkStatus();
  return MustDivide(loaded, "model.kv_heads", m.kv_heads, "model.heads", m.heads);
}

absl::StatusOr<PlanFile> LoadPlanFile(const std::string& path, const std::vector<std::string>& overrides,
                                      std::string* family) {
  PlanFile file;
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(path, overrides, [&file](Fields& fields) {
    fields.Section("model", "The model.", [&file](Fields& f) { Describe(f, file.model); });
    fields.Section("train", "How it is trained.", [&file](Fields& f) {
      f.Integer("global_batch", &file.global_batch).AtLeast(0).Unit("samples").Doc("Samples of a step.");
      f.Choice("dtype", &file.dtype, {"fp64", "fp32", "bf16", "fp16"}).Doc("Type of values and activations.");
    });
  });
  if (family != nullptr) *family = file.model.family;
  if (!loaded.ok()) return loaded.status();
  if (file.model.vocab == 0)
    return ConfigurationError(absl::StrCat(path, ": model.vocab is not set; give it, as model.vocab=50304"));
  if (const absl::Status checked = CheckPlanModel(file.model, &*loaded); !checked.ok()) return checked;
  return file;
}

}  // namespace orthant
