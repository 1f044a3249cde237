// orthant verify RUN.yaml [KEY=VALUE ...]: the same curve on every mesh, proved for the user's own file.
#include "orthant/train/verify.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/cli/command.h"
#include "orthant/comm/mpi.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"
#include "orthant/train/launch.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant verify configs/verify.yaml --max-ranks 16
  orthant verify my_run.yaml --meshes 20 --steps 2
  orthant verify my_run.yaml --meshes 20 --seed 7 --dtype bf16
  orthant verify my_run.yaml --format json > verify.json

Runs the file's configuration in fp64 on one rank, then on every legal mesh as threads of this process, with ZeRO 0 to
3, hybrid shards, recompute, offload and tiles, and compares loss, gradient norm, every gradient after each step and
every parameter after the last, on every rank.
Exit code 0: all agree within 1e-9 relative (fp32, bf16: docs/verify.md); 6: they do not.)";

struct Options {
  RunFileOptions run;
  std::string format = "text";
  int64_t max_ranks = 16;
  int64_t steps = 3;
  std::string meshes = "all";
  int64_t seed = 0;
  std::string dtype = "fp64";
};

nlohmann::ordered_json ParallelJson(const ParallelConfig& p) {
  return {{"data", p.data},
          {"tensor", p.tensor},
          {"pipeline", p.pipeline},
          {"sequence", p.sequence},
          {"zero", p.zero},
          {"schedule", p.schedule},
          {"tensor_sequence", p.tensor_sequence}};
}

nlohmann::ordered_json ToJson(const VerifyResult& result, const VerifyOptions& options) {
  nlohmann::ordered_json out;
  out["reference"] = {{"parallel", ParallelJson(ParallelConfig{})},
                      {"dtype", options.dtype},
                      {"steps", options.steps},
                      {"losses", result.losses},
                      {"tolerance", ToleranceFor(options.dtype).numbers},
                      {"tolerance_first_gradients", ToleranceFor(options.dtype).first_gradients},
                      {"tolerance_gradients", ToleranceFor(options.dtype).gradients},
                      {"tolerance_values", ToleranceFor(options.dtype).values},
                      {"legal", result.legal}};
  out["combinations"] = nlohmann::ordered_json::array();
  for (const CombinationResult& r : result.results) {
    nlohmann::ordered_json row = {
        {"parallel", ParallelJson(r.combination.layout.parallel)},
        {"ranks", r.combination.layout.parallel.degrees().world()},
        {"max_rel_diff", r.error.empty() ? nlohmann::ordered_json(r.max_rel_diff) : nullptr},
        {"worst", r.worst},
        {"max_rel_diff_by_kind",
         {{"numbers", r.largest.numbers},
          {"first_gradients", r.largest.first_gradients},
          {"gradients", r.largest.gradients},
          {"values", r.largest.values}}},
        {"ok", r.ok()}};
    if (const auto extras = Extras(r.combination.layout); !extras.empty()) row["with"] = extras;
    if (!r.combination.variant.empty()) row["variant"] = r.combination.variant;
    if (!r.first.empty()) row["first"] = {{"name", r.first}, {"rel_diff", r.first_diff}};
    if (!r.error.empty()) row["error"] = r.error;
    out["combinations"].push_back(row);
  }
  return out;
}

// "shard_ranks=2 offload.optimizer=host", or "-".
std::string ExtrasText(const Layout& layout) {
  const std::string text = absl::StrJoin(Extras(layout), " ");
  return text.empty() ? "-" : absl::StrReplaceAll(text, {{"zero.", ""}, {"memory.", ""}});
}

std::string ToleranceText(const std::string& dtype) {
  const Tolerance t = ToleranceFor(dtype);
  if (t.numbers == t.values) return absl::StrFormat("tolerance %.0e", t.numbers);
  return absl::StrFormat("tolerances in %s: loss and norm %g, gradients of step 1 %g, later %g, values %g",
                         dtype, t.numbers, t.first_gradients, t.gradients, t.values);
}

