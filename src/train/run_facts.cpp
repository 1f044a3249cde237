#include "orthant/train/run_facts.h"

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/data/sampler.h"
#include "orthant/model/model_config.h"

namespace orthant {

nlohmann::ordered_json CheckpointFacts(const PreparedRun& run, const Progress& progress) {
  const RunConfig& c = run.config;
  const Degrees degrees = run.mesh.degrees();
  return {{"name", c.run.name},
          {"content", c.checkpoint.content},
          {"seed", c.run.seed},
          {"dtype", c.train.dtype},
          {"ranks", degrees.world()},
          {"zero", c.parallel.zero},
          {"mesh",
           {{"data", degrees.data},
            {"tensor", degrees.tensor},
            {"pipeline", degrees.pipeline},
            {"sequence", degrees.sequence}}},
          {"parameters", CountParameters(c.model, run.vocab)},
          {"model",
           {{"family", c.model.family},
            {"layers", c.model.layers},
            {"heads", c.model.heads},
            {"hidden", c.model.hidden},
            {"context", c.model.context},
            {"vocab", run.vocab},
            {"bias", c.model.bias},
            {"dropout", c.model.dropout},
            {"tie_embeddings", c.model.tie_embeddings},
            {"activation", c.model.activation},
            {"norm_eps", c.model.norm_eps}}},
          {"sampler_position", progress.next_batch() * c.train.global_batch},
          {"progress", ToJson(progress)},
          {"config", run.config_text}};
}

absl::Status WriteSkippedLedger(const PreparedRun& run, const std::vector<SkippedBatches>& skipped) {
  const std::string path = run.config.RunDir() + "/skipped.jsonl";
  if (skipped.empty()) {
    std::error_code error;
    std::filesystem::remove(path, error);
    return absl::OkStatus();
  }
  const RunConfig& c = run.config;
  const auto order = TrainingSequence::Create(static_cast<uint64_t>(c.run.seed), run.dataset.train->tokens(),
                                              c.model.context, run.dataset.train->name());
  if (!order.ok()) return order.status();
  std::string text;
  for (const SkippedBatches& s : skipped) {
    nlohmann::ordered_json line = {{"step", s.step},
                                   {"reason", s.reason},
                                   {"rolled_back", s.rolled_back},
                                   {"first_batch", s.first},
                                   {"batches", s.count}};
    nlohmann::ordered_json samples = nlohmann::ordered_json::array();
    for (int64_t i = s.first * c.train.global_batch; i < (s.first + s.count) * c.train.global_batch; ++i)
      samples.push_back(order->At(i).sample);
    line["samples"] = std::move(samples);
    absl::StrAppend(&text, line.dump(), "\n");
  }
  return WriteFileAtomically(path, text);
}

}  // namespace orthant
