// orthant launch [--restarts N] [--backoff SECONDS] [--elastic] [--ranks N] -- COMMAND...
#include "orthant/train/launch.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/launch_command.h"
#include "cli/run_progress.h"
#include "orthant/comm/mpi.h"
#include "orthant/core/file.h"
#include "orthant/core/log.h"
#include "orthant/core/status.h"
#include "orthant/core/subprocess.h"
#include "orthant/core/text.h"
#include "orthant/launch/supervisor.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant launch --restarts 3 -- train configs/shakespeare.yaml            ranks are threads
  orthant launch --restarts 3 --ranks 16 -- train configs/shakespeare.yaml run.dir=runs/mpi
  orthant launch --restarts 9 --elastic -- mpirun -n 16 orthant train configs/shakespeare.yaml
  orthant launch --restarts 3 -- srun orthant train configs/shakespeare.yaml

After a failure that a new start can heal (exit codes 4 and 1, a signal) the command is run again, and a run goes
on from its last whole checkpoint. A failure that repeats at the same step ends it. SIGTERM, SIGINT and SIGUSR1
are passed on, and end it too. What happened stands on stderr and in RUN_DIR/launch.log. See docs/supervision.md.)";

struct Options {
  std::string program;              // the command's first word
  std::vector<std::string> extras;  // "--" and the others
  std::vector<std::string> command;
  int restarts = 0;
  double backoff = 1.0;
  bool elastic = false;
  int ranks = 0;
  std::vector<std::string> subcommands;  // of orthant
};

// Lines for the user: on stderr at once, and in RUN_DIR/launch.log as soon as there is a run in that folder
// (one that holds files, but no run, is refused by `train`).
class LaunchLog {
 public:
  explicit LaunchLog(std::string run_dir) : run_dir_(std::move(run_dir)), file_(&kept_, LogLevel::kInfo) {}

  void Add(const std::string& line) {
    stderr_.Info("launch: " + line);
    if (run_dir_.empty()) return;
    file_.Info(line);
    Write();
  }
  void Write() {
    if (kept_.str().empty() || !FileExists(run_dir_ + "/config.yaml")) return;
    std::ofstream file(run_dir_ + "/launch.log", std::ios::app);
    if (file << kept_.str() << std::flush) kept_.str("");
  }

 private:
  std::string run_dir_;
  std::ostringstream kept_;  // not in the file yet
  Logger stderr_, file_;
};

std::string Self() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "orthant" : path.string();
}

bool Contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// mpirun with the options that this program's ranks want: of OpenMPI's, other launchers know none.
std::vector<std::string> Mpirun(int ranks) {
  std::vector<std::string> words = {"mpirun", "-n", absl::StrCat(ranks)};
  const absl::StatusOr<SubprocessResult> version = RunProgram({"mpirun", "--version"});
  if (version.ok() && absl::StrContains(version->output, "Open MPI")) {
    for (const char* word : {"--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1",
                             "-x", "ORTHANT_ATTEMPT"}) {
      words.push_back(word);
    }
  }
  return words;
}

// What is run: an orthant subcommand by this same binary, under mpirun with --ranks.
absl::StatusOr<std::vector<std::string>> FullCommand(const Options& options, const std::string& self) {
  if (!Contains(options.subcommands, options.command[0])) {
    if (options.ranks == 0) return options.command;
    return ConfigurationError(absl::StrCat("--ranks ", options.ranks,
                                           " is for a subcommand of orthant, and '", options.command[0],
                                           "' is none; leave --ranks out, or write train RUN.yaml"));
  }
  std::vector<std::string> words;
  if (options.ranks > 0) words = Mpirun(options.ranks);
  words.push_back(self);
  words.insert(words.end(), options.command.begin(), options.command.end());
  return words;
}

// mpirun kills its ranks a second or two after it got SIGTERM, too soon for a save; SIGUSR1 it hands on.
int StopSignal(const std::vector<std::string>& command, const std::optional<TrainCommand>& train) {
  if (!train.has_value()) return 0;
  const auto end = command.begin() + static_cast<std::ptrdiff_t>(train->word);
  return std::any_of(command.begin(), end, IsMpirun) ? SIGUSR1 : 0;
}

std::vector<std::string> ShrinkAndTell(const std::vector<std::string>& command, const std::string& self,
                                       LaunchLog& log) {
  const std::optional<SmallerCommand> smaller = Shrink(command, self);
  if (!smaller.has_value()) return {};
  log.Add(absl::StrCat("fewer ranks: ", smaller->ranks, " instead of ", smaller->ranks_before,
                       " (parallel.data = ", smaller->data, " instead of ", smaller->data_before,
                       "); train.global_batch = ", smaller->global_batch, ", and so the curve, stays"));
  return smaller->command;
}

