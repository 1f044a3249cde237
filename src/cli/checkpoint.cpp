// orthant checkpoint inspect | verify | diff | export | import
#include "cli/checkpoint.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/commands.h"
#include "nlohmann/json.hpp"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant checkpoint inspect runs/shakespeare
  orthant checkpoint verify runs/shakespeare/checkpoints/step_00000340
  orthant checkpoint diff runs/one_rank runs/sixteen_ranks --kinds parameter
  orthant checkpoint export runs/shakespeare --format hf --output shakespeare_hf
  orthant checkpoint import gpt2/ --format hf --output gpt2_checkpoint

PATH is a step's folder, a folder of checkpoints, or a run's folder: of these, the latest step.
Exit codes: 0 done, 2 usage, 3 cannot write, 5 missing or damaged, 6 `diff --exit-code` found a difference.)";

}  // namespace

void AddCheckpointPath(CLI::App& command, const char* name, std::string* path) {
  command.add_option(name, *path, "A step's folder, a folder of checkpoints, or a run's folder")
      ->required()
      ->type_name("PATH");
}

void PrintJson(const nlohmann::ordered_json& json) {
  // File names need not be UTF-8, JSON must be.
  std::cout << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

std::function<void(int64_t done, int64_t total)> OnProgressBar(const std::string& title) {
  auto bar = std::make_shared<std::unique_ptr<ProgressBar>>();
  auto of = std::make_shared<int64_t>(-1);
  return [title, bar, of](int64_t done, int64_t total) {
    if (!*bar || *of != total) *bar = std::make_unique<ProgressBar>(title, total);
    *of = total;
    (*bar)->Update(done);
  };
}

void AddCheckpoint(CLI::App& app, CommandAction* action) {
  CLI::App* checkpoint =
      app.add_subcommand("checkpoint", "Look into checkpoints, check, compare, export and import them");
  checkpoint->require_subcommand(1);
  checkpoint->footer(kExamples);
  AddCheckpointInspect(*checkpoint, action);
  AddCheckpointVerify(*checkpoint, action);
  AddCheckpointDiff(*checkpoint, action);
  AddCheckpointExport(*checkpoint, action);
  AddCheckpointImport(*checkpoint, action);
}

}  // namespace orthant
