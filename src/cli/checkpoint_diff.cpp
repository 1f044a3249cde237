// orthant checkpoint diff A B
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "cli/checkpoint.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/difference.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

struct Options {
  std::string a, b, format = "text";
  std::vector<std::string> kinds;
  int64_t top = 20;
  bool exit_code = false;
};

std::vector<std::string> KindNames() {
  std::vector<std::string> names;
  for (int k = 0; k < kStateKinds; ++k) names.emplace_back(ToString(static_cast<StateKind>(k)));
  return names;
}

absl::Status Diff(const Options& options) {
  const absl::StatusOr<std::string> a = ResolveCheckpoint(options.a);
  if (!a.ok()) return a.status();
  const absl::StatusOr<std::string> b = ResolveCheckpoint(options.b);
  if (!b.ok()) return b.status();
  DiffOptions diff;
  const std::vector<std::string> names = KindNames();
  for (size_t k = 0; k < names.size(); ++k) {
    const auto named = std::count(options.kinds.begin(), options.kinds.end(), names[k]);
    if (named > 0) diff.kinds.push_back(static_cast<StateKind>(k));
  }
  diff.progress = OnProgressBar("diff");
  const absl::StatusOr<CheckpointDifference> difference = DiffCheckpoints(*a, *b, diff);
  diff.progress = nullptr;
  if (!difference.ok()) return difference.status();
  if (options.format == "json") {
    PrintJson(difference->ToJson(options.top));
  } else {
    std::cout << difference->ToText(options.top);
  }
  if (!options.exit_code || difference->identical()) return absl::OkStatus();
  return NumericalError(absl::StrCat(*a, " and ", *b, " are not identical"));
}

}  // namespace

void AddCheckpointDiff(CLI::App& checkpoint, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      checkpoint.add_subcommand("diff", "Compare two checkpoints' logical tensors by value, worst first");
  AddCheckpointPath(*command, "a", &options->a);
  AddCheckpointPath(*command, "b", &options->b);
  command->add_option("--kinds", options->kinds, "Only these: parameter, master, first_moment, second_moment")
      ->delimiter(',')
      ->check(CLI::IsMember(KindNames()))
      ->type_name("KIND,...");
  command->add_option("--top", options->top, "Rows at most; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--exit-code", options->exit_code, "End with 6 unless they are identical to the bit");
  AddFormat(*command, &options->format);
  command->callback([options, action] { *action = [options] { return Diff(*options); }; });
}

}  // namespace orthant