// Makes `command` of what was parsed.
absl::Status TakeCommand(Options* options) {
  const std::vector<std::string>& words = options->extras;
  if (words.empty() || words[0] != "--") {
    const std::vector<std::string> known = {"--restarts", "--backoff", "--elastic", "--ranks"};
    const std::string word = words.empty() ? options->program : words[0];
    const std::optional<std::string> meant = ClosestMatch(word.substr(0, word.find('=')), known);
    return ConfigurationError(
        absl::StrCat("'", word, "' was not expected",
                     meant.has_value() ? absl::StrCat("; did you mean ", *meant, "?") : "",
                     "; the command stands behind --, as in orthant launch --restarts 3 -- train RUN.yaml "
                     "(see orthant launch "
                     "--help)"));
  }
  options->command = {options->program};
  options->command.insert(options->command.end(), words.begin() + 1, words.end());
  return absl::OkStatus();
}

absl::Status RunLaunch(const Options& options) {
  if (MpiRuntime::UnderLauncher()) {
    const absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Start(CommConfig().timeout);
    if (!launcher.ok()) return launcher.status();
    return (*launcher)->Agree(EnvironmentError(  // said once, not by each process
        "orthant launch is one process that starts the others: put mpirun or srun behind its --, as in "
        "orthant launch --restarts 3 -- mpirun -n 16 orthant train RUN.yaml"));
  }
  const std::string self = Self();
  SupervisorOptions supervisor;
  supervisor.restarts = options.restarts;
  supervisor.backoff_seconds = options.backoff;
  absl::StatusOr<std::vector<std::string>> command = FullCommand(options, self);
  if (!command.ok()) return command.status();
  supervisor.command = *std::move(command);

  const std::optional<TrainCommand> train = FindTrain(supervisor.command, self);
  supervisor.stop_signal = StopSignal(supervisor.command, train);
  RunConfig config;
  if (train.has_value()) {
    if (const absl::Status loaded = LoadRun(train->run, &config).status(); !loaded.ok()) return loaded;
  } else if (options.elastic) {
    return ConfigurationError(
        "--elastic changes parallel.data of a run, and the command has no 'orthant train RUN.yaml' in it; "
        "write it "
        "out, or leave --elastic out");
  }
  LaunchLog log(train.has_value() ? config.RunDir() : "");
  RunWatch watch(config.RunDir());
  if (train.has_value()) supervisor.progress = [&watch] { return watch.Read(); };
  if (options.elastic) {
    supervisor.shrink = [&](const std::vector<std::string>& words) {
      return ShrinkAndTell(words, self, log);
    };
  }
  supervisor.log = [&log](const std::string& line) { log.Add(line); };
  log.Add(absl::StrCat("runs ", CommandText(supervisor.command), "; restarts: ", options.restarts));
  const absl::StatusOr<int> code = Supervise(supervisor);
  log.Write();
  if (!code.ok()) return code.status();
  return StatusWithExitCode(static_cast<ExitCode>(*code), "");  // the command has told its failure itself
}

absl::Status Launch(Options* options) {
  const absl::Status taken = TakeCommand(options);
  return taken.ok() ? RunLaunch(*options) : taken;
}

}  // namespace

void AddLaunch(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("launch", "Run a training command, and again after a failure");
  // Not as a list of words: CLI11 would take one like "[a,b]" apart. So all but the first are extras.
  command
      ->add_option("command", options->program,
                   "Behind --: a subcommand of orthant, or any program, and its words")
      ->required()
      ->type_name("COMMAND...");
  command->allow_extras();
  command->add_option("--restarts", options->restarts, "How often it may be started again")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  command->add_option("--backoff", options->backoff, "Seconds before the first restart; doubles up to 60")
      ->check(CLI::Range(0.0, 60.0))
      ->capture_default_str();
  command->add_flag("--elastic", options->elastic,
                    "After a failure without progress, go on with a smaller parallel.data");
  command->add_option("--ranks", options->ranks, "Run the subcommand as so many MPI processes (mpirun)")
      ->check(CLI::Range(1, 1000000));
  command->footer(kExamples);
  command->callback([options, action, command, &app] {
    for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; })) {
      options->subcommands.push_back(known->get_name());
    }
    options->extras = command->remaining();
    *action = [options] { return Launch(options.get()); };
  });
}

}  // namespace orthant
