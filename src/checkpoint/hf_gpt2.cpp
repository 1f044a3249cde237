#include "orthant/checkpoint/hf_gpt2.h"

#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr char kPrefix[] = "transformer.";
constexpr int64_t kGpt2EndOfText = 50256;

void AddLayer(const ModelConfig& c, int64_t layer, std::vector<OutsideTensor>* tensors) {
  const int64_t h = c.hidden;
  const auto add = [&](const char* rest, std::vector<int64_t> shape, std::vector<int64_t> logical,
                       bool transposed, bool bias) {
    const std::string name = absl::StrCat("h.", layer, ".", rest);
    tensors->push_back({kPrefix + name, std::move(shape), name, std::move(logical), transposed, bias});
  };
  add("ln_1.weight", {h}, {h}, false, false);
  add("ln_1.bias", {h}, {h}, false, true);
  // [q | k | v] side by side there, one above the other here.
  add("attn.c_attn.weight", {h, 3 * h}, {3, h, h}, true, false);
  add("attn.c_attn.bias", {3 * h}, {3, h}, false, true);
  add("attn.c_proj.weight", {h, h}, {h, h}, true, false);
  add("attn.c_proj.bias", {h}, {h}, false, true);
  add("ln_2.weight", {h}, {h}, false, false);
  add("ln_2.bias", {h}, {h}, false, true);
  add("mlp.c_fc.weight", {h, 4 * h}, {4 * h, h}, true, false);
  add("mlp.c_fc.bias", {4 * h}, {4 * h}, false, true);
  add("mlp.c_proj.weight", {4 * h, h}, {h, 4 * h}, true, false);
  add("mlp.c_proj.bias", {h}, {h}, false, true);
}

const char* HfDtype(const std::string& dtype) {
  return dtype == "fp64" ? "float64" : dtype == "bf16" ? "bfloat16" : dtype == "fp16" ? "float16" : "float32";
}

// Reads keys of one JSON object; the first that is wrong is kept.
class Keys {
 public:
  Keys(const nlohmann::json& json, const std::string& path) : json_(json), path_(path) {
    if (!json_.is_object()) Fail("is no JSON object");
  }
  bool Has(const char* key) const {
    return json_.is_object() && json_.contains(key) && !json_[key].is_null();
  }
  int64_t Count(const char* key) {
    if (!Has(key)) return Missing(key), 1;
    const nlohmann::json& value = json_[key];
    // Beyond any model, and small enough for products of dims.
    constexpr int64_t kMost = int64_t{1} << 24;
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > kMost) {
      return Wrong(key, "is no count of 1 or more"), 1;
    }
    return value.get<int64_t>();
  }
  double Real(const char* key, double fallback) {
    if (!Has(key)) return fallback;
    if (!json_[key].is_number()) return Wrong(key, "is no number"), fallback;
    return json_[key].get<double>();
  }
  bool Bool(const char* key, bool fallback) {
    if (!Has(key)) return fallback;
    if (!json_[key].is_boolean()) return Wrong(key, "is neither true nor false"), fallback;
    return json_[key].get<bool>();
  }
  std::string Word(const char* key, const std::string& fallback) {
    if (!Has(key)) return fallback;
    if (!json_[key].is_string()) return Wrong(key, "is no text"), fallback;
    return json_[key].get<std::string>();
  }
  void Missing(const char* key) { Fail(absl::StrCat(key, " is missing")); }
  void Wrong(const char* key, const std::string& why) {
    constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
    Fail(absl::StrCat(key, ": ", json_[key].dump(-1, ' ', false, kReplace), " ", why));
  }
  const absl::Status& status() const { return status_; }

 private:
  void Fail(const std::string& what) {
    if (status_.ok()) status_ = DataError(absl::StrCat(path_, ": ", what));
  }

  const nlohmann::json& json_;
  std::string path_;
  absl::Status status_;
};

// What transformers can be told that this program's GPT-2 does not compute.
void CheckSameArithmetic(Keys& keys, const ModelConfig& c) {
  if (keys.Has("n_inner") && keys.Count("n_inner") != 4 * c.hidden) {
    keys.Wrong("n_inner", absl::StrCat("is not 4 x n_embd = ", 4 * c.hidden, ", the width of the MLP here"));
  }
  if (!keys.Bool("scale_attn_weights", true)) {
    keys.Wrong("scale_attn_weights", "means attention without 1/sqrt(head width)");
  }
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    if (keys.Bool(key, false)) keys.Wrong(key, "has no counterpart in this program's GPT-2");
  }
}

void CheckModel(Keys& keys, const ModelConfig& c, const char* heads_key, const char* dropout_key) {
  if (c.hidden % c.heads != 0) {
    keys.Wrong(heads_key, absl::StrCat("heads do not divide a width of ", c.hidden));
  }
  if (!(c.dropout >= 0.0 && c.dropout < 1.0)) keys.Wrong(dropout_key, "is no probability below 1");
}

}  // namespace

std::vector<OutsideTensor> HfGpt2Tensors(const ModelConfig& c) {
  const int64_t h = c.hidden;
  std::vector<OutsideTensor> tensors;
  const auto add = [&](const std::string& name, const std::string& logical, std::vector<int64_t> shape,
                       bool bias) {
    tensors.push_back({name, shape, logical, shape, false, bias});
  };
  add("transformer.wte.weight", "wte.weight", {c.vocab, h}, false);
  add("transformer.wpe.weight", "wpe.weight", {c.context, h}, false);
  for (int64_t layer = 0; layer < c.layers; ++layer) AddLayer(c, layer, &tensors);
  add("transformer.ln_f.weight", "ln_f.weight", {h}, false);
  add("transformer.ln_f.bias", "ln_f.bias", {h}, true);
  if (!c.tie_embeddings) add("lm_head.weight", "lm_head.weight", {c.vocab, h}, false);
  return tensors;
}

