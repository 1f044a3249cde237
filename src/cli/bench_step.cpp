// orthant bench step RUN.yaml [KEY=VALUE ...] [--steps N] [--warmup N]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "cli/auto_layout.h"
#include "cli/bench.h"
#include "cli/run_file.h"
#include "orthant/bench/step_bench.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/train/collective_check.h"
#include "orthant/train/launch.h"
#include "orthant/train/trainer.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant bench step configs/shakespeare.yaml
  orthant bench step configs/shakespeare.yaml data.source=synthetic data.synthetic_vocab=65 --steps 50
  orthant bench step my_run.yaml parallel.zero=3 --format json > step.json
  mpirun -n 16 orthant bench step configs/shakespeare.yaml --seconds 60

Takes the steps that `orthant train` would, without evaluation, samples or saves, and writes nothing. Exposed: a rank's
thread waits for communication; hidden: communication is under way beside its work. docs/bench.md explains the tables.)";

struct Options {
  RunFileOptions run;
  std::string cluster;
  std::string format = "text";
  int64_t steps = 20, warmup = 3;
  double seconds = 0;
  bool result_line = false;
};

absl::Status Bench(const Options& options) {
  StepBenchOptions bench;
  bench.started = std::chrono::steady_clock::now();
  bench.steps = options.steps;
  bench.warmup = options.warmup;
  bench.seconds = options.seconds;
  RunConfig config;
  PlanKeys plan;
  absl::StatusOr<LoadedConfig> loaded = LoadRunFile(options.run, &config, &plan);
  // Before the error is looked at: it is one error of all processes, not one of each.
  const absl::StatusOr<std::unique_ptr<Launcher>> launcher =
      Launcher::Start(std::max(config.comm.timeout, config.comm.start_timeout));
  if (!launcher.ok()) return launcher.status();
  if (absl::Status agreed = (*launcher)->Agree(loaded.status()); !agreed.ok()) return agreed;
  // Where stdout is to be one object or line, the choice stands on stderr.
  const bool lone = options.format == "json" || options.result_line;
  const absl::Status resolved = ResolveLayout(**launcher, plan, options.cluster, lone, &config, &*loaded);
  if (!resolved.ok()) return resolved;
  const absl::StatusOr<PreparedRun> run =
      PrepareRun(config, [&](const std::string& key) { return loaded->OriginOf(key); });
  absl::Status ready = run.status();
  if (ready.ok() && (*launcher)->first()) ready = CheckCollectives(config, run->mesh, run->vocab);
  if (absl::Status agreed = (*launcher)->Agree(ready); !agreed.ok()) return agreed;

  std::unique_ptr<ProgressBar> bar;  // rank 0 alone
  const auto progress = [&bar](int64_t done, int64_t total) {
    if (!bar) bar = std::make_unique<ProgressBar>("bench", total);
    bar->Update(done);
  };
  StepBenchResult result;
  (*launcher)->ComputeOn(config.train.device);
  const absl::Status ran = (*launcher)->Run(
      config.comm, run->mesh.world(), config.train.threads_per_rank,
      [&](Communicator& world, const RankEnvironment& environment) -> absl::Status {
        absl::StatusOr<StepBenchResult> measured = BenchStep(*run, bench, world, environment, progress);
        if (measured.ok() && world.rank() == 0) result = *std::move(measured);
        return measured.status();
      },
      {"", [mesh = run->mesh](int rank) { return mesh.Describe(rank); }},
      OrderOf(config.parallel, run->mesh));
  bar.reset();
  if (!ran.ok() || !(*launcher)->first()) return ran;
  const std::string text = options.result_line        ? ResultLine(result)
                           : options.format == "json" ? ToJson(result).dump(2) + "\n"
                                                      : ToText(result, CanDrawBoxes(1));
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddBenchStep(CLI::App& bench, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("step", "Time the training step of a run, part by part");
  AddRunFile(*command, &options->run);
  command->add_option("--steps", options->steps, "Steps to time")
      ->check(CLI::Range(int64_t{1}, int64_t{1000000}))
      ->capture_default_str();
  command->add_option("--warmup", options->warmup, "Steps before them")
      ->check(CLI::Range(int64_t{0}, int64_t{1000000}))
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "Stop after this long, with the steps there are")
      ->check(CLI::PositiveNumber);
  AddPlanCluster(*command, &options->cluster);
  AddFormat(*command, &options->format);
  command->add_flag("--result-line", options->result_line,
                    "One line, RESULT and JSON in the keys of tests/benchmarks/compare.py, instead");
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Bench(*options); }; });
}

}  // namespace orthant