std::string ToText(const VerifyResult& result, const VerifyOptions& options) {
  Table table({"variant", "ranks", "data", "tensor", "pipeline", "sequence", "schedule", "zero",
               "tensor_sequence", "with", "worst difference", "where", ""});
  double worst = 0.0;
  int64_t failed = 0;
  for (const CombinationResult& r : result.results) {
    const ParallelConfig& p = r.combination.layout.parallel;
    const std::string variant = r.combination.variant.empty() ? "as written" : r.combination.variant;
    table.AddRow({variant, absl::StrCat(p.degrees().world()), absl::StrCat(p.data), absl::StrCat(p.tensor),
                  absl::StrCat(p.pipeline), absl::StrCat(p.sequence), p.pipeline > 1 ? p.schedule : "-",
                  absl::StrCat(p.zero), p.tensor_sequence ? "yes" : "no", ExtrasText(r.combination.layout),
                  absl::StrFormat("%.1e", r.max_rel_diff), r.error.empty() ? r.worst : "did not run",
                  r.ok() ? "ok" : "FAIL"});
    worst = std::max(worst, r.max_rel_diff);
    failed += r.ok() ? 0 : 1;
  }
  std::string text = table.ToString(TableStyleFor(1));
  for (const CombinationResult& r : result.results) {
    if (r.ok()) continue;
    const std::string mesh = ToString(r.combination.layout.parallel.degrees());
    if (!r.error.empty()) {
      absl::StrAppend(&text, "FAIL ", mesh, ": ", r.error, "\n");
    } else {
      absl::StrAppendFormat(&text, "FAIL %s: first to differ is %s, by %.3e\n", mesh, r.first, r.first_diff);
    }
  }
  absl::StrAppendFormat(&text, "%d of %d legal combinations ran, %d failed; worst difference %.2e (%s)\n",
                        result.results.size(), result.legal, failed, worst, ToleranceText(options.dtype));
  return text;
}

absl::Status RunVerify(const Options& options) {
  if (MpiRuntime::UnderLauncher()) {
    const absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Start(CommConfig().timeout);
    if (!launcher.ok()) return launcher.status();
    return (*launcher)->Agree(EnvironmentError(  // said once, not by each process
        "orthant verify runs every mesh as threads of one process: start it without mpirun or srun"));
  }
  VerifyOptions verify{options.max_ranks, options.steps, 0, options.seed, options.dtype};
  if (options.meshes != "all" && (!absl::SimpleAtoi(options.meshes, &verify.meshes) || verify.meshes < 1)) {
    return ConfigurationError(
        absl::StrCat("--meshes ", options.meshes, " is neither 'all' nor a number above 0"));
  }
  const LoadVariant load = [&](const std::string& variant) -> absl::StatusOr<RunConfig> {
    RunFileOptions run = options.run;
    if (!variant.empty()) run.overrides.push_back(variant);
    RunConfig config;
    const absl::StatusOr<LoadedConfig> loaded = LoadRun(run, &config);
    if (!loaded.ok()) return loaded.status();
    const absl::Status valid =
        ValidateRun(config, [&](const std::string& key) { return loaded->OriginOf(key); });
    if (!valid.ok()) return valid;
    return config;
  };
  const bool json = options.format == "json";
  std::fprintf(stderr, "verifying %s in %s (its train.dtype is not used), %ld steps, up to %ld ranks\n",
               options.run.path.c_str(), options.dtype.c_str(), static_cast<long>(verify.steps),
               static_cast<long>(verify.max_ranks));
  std::unique_ptr<ProgressBar> bar;
  const auto progress = [&](int64_t done, int64_t total, const CombinationResult&) {
    if (!bar) bar = std::make_unique<ProgressBar>("verify", total);
    bar->Update(done);
  };
  const absl::StatusOr<VerifyResult> result = Verify(load, verify, progress);
  bar.reset();
  if (!result.ok()) return result.status();
  std::fputs((json ? ToJson(*result, verify).dump(2) + "\n" : ToText(*result, verify)).c_str(), stdout);
  return result->ok() ? absl::OkStatus() : NumericalError("some meshes do not keep the curve");
}

}  // namespace

void AddVerify(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("verify", "Prove that every mesh gives the same training as one rank");
  AddRunFile(*command, &options->run);
  command->add_option("--max-ranks", options->max_ranks, "Largest mesh")
      ->check(CLI::Range(2, 1024))
      ->capture_default_str();
  command->add_option("--steps", options->steps, "Optimiser steps to compare")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--meshes", options->meshes, "all, or how many of each variant")->capture_default_str();
  command
      ->add_option("--seed", options->seed, "With --meshes N: draw them by this seed; 0: spread them evenly")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command
      ->add_option("--dtype", options->dtype, "Precision of the proof; fp32 and bf16 have their own bounds")
      ->check(CLI::IsMember({"fp64", "fp32", "bf16"}))
      ->capture_default_str();
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return RunVerify(*options); }; });
}

}  // namespace orthant
