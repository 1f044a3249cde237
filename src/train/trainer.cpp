#include "orthant/train/trainer.h"

#include <cmath>
#include <optional>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"
#include "orthant/train/generate.h"
#include "orthant/train/memory_advice.h"
#include "orthant/train/peak.h"
#include "orthant/train/run_folder.h"

namespace orthant {
namespace {

bool EvaluateAfter(const RunConfig& config, int64_t step) {
  if (config.evaluate.batches == 0) return false;
  return step == config.train.steps || (config.evaluate.every > 0 && step % config.evaluate.every == 0);
}

// The loop of one rank; `reporter` on rank 0 alone.
class Trainer {
 public:
  Trainer(const PreparedRun& run, Communicator& world, Reporter* reporter)
      : run_(run), engine_(run.config, run.mesh, run.vocab, run.dataset, world), reporter_(reporter) {}

  absl::Status Run() {
    bytes_ = engine_.model().groups().BytesSent();
    for (int64_t step = 1; step <= run_.config.train.steps; ++step) {
      const StepResult result = engine_.Step(step);
      if (result.failed) return NotFinite(result);
      const std::array<int64_t, kAxisCount> sent = BytesOfStep();
      std::optional<std::pair<double, double>> evaluation;
      if (EvaluateAfter(run_.config, step)) evaluation = Evaluate();
      if (reporter_ != nullptr) {
        if (absl::Status told = reporter_->Step(result, sent, evaluation); !told.ok()) return told;
      }
      if (evaluation) {
        if (absl::Status sampled = Sample(step); !sampled.ok()) return sampled;
      }
      bytes_ = engine_.model().groups().BytesSent();  // evaluation is not the step's
    }
    return absl::OkStatus();
  }

 private:
  std::pair<double, double> Evaluate() {
    const int64_t batches = run_.config.evaluate.batches;
    const double validation = engine_.Evaluate(/*validation=*/true, batches);
    return {validation, engine_.Evaluate(/*validation=*/false, batches)};
  }

  absl::Status Sample(int64_t step) {
    const EvaluateConfig& e = run_.config.evaluate;
    const Tokenizer* tokenizer = run_.dataset.tokenizer.get();
    if (tokenizer == nullptr || e.sample_tokens == 0) return absl::OkStatus();
    const std::string prompt = e.prompt.empty() ? "\n" : e.prompt;
    const absl::StatusOr<std::vector<int64_t>> ids = tokenizer->Encode(prompt);
    if (!ids.ok()) return ids.status();
    const SamplingOptions options{e.sample_tokens, e.temperature, e.top_k,
                                  static_cast<uint64_t>(run_.config.run.seed + step)};
    const std::vector<int64_t> text = Generate(engine_.model(), *ids, run_.config.model.context, options);
    if (reporter_ == nullptr) return absl::OkStatus();
    const absl::StatusOr<std::string> decoded = tokenizer->Decode(text);
    return decoded.ok() ? reporter_->Sample(step, prompt, *decoded) : decoded.status();
  }

  std::array<int64_t, kAxisCount> BytesOfStep() {
    std::array<int64_t, kAxisCount> now = engine_.model().groups().BytesSent();
    for (int a = 0; a < kAxisCount; ++a) now[a] -= bytes_[a];
    return now;
  }

  absl::Status NotFinite(const StepResult& r) {
    const std::string first = engine_.FindNonFinite(r.step);
    const std::string found = first.empty() ? "all is finite when computed again"
                                            : absl::StrCat("the first that is not finite is the ", first);
    const std::string remedy =
        run_.config.train.dtype == "fp16"
            ? absl::StrCat("; train.loss_scale is down to ", r.loss_scale,
                           ": try train.dtype = bf16, or a lower optimizer.lr")
            : "; try a lower optimizer.lr, a longer optimizer.warmup or a smaller train.clip";
    return NumericalError(absl::StrCat("step ", r.step, ": loss ", r.loss, ", gradient norm ", r.grad_norm,
                                       ": ", found, remedy));
  }

