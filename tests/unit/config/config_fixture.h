// A small configuration with a field of every kind, for the tests of the config room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/config/config.h"

namespace orthant::testing {

struct SampleConfig {
  std::string name = "run";
  int64_t layers = 4;
  int heads = 4;
  double dropout = 0.0;
  std::string family = "gpt2";
  double theta = 10000.0;
  int64_t tensor = 1;
  int64_t steps = 10;
  double lr = 1e-3;
  bool clip = false;
  int64_t buffer = 64 << 20;
  std::vector<double> betas = {0.9, 0.95};
  std::vector<int64_t> stages;
  std::vector<std::string> order;
};

inline void Describe(Fields& f, SampleConfig& c) {
  f.Section("run", "The run.", [&](Fields& s) { s.Text("name", &c.name).Doc("Its name."); });
  f.Section("model", "The model.", [&](Fields& s) {
    s.Integer("layers", &c.layers).AtLeast(1).Unit("blocks").Doc("Transformer blocks.");
    s.Integer("heads", &c.heads).Above(0).Doc("Heads.");
    s.Section("rope", "Rotary positions.",
              [&](Fields& r) { r.Real("theta", &c.theta).Above(0).Doc("Base."); });
    s.Real("dropout", &c.dropout).AtLeast(0).Below(1).Doc("Share of zeros.");
    s.Choice("family", &c.family, {"gpt2", "llama"}).Doc("What | is built.");
  });
  f.Section("parallel", "The mesh.",
            [&](Fields& s) { s.Integer("tensor", &c.tensor).AtLeast(1).Doc("Degree."); });
  f.Section("train", "Steps.", [&](Fields& s) {
    s.Integer("steps", &c.steps).AtLeast(0).Doc("Steps.");
    s.Real("lr", &c.lr).AtMost(10).Doc("Rate.");
    s.Bool("clip", &c.clip).Doc("Whether.");
    s.Bytes("buffer", &c.buffer).AtLeast(4096).Doc("Bytes.");
    s.Reals("betas", &c.betas).Count(2).AtLeast(0).Below(1).Doc("Decay rates.");
    s.Integers("stages", &c.stages).AtLeast(1).Doc("Layers of each stage.");
    s.Texts("order", &c.order).Doc("Order.");
  });
}

inline absl::StatusOr<LoadedConfig> LoadText(const std::string& text,
                                             const std::vector<std::string>& overrides,
                                             SampleConfig& config) {
  return LoadConfigFromText(text, "run.yaml", overrides, [&](Fields& f) { Describe(f, config); });
}

}  // namespace orthant::testing
