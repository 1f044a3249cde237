#include "orthant/train/trainer.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "c10/util/Exception.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/signals.h"
#include "orthant/core/status.h"
#include "orthant/device/device.h"
#include "orthant/memory/account.h"
#include "orthant/mesh/placement.h"
#include "orthant/train/collective_check.h"
#include "orthant/train/loop.h"
#include "orthant/train/memory_advice.h"
#include "orthant/train/peak.h"
#include "orthant/train/reporter.h"
#include "orthant/train/run_folder.h"

namespace orthant {
namespace {

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

namespace {

// Shows a rank's operations to `filter` while it lives.
class FilterScope {
 public:
  FilterScope(Communicator& world, OperationFilter* filter) : world_(world) { world_.SetFilter(filter); }
  ~FilterScope() { world_.SetFilter(nullptr); }
  FilterScope(const FilterScope&) = delete;
  FilterScope& operator=(const FilterScope&) = delete;

 private:
  Communicator& world_;
};

std::string MapOf(const Mesh& mesh, const RankEnvironment& environment) {
  if (mesh.world() == 1) return "";
  return environment.hosts.empty() ? mesh.Map(environment.ranks_on_host) : HostMap(mesh, environment.hosts);
}

// What one rank does in a run.
absl::Status TrainRank(const PreparedRun& run, bool json, Communicator& world,
                       const RankEnvironment& environment) {
  const RunConfig& config = run.config;
  world.flight_recorder()->set_timeout(std::max(config.comm.timeout, config.comm.start_timeout));
  const at::ScalarType dtype = PrecisionOf(config.train).values;
  const PeakRate peak =
      PeakOfRank(config.log.peak_tflops, environment, world, dtype);  // no part of the account
  const bool gpu = !environment.device.is_cpu();
  ResetPeakOf(environment.device);
  LimitMemory(environment.device, config.memory.limit);
  const BindMemory memory(MemoryAccount::Create(gpu ? 0 : config.memory.limit));
  std::unique_ptr<Reporter> reporter;
  if (world.rank() == 0) {
    std::vector<std::string> notes = RunNotes(config, run.vocab);
    if (!environment.hosts.empty()) {
      for (std::string& note :
           PlacementNotes(run.mesh, environment.hosts, config.parallel.placement == "by_host")) {
        notes.push_back("warning: " + std::move(note));
      }
    }
    reporter = std::make_unique<Reporter>(
        RunFacts{config, run.mesh.degrees(), run.vocab, environment, peak.flops, peak.source,
                 run.dataset.Describe(), LayersPerStage(config, run.vocab), std::move(notes)},
        json);
    reporter->Begin(MapOf(run.mesh, environment));
  }
  FaultInjector faults(config.fault, world.rank());
  const FilterScope filter(world, faults.empty() ? nullptr : &faults);
  std::optional<TrainLoop> loop;  // until what it holds has been told
  absl::Status trained;
  try {
    loop.emplace(run, world, environment.device, reporter.get(), faults.empty() ? nullptr : &faults);
    trained = loop->Run();
  } catch (const OutOfMemory& error) {
    trained = OutOfMemoryStatus(error, config, run.vocab);
  } catch (const c10::OutOfMemoryError& error) {
    trained = OutOfMemoryStatus(OutOfMemory(error.what_without_backtrace(), 0, {}), config, run.vocab);
  } catch (const CommError& error) {
    if (reporter) reporter->Failed(CommunicationError(error.what()));
    throw;
  } catch (const StatusError& error) {
    if (reporter) reporter->Failed(error.status());
    throw;
  }
  if (!trained.ok() && ExitCodeOf(trained) != ExitCode::kSignal) {
    if (reporter) reporter->Failed(trained);
    return trained;
  }
  const std::vector<MemoryPeak> peaks = GatherPeaks(world, environment.device);
  if (reporter) {
    reporter->Memory(peaks, run.mesh);
    reporter->End(trained);
  }
  return trained;
}

}  // namespace

OrderRanks OrderOf(const ParallelConfig& parallel, const Mesh& mesh) {
  if (parallel.placement != "by_host") return nullptr;
  return [mesh](const std::vector<std::string>& hosts) { return PlaceByHost(mesh, NumberHosts(hosts)); };
}

absl::Status TrainRun(Launcher& launcher, const RunConfig& config, const LoadedConfig& loaded, bool json) {
  absl::StatusOr<PreparedRun> run =
      PrepareRun(config, [&](const std::string& key) { return loaded.OriginOf(key); });
  absl::Status ready = run.status();
  RunFolder folder;  // held until the run has ended
  if (ready.ok()) run->config_text = loaded.Dump();
  if (ready.ok() && launcher.first()) ready = CheckCollectives(config, run->mesh, run->vocab);
  if (ready.ok() && launcher.first()) {
    absl::StatusOr<RunFolder> opened = RunFolder::Open(config.RunDir(), loaded);
    ready = opened.status();
    if (ready.ok()) folder = *std::move(opened);
    if (ready.ok()) ready = CleanUp(config.CheckpointDir());
  }
  if (absl::Status agreed = launcher.Agree(ready); !agreed.ok()) return agreed;

  InstallStopSignals();
  IgnoreBrokenLimits();
  launcher.ComputeOn(config.train.device);
  // The watchdog may ask after this function has returned: it has a mesh of its own.
  const RunPlace place{config.RunDir() + "/flight",
                       [mesh = run->mesh](int rank) { return mesh.Describe(rank); }};
  return launcher.Run(
      config.comm, run->mesh.world(), config.train.threads_per_rank,
      [&](Communicator& world, const RankEnvironment& environment) {
        return TrainRank(*run, json, world, environment);
      },
      place, OrderOf(config.parallel, run->mesh));
}

}  // namespace orthant
