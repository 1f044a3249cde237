#include "orthant/train/verify.h"

#include <algorithm>
#include <chrono>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "orthant/comm/local.h"
#include "orthant/core/status.h"
#include "orthant/pipeline_parallel/generators.h"

namespace orthant {
namespace {

// The configuration that a combination runs: the user's, in fp64, one thread a rank, nothing else changed.
RunConfig ConfigFor(const RunConfig& config, const ParallelConfig& parallel) {
  RunConfig run = config;
  run.train.dtype = "fp64";
  run.parallel = parallel;
  run.data.prefetch = false;
  return run;
}

CombinationResult Compare(const PreparedRun& run, const Reference& reference,
                          const Combination& combination) {
  CombinationResult result;
  result.combination = combination;
  Differences all;
  std::mutex mutex;
  const auto start = std::chrono::steady_clock::now();
  try {
    RunLocal(static_cast<int>(run.mesh.world()), {.timeout_seconds = run.config.comm.timeout},
             [&](Communicator& world) {
               const Differences mine = CompareRank(run, reference, world);
               const std::lock_guard<std::mutex> lock(mutex);
               all.Merge(mine);
             });
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  result.max_rel_diff = all.worst();
  result.worst = all.worst_name();
  result.first = all.first_name();
  result.first_diff = all.first();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

// `count` of the list, spread evenly, first and last among them.
std::vector<ParallelConfig> Spread(const std::vector<ParallelConfig>& all, int64_t count) {
  const int64_t total = static_cast<int64_t>(all.size());
  if (count <= 0 || count >= total) return all;
  std::vector<ParallelConfig> some;
  for (int64_t i = 0; i < count; ++i)
    some.push_back(all[count == 1 ? total - 1 : i * (total - 1) / (count - 1)]);
  return some;
}

}  // namespace

bool VerifyResult::ok() const {
  return !results.empty() &&
         std::all_of(results.begin(), results.end(), [](const auto& r) { return r.ok(); });
}

std::vector<ParallelConfig> LegalCombinations(const RunConfig& config, int64_t max_ranks) {
  std::vector<ParallelConfig> legal;
  const auto add = [&](const ParallelConfig& parallel) {
    RunConfig candidate = config;
    candidate.parallel = parallel;
    if (ValidateRun(candidate, nullptr).ok()) legal.push_back(parallel);
  };
  for (int64_t world = 2; world <= max_ranks; ++world) {
    for (int64_t p = 1; p <= world; ++p) {
      for (int64_t d = 1; d * p <= world; ++d) {
        for (int64_t s = 1; s * d * p <= world; ++s) {
          if (world % (p * d * s) != 0) continue;
          ParallelConfig parallel;
          parallel.order = config.parallel.order;
          parallel.pipeline = static_cast<int>(p);
          parallel.data = static_cast<int>(d);
          parallel.sequence = static_cast<int>(s);
          parallel.tensor = static_cast<int>(world / (p * d * s));
          if (p == config.parallel.pipeline) parallel.stages = config.parallel.stages;
          for (const std::string& schedule : ScheduleNames()) {
            if (p == 1 && schedule != ScheduleNames().front()) continue;  // one stage: all schedules are one
            parallel.schedule = schedule;
            for (int zero : {0, 1}) {
              if (zero > 0 && d * s == 1) continue;
              parallel.zero = zero;
              for (bool tensor_sequence : {false, true}) {
                if (tensor_sequence && parallel.tensor == 1) continue;
                parallel.tensor_sequence = tensor_sequence;
                add(parallel);
              }
            }
          }
        }
      }
    }
  }
  return legal;
}

absl::StatusOr<VerifyResult> Verify(const LoadVariant& load, const VerifyOptions& options,
                                    const VerifyProgress& progress) {
  struct Variant {
    std::string text;
    RunConfig config;
    std::vector<ParallelConfig> meshes;
  };
  VerifyResult verified;
  std::vector<Variant> variants;
  std::vector<std::string> texts = {""};
  int64_t total = 0;
  for (size_t v = 0; v < texts.size(); ++v) {
    absl::StatusOr<RunConfig> config = load(texts[v]);
    if (!config.ok()) return config.status();
    if (v == 0) texts.insert(texts.end(), config->verify.variants.begin(), config->verify.variants.end());
    const std::vector<ParallelConfig> all = LegalCombinations(*config, options.max_ranks);
    verified.legal += static_cast<int64_t>(all.size());
    variants.push_back({texts[v], *config, Spread(all, options.meshes)});
    total += static_cast<int64_t>(variants.back().meshes.size());
  }
  if (total == 0) {
    return ConfigurationError(
        absl::StrCat("no mesh of 2 to ", options.max_ranks,
                     " ranks is legal for this configuration: degrees must divide model.heads, "
                     "model.context and train.global_batch / train.micro_batch"));
  }
  for (const Variant& variant : variants) {
    absl::StatusOr<PreparedRun> one = PrepareRun(ConfigFor(variant.config, ParallelConfig{}), nullptr);
    if (!one.ok()) return one.status();
    const Reference reference = RunReference(*one, options.steps);
    if (variant.text.empty()) {
      verified.config = one->config;
      verified.losses = reference.losses;
    }
    for (const ParallelConfig& parallel : variant.meshes) {
      PreparedRun run = *one;
      run.config = ConfigFor(variant.config, parallel);
      run.mesh = MakeMesh(parallel, parallel.degrees().world()).value();
      verified.results.push_back(Compare(run, reference, {variant.text, parallel}));
      if (progress) progress(static_cast<int64_t>(verified.results.size()), total, verified.results.back());
    }
  }
  return verified;
}

}  // namespace orthant