nlohmann::ordered_json HfGpt2Config(const ModelConfig& c, const std::string& dtype) {
  nlohmann::ordered_json config;
  config["architectures"] = {"GPT2LMHeadModel"};
  config["model_type"] = "gpt2";
  config["n_layer"] = c.layers;
  config["n_head"] = c.heads;
  config["n_embd"] = c.hidden;
  config["n_positions"] = c.context;
  config["n_ctx"] = c.context;
  config["vocab_size"] = c.vocab;
  config["n_inner"] = nullptr;
  config["activation_function"] = c.activation == "gelu_tanh" ? "gelu_new" : "gelu";
  config["layer_norm_epsilon"] = c.norm_eps;
  config["initializer_range"] = c.init_std;
  for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) config[key] = c.dropout;
  config["tie_word_embeddings"] = c.tie_embeddings;
  config["scale_attn_weights"] = true;
  config["torch_dtype"] = HfDtype(dtype);
  // GPT2Config's own default is GPT-2's end of text, which other vocabularies do not have.
  const bool gpt2_vocabulary = c.vocab == kGpt2EndOfText + 1;
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    config[key] = gpt2_vocabulary ? nlohmann::ordered_json(kGpt2EndOfText) : nlohmann::ordered_json(nullptr);
  }
  return config;
}

absl::StatusOr<ModelConfig> ModelOfHfConfig(const nlohmann::json& config, const std::string& path) {
  Keys keys(config, path);
  if (!keys.status().ok()) return keys.status();
  if (!keys.Has("model_type")) keys.Missing("model_type");
  if (keys.Word("model_type", "gpt2") != "gpt2") {
    keys.Wrong("model_type", "is a family that cannot be imported; gpt2 can");
  }
  ModelConfig c;
  c.layers = keys.Count("n_layer");
  c.heads = keys.Count("n_head");
  c.hidden = keys.Count("n_embd");
  c.context = keys.Count(keys.Has("n_positions") || !keys.Has("n_ctx") ? "n_positions" : "n_ctx");
  c.vocab = keys.Count("vocab_size");
  c.bias = true;
  c.dropout = keys.Real("resid_pdrop", 0.1);  // GPT2Config's defaults
  for (const char* key : {"embd_pdrop", "attn_pdrop"}) {
    if (keys.Real(key, 0.1) != c.dropout) {
      keys.Wrong(key, absl::StrCat("is not resid_pdrop, which is ", c.dropout,
                                   "; one rate, model.dropout, serves all three: edit config.json"));
    }
  }
  c.tie_embeddings = keys.Bool("tie_word_embeddings", true);
  const std::string activation = keys.Word("activation_function", "gelu_new");
  c.activation = activation == "gelu" ? "gelu" : "gelu_tanh";
  if (activation != "gelu" && activation != "gelu_new" && activation != "gelu_pytorch_tanh") {
    keys.Wrong("activation_function", "is none of gelu, gelu_new, gelu_pytorch_tanh");
  }
  c.norm_eps = keys.Real("layer_norm_epsilon", 1e-5);
  c.init_std = keys.Real("initializer_range", 0.02);
  CheckSameArithmetic(keys, c);
  CheckModel(keys, c, "n_head", "resid_pdrop");
  if (!keys.status().ok()) return keys.status();
  return c;
}

std::string LogicalNameOfHf(const std::string& name, bool tied) {
  if (name == "lm_head.weight") return tied ? "" : name;
  const std::string logical(absl::StripPrefix(name, kPrefix));
  if (absl::EndsWith(logical, ".attn.bias") || absl::EndsWith(logical, ".attn.masked_bias")) return "";
  return logical;
}

nlohmann::ordered_json ModelToJson(const ModelConfig& c) {
  return {{"family", c.family},
          {"layers", c.layers},
          {"heads", c.heads},
          {"hidden", c.hidden},
          {"context", c.context},
          {"vocab", c.vocab},
          {"bias", c.bias},
          {"dropout", c.dropout},
          {"tie_embeddings", c.tie_embeddings},
          {"activation", c.activation},
          {"norm_eps", c.norm_eps},
          {"init_std", c.init_std}};
}

absl::StatusOr<ModelConfig> ModelFromJson(const nlohmann::json& json, const std::string& path) {
  Keys keys(json, path);
  if (!keys.status().ok()) return keys.status();
  ModelConfig c;
  c.family = keys.Word("family", c.family);
  c.layers = keys.Count("layers");
  c.heads = keys.Count("heads");
  c.hidden = keys.Count("hidden");
  c.context = keys.Count("context");
  c.vocab = keys.Count("vocab");
  c.bias = keys.Bool("bias", c.bias);
  c.dropout = keys.Real("dropout", c.dropout);
  c.tie_embeddings = keys.Bool("tie_embeddings", c.tie_embeddings);
  c.activation = keys.Word("activation", c.activation);
  c.norm_eps = keys.Real("norm_eps", c.norm_eps);
  c.init_std = keys.Real("init_std", c.init_std);
  CheckModel(keys, c, "heads", "dropout");
  if (!keys.status().ok()) return keys.status();
  return c;
}

}  // namespace orthant
