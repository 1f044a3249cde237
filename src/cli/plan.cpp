// orthant plan RUN.yaml --cluster NAME --ranks N | orthant plan --collectives RUN.yaml
#include "cli/plan.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant plan configs/shakespeare.yaml --cluster polaris --ranks 8
  orthant plan configs/models/gpt3-175b.yaml --cluster selene --ranks 1024 --explain
  orthant plan configs/models/llama2-7b.yaml train.global_batch=1024 --cluster polaris --ranks 512 --write best.yaml
  orthant plan configs/models/llama2-7b.yaml --cluster polaris --ranks 64 train.global_batch=512 --html plan.html
  orthant plan configs/shakespeare.yaml --cluster here.yaml --ranks 2 --measure 20 --spread
  orthant plan --collectives configs/shakespeare.yaml
  orthant plan --collectives configs/shakespeare.yaml train.global_batch=8192 --ranks 4096

With --cluster: every legal layout at the file's global batch, its memory, step time and where that goes; the best, and
why others are not among them. docs/planning.md has the model and its errors. With --measure: the step of the first
so many, as taken on this machine, beside it.
With --collectives: each rank's ordered list of operations for a training step and an evaluation, played for the whole
mesh, without ranks: every operation must meet its match, and no rank may wait for ever. docs/collectives.md.
Exit codes: 0 planned or proved; 2 nothing fits or is legal, and what would be; 4 a conflict, which is printed.)";

}  // namespace

void AddPlan(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<PlanLayoutOptions>();
  auto collectives = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "plan", "Choose a layout for a machine, or prove what a run will communicate, before it starts");
  auto* flag = command->add_flag(
      "--collectives", *collectives,
      "Every rank's communication: operations, bytes, and the proof that they fit together");
  AddRunFile(*command, &options->run);
  auto* cluster = command->add_option("--cluster", options->cluster, "A name in configs/clusters, or a file")
                      ->excludes(flag);
  command
      ->add_option(
          "--ranks", options->ranks,
          "Devices to plan for; with --collectives the size of the mesh: parallel.data is changed to fit")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 17));
  command->add_option("--show", options->show, "Layouts to print")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->capture_default_str()
      ->needs(cluster);
  command->add_flag("--explain", options->explain, "The rules of thumb for this case, and whether they hold")
      ->needs(cluster);
  command->add_option("--write", options->write, "Write the best layout there, as keys of a run")
      ->type_name("FILE.yaml")
      ->needs(cluster);
  command->add_option("--html", options->html, "Write the plan as one page there: memory, time, trade-offs")
      ->type_name("FILE.html")
      ->needs(cluster);
  command->add_option("--svg", options->svg, "Write its plots as SVG files here")
      ->type_name("FOLDER")
      ->needs(cluster);
  auto* measure =
      command
          ->add_option("--measure", options->measure.layouts,
                       "Take the step of so many of the layouts here, as `orthant bench step` does, ranks as "
                       "threads; --cluster is a file that `orthant bench calibrate` wrote")
          ->check(CLI::Range(int64_t{1}, int64_t{1000}))
          ->needs(cluster);
  command
      ->add_flag("--spread", options->measure.spread,
                 "Measure layouts evenly from the quickest to the slowest, not the best: to judge the plan")
      ->needs(measure);
  command->add_option("--steps", options->measure.steps, "Steps of each layout that is measured")
      ->check(CLI::Range(int64_t{1}, int64_t{100000}))
      ->capture_default_str()
      ->needs(measure);
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, collectives, action] {
    *action = [options, collectives]() -> absl::Status {
      if (*collectives) return PlanCollectivesOf(options->run, options->ranks, options->format);
      if (!options->cluster.empty()) return PlanLayout(*options);
      return ConfigurationError(
          "orthant plan: give --cluster NAME to choose a layout, or --collectives to prove a run's "
          "communication");
    };
  });
}

}  // namespace orthant
