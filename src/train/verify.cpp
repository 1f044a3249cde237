#include "orthant/train/verify.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "orthant/comm/local.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Files of offloaded state, gone with this object.
class ScratchFolder {
 public:
  ScratchFolder()
      : path_(std::filesystem::temp_directory_path() / absl::StrCat("orthant-verify-", getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

CombinationResult Compare(const PreparedRun& run, const Reference& reference,
                          const Combination& combination) {
  CombinationResult result;
  result.combination = combination;
  Differences all(ToleranceFor(run.config.train.dtype));
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
  result.largest = all.largest();
  result.worst = all.worst_name();
  result.first = all.first_name();
  result.first_diff = all.first();
  result.agrees = result.error.empty() && all.first_name().empty();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

struct Variant {
  std::string text;
  RunConfig config;
  std::vector<Layout> layouts;
};

}  // namespace

bool VerifyResult::ok() const {
  return !results.empty() &&
         std::all_of(results.begin(), results.end(), [](const auto& r) { return r.ok(); });
}

absl::StatusOr<VerifyResult> Verify(const LoadVariant& load, const VerifyOptions& options,
                                    const VerifyProgress& progress) {
  const ScratchFolder scratch;
  VerifyResult verified;
  std::vector<Variant> variants;
  std::vector<std::string> texts = {""};
  int64_t total = 0;
  for (size_t v = 0; v < texts.size(); ++v) {
    absl::StatusOr<RunConfig> config = load(texts[v]);
    if (!config.ok()) return config.status();
    if (v == 0) texts.insert(texts.end(), config->verify.variants.begin(), config->verify.variants.end());
    config->train.dtype = options.dtype;
    config->data.prefetch = false;  // one thread a rank
    if (config->zero.offload.path.empty()) config->zero.offload.path = scratch.path();
    const std::vector<Layout> all = LegalLayouts(*config, options.max_ranks);
    verified.legal += static_cast<int64_t>(all.size());
    // Each variant draws others, so that more are seen.
    const int64_t seed = options.seed == 0 ? 0 : options.seed + static_cast<int64_t>(v);
    variants.push_back({texts[v], *config, Sample(all, options.meshes, seed)});
    total += static_cast<int64_t>(variants.back().layouts.size());
  }
  if (total == 0) {
    return ConfigurationError(
        absl::StrCat("no mesh of 2 to ", options.max_ranks,
                     " ranks is legal for this configuration: degrees must divide model.heads, "
                     "model.context and train.global_batch / train.micro_batch"));
  }
  for (const Variant& variant : variants) {
    // The reference keeps everything on one rank, whatever the file says.
    absl::StatusOr<PreparedRun> one = PrepareRun(With(variant.config, Layout{}), nullptr);
    if (!one.ok()) return one.status();
    const Reference reference = RunReference(*one, options.steps);
    if (variant.text.empty()) {
      verified.config = one->config;
      verified.losses = reference.losses;
    }
    for (const Layout& layout : variant.layouts) {
      PreparedRun run = *one;
      run.config = With(variant.config, layout);
      run.mesh = MakeMesh(layout.parallel, layout.parallel.degrees().world()).value();
      verified.results.push_back(Compare(run, reference, {variant.text, layout}));
      if (progress) progress(static_cast<int64_t>(verified.results.size()), total, verified.results.back());
    }
  }
  return verified;
}

}  // namespace orthant