  const PreparedRun& run_;
  Engine engine_;
  Reporter* reporter_;
  std::array<int64_t, kAxisCount> bytes_{};  // sent before this step
};

// What can be known to be wrong with sampling before the first step.
absl::Status CheckPrompt(const RunConfig& config, const Dataset& data, const OriginOf& origin) {
  if (data.tokenizer == nullptr || config.evaluate.prompt.empty()) return absl::OkStatus();
  const absl::Status encoded = data.tokenizer->Encode(config.evaluate.prompt).status();
  if (encoded.ok()) return encoded;
  const std::string where = origin ? origin("evaluate.prompt") : "";
  return ConfigurationError(
      absl::StrCat(where.empty() ? "" : where + ": ", "evaluate.prompt: ", encoded.message()));
}

}  // namespace

absl::StatusOr<PreparedRun> PrepareRun(const RunConfig& config, const OriginOf& origin) {
  if (absl::Status valid = ValidateRun(config, origin); !valid.ok()) return valid;
  PreparedRun run;
  run.config = config;
  absl::StatusOr<Mesh> mesh = MakeMesh(config.parallel, config.parallel.degrees().world());
  if (!mesh.ok()) return mesh.status();
  run.mesh = *std::move(mesh);
  absl::StatusOr<Dataset> dataset = OpenDataset(config.data);
  if (!dataset.ok()) return dataset.status();
  run.dataset = *std::move(dataset);
  absl::StatusOr<int64_t> vocab = ResolveVocabulary(config, run.dataset.vocabulary_size, origin);
  if (!vocab.ok()) return vocab.status();
  run.vocab = *vocab;
  if (absl::Status fits = CheckMemoryLimit(config, run.vocab, origin); !fits.ok()) return fits;
  for (const auto& source : {run.dataset.train, run.dataset.validation}) {
    if (source == run.dataset.validation && config.evaluate.batches == 0) continue;
    absl::Status enough = SamplesIn(source->tokens(), config.model.context, source->name()).status();
    if (!enough.ok()) return enough;
  }
  if (absl::Status prompt = CheckPrompt(config, run.dataset, origin); !prompt.ok()) return prompt;
  return run;
}

absl::Status TrainRun(Launcher& launcher, const RunConfig& config, const LoadedConfig& loaded, bool json) {
  absl::StatusOr<PreparedRun> run =
      PrepareRun(config, [&](const std::string& key) { return loaded.OriginOf(key); });
  bool restarted = false;
  absl::Status ready = run.status();
  if (ready.ok() && launcher.first()) ready = PrepareRunFolder(config.RunDir(), loaded, &restarted);
  if (absl::Status agreed = launcher.Agree(ready); !agreed.ok()) return agreed;

  return launcher.Run(
      config.comm, run->mesh.world(), config.train.threads_per_rank,
      [&](Communicator& world, const RankEnvironment& environment) -> absl::Status {
        const PeakRate peak =
            PeakOfRank(config.log.peak_tflops, environment, world);  // no part of the account
        const BindMemory memory(MemoryAccount::Create(config.memory.limit));
        std::unique_ptr<Reporter> reporter;
        if (world.rank() == 0) {
          RunFacts facts{config,
                         run->mesh.degrees(),
                         run->vocab,
                         environment,
                         peak.flops,
                         peak.source,
                         run->dataset.Describe(),
                         LayersPerStage(config, run->vocab),
                         RunNotes(config, run->vocab)};
          if (restarted)
            facts.notes.push_back(
                "the folder held this run without a checkpoint: it starts again, and the "
                "old metrics.jsonl and samples.txt are kept as *.old");
          auto made = Reporter::Create(std::move(facts), json);
          if (!made.ok()) return made.status();
          reporter = *std::move(made);
          reporter->Begin(run->mesh.world() > 1 ? run->mesh.Map(environment.ranks_on_host) : "");
        }
        std::optional<Trainer> trainer;  // until what it holds has been told
        try {
          trainer.emplace(*run, world, reporter.get());
          if (absl::Status trained = trainer->Run(); !trained.ok()) return trained;
        } catch (const OutOfMemory& error) {
          return OutOfMemoryStatus(error, config, run->vocab);
        }
        const std::vector<MemoryPeak> peaks = GatherPeaks(world);
        if (reporter) {
          reporter->Memory(peaks, run->mesh);
          reporter->End();
        }
        return absl::OkStatus();
      });
}

}  // namespace orthant
