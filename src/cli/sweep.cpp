// orthant sweep SWEEP.yaml [KEY=VALUE ...]
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands.h"
#include "cli/launch_options.h"
#include "cli/run_file.h"
#include "cli/sweep_cases.h"
#include "cli/sweep_run.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"
#include "orthant/sweep/sweep_lock.h"
#include "orthant/sweep/sweep_state.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant sweep configs/sweeps/strong_scaling.yaml                 25 runs: 5 layouts on 1 to 16 ranks
  orthant report sweeps/strong                                     the page: scaling, efficiency, memory, predictions
  orthant sweep configs/sweeps/strong_scaling.yaml --dry-run       the cases, and whether they are legal
  orthant sweep configs/sweeps/strong_scaling.yaml --only tensor-r4 sweep.dir=sweeps/try

Each case is a process of its own with its own folder; DIR/sweep.json records what became of it. The same command goes on
after Ctrl-C; what is done is not run again. docs/sweeps.md has the file's form.
Exit codes: 0 every legal case is done or submitted; 2 the file is wrong, or no case is legal; 7 stopped by a signal, or
a case's folder was in use; else that of the first case that failed.)";

struct Options {
  RunFileOptions sweep;
  std::vector<std::string> only;
  bool dry_run = false;
  SweepRunOptions run;
  std::string format = "text";
};

// The chosen cases: all, or those of --only, by a case's name or a layout's.
absl::StatusOr<std::vector<size_t>> Choose(const SweepState& state, const std::vector<std::string>& only) {
  std::vector<size_t> chosen;
  std::vector<std::string> known;
  for (size_t i = 0; i < state.cases.size(); ++i) {
    const SweepCase& one = state.cases[i].what;
    known.insert(known.end(), {one.name, one.layout});
    bool take = only.empty();
    for (const std::string& name : only) take = take || name == one.name || name == one.layout;
    if (take) chosen.push_back(i);
  }
  for (const std::string& name : only) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::optional<std::string> match = ClosestMatch(name, known);
    return ConfigurationError(absl::StrCat("--only ", name, ": the sweep has no such case",
                                           match ? absl::StrCat("; did you mean ", *match, "?") : "",
                                           " (--dry-run lists them)"));
  }
  return chosen;
}

// What the sweep came to, as a status.
absl::Status Outcome(const SweepState& state) {
  std::vector<std::string> failed;
  int code = 0;
  for (const CaseRecord& record : state.cases) {
    if (record.state != CaseState::kFailed) continue;
    failed.push_back(record.what.name);
    if (code == 0) code = record.exit_code > 128 ? static_cast<int>(ExitCode::kInternal) : record.exit_code;
  }
  if (!failed.empty()) {
    return StatusWithExitCode(static_cast<ExitCode>(code),
                              absl::StrCat(failed.size(), " of ", state.cases.size(), " cases failed: ",
                                           JoinWords(failed), "; --retry-failed starts them again"));
  }
  if (state.Count(CaseState::kIllegal) == static_cast<int>(state.cases.size()))
    return ConfigurationError(absl::StrCat("no case is legal; the first: ", state.cases.front().error));
  return absl::OkStatus();
}

void Show(const Options& options, const SweepState& state) {
  const std::string text =
      options.format == "json" ? SweepStateText(state) : SweepTable(state, CanDrawBoxes(1));
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

absl::Status Sweep(const Options& options) {
  RunConfig defaults;
  Fields fields;
  Describe(fields, defaults);
  const absl::StatusOr<SweepFile> file = LoadSweep(options.sweep.path, options.sweep.overrides, fields);
  if (!file.ok()) return file.status();
  const std::string& dir = file->settings.dir;
  SweepState state = JudgeCases(*file);
  const absl::StatusOr<std::vector<size_t>> chosen = Choose(state, options.only);
  if (!chosen.ok()) return chosen.status();
  std::optional<SweepLock> lock;
  if (!options.dry_run) {
    if (absl::Status made = MakeDirectories(dir); !made.ok()) return made;
    absl::StatusOr<SweepLock> taken = SweepLock::Take(dir);
    if (!taken.ok()) return taken.status();
    lock.emplace(*std::move(taken));
  }
  if (FileExists(SweepStatePath(dir))) {
    const absl::StatusOr<SweepState> earlier = ReadSweepState(dir);
    if (!earlier.ok()) return earlier.status();
    if (absl::Status same = TakeOver(*earlier, dir, &state); !same.ok()) return same;
  }
  if (options.dry_run) {
    Show(options, state);
    return Outcome(state);
  }
  const absl::Status ran = RunCases(*file, *chosen, options.run, &state);
  Show(options, state);
  return ran.ok() ? Outcome(state) : ran;
}

}  // namespace

void AddSweep(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("sweep", "Run one configuration in many variants and on many rank counts");
  command->add_option("sweep", options->sweep.path, "What is varied, and how it runs")
      ->required()
      ->type_name("SWEEP.yaml");
  command
      ->add_option("overrides", options->sweep.overrides,
                   "Any key of its section sweep, as sweep.ranks=[1,2]")
      ->type_name("KEY=VALUE");
  command
      ->add_option("--only", options->only,
                   "Run this case alone, or the cases of this layout; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME");
  command->add_flag("--retry-failed", options->run.retry_failed, "Start cases that failed again");
  command->add_flag("--dry-run", options->dry_run, "List the cases and whether they are legal; run nothing");
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Sweep(*options); }; });
}

}  // namespace orthant
