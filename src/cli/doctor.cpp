// orthant doctor [RUN.yaml [KEY=VALUE ...]] [--dir DIR]: is this machine what a run needs?
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/run_file.h"
#include "orthant/core/terminal.h"
#include "orthant/doctor/examine.h"
#include "orthant/train/launch.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant doctor                                      this machine alone
  mpirun -n 16 orthant doctor --dir /scratch/me       all hosts: each one, and the links between them
  srun orthant doctor run.yaml                        ... in the folder of that run
  orthant doctor --format json                        the checks, and everything they rest on

Each check is ok, warn or fail, with what to do about it. Under a launcher every rank, every host and the links
between hosts are measured, and the slow host or link is named. A few seconds.
Exit code 0: nothing failed (warnings may be there); 3: a check failed. docs/doctor.md explains each check.)";

struct Options {
  RunFileOptions run;
  std::string folder;
  double timeout = 60;  // seconds that a rank waits for another
  std::string format = "text";
};

absl::Status FolderOf(const Options& options, std::string* folder) {
  *folder = ".";
  if (!options.run.path.empty()) {
    RunConfig config;
    if (const absl::Status loaded = LoadRun(options.run, &config).status(); !loaded.ok()) return loaded;
    *folder = config.RunDir();
  }
  if (!options.folder.empty()) *folder = options.folder;
  return absl::OkStatus();
}

void Print(const doctor::Report& report, bool json) {
  const std::string text =
      json ? ToJson(report).dump(2) + "\n"
           : ToText(report, IsTerminal(STDOUT_FILENO) ? TerminalWidth(STDOUT_FILENO) : 120);
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

absl::Status Doctor(const Options& options) {
  doctor::ExamineOptions examine;
  const absl::Status known = FolderOf(options, &examine.folder);
  const absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Start(options.timeout);
  if (!launcher.ok()) return launcher.status();
  if (const absl::Status agreed = (*launcher)->Agree(known); !agreed.ok()) return agreed;
  examine.launched = (*launcher)->launched();
  CommConfig comm;
  comm.timeout = options.timeout;
  absl::Status outcome;
  const absl::Status ran =
      (*launcher)->Run(comm, std::max(1, (*launcher)->processes()), /*threads_per_rank=*/0,
                       [&](Communicator& world, const RankEnvironment&) {
                         const doctor::Report report = doctor::Examine(world, examine);
                         if (world.rank() != 0) return absl::OkStatus();
                         Print(report, options.format == "json");
                         outcome = doctor::Outcome(report);
                         return absl::OkStatus();
                       });
  return ran.ok() ? (*launcher)->Agree(outcome) : ran;
}

}  // namespace

void AddDoctor(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("doctor", "Check libraries, hosts and the links between them");
  AddRunFile(*command, &options->run);
  command->get_option("run")->required(false);
  command
      ->add_option("--dir", options->folder,
                   "Where files are tried (default: run.dir, or the current folder)")
      ->type_name("DIR");
  command->add_option("--timeout", options->timeout, "Seconds that a rank may wait for another")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Doctor(*options); }; });
}

}  // namespace orthant
