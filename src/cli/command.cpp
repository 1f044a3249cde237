#include "orthant/cli/command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "orthant/comm/communicator.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/core/version.h"

namespace orthant {
namespace {

constexpr const char* kFooter = R"(
Examples:
  orthant data prepare --corpus shakespeare --tokenizer char --output data/shakespeare
  orthant train configs/shakespeare.yaml                       ranks are threads of this process
  orthant train configs/shakespeare.yaml parallel.tensor=2     any key can be set here
  mpirun -n 16 orthant train configs/shakespeare.yaml          each process is a rank
  orthant verify configs/verify.yaml --max-ranks 16            the same curve on every mesh

Exit codes: 0 done, 2 configuration or usage, 3 environment, 4 communication, 5 data or checkpoint,
6 numerical, 7 stopped by a signal after a clean save, 1 a bug. See docs/failures.md.)";

// The rank that a launcher gave this process, before MPI is started; 0 without one.
int LauncherRank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(variable); value != nullptr) return std::atoi(value);
  }
  return 0;
}

int Report(const absl::Status& status) {
  // A process whose failure another one tells has an empty message (Launcher::Agree).
  if (!status.ok() && !status.message().empty()) {
    // In one piece: several processes may share the terminal.
    std::cerr << absl::StrCat("error: ", status.message(), "\n") << std::flush;
  }
  return static_cast<int>(ExitCodeOf(status));
}

// A wrong command line is the same on every process: one of them says so.
int ReportUsage(const absl::Status& status) {
  return LauncherRank() == 0 ? Report(status) : static_cast<int>(ExitCodeOf(status));
}

std::vector<std::string> SubcommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// The first word that is no option and names no subcommand, at the top or one level below a subcommand that
// itself only has subcommands; CLI11 would say no more than that it was not expected.
absl::Status CheckSubcommand(const CLI::App& app, int argc, const char* const* argv, std::string path) {
  const std::vector<std::string> names = SubcommandNames(app);
  if (names.empty() || argc < 1 || argv[0][0] == '-') return absl::OkStatus();
  const std::string word = argv[0];
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) return CheckSubcommand(*command, argc - 1, argv + 1, path + " " + word);
  }
  const std::optional<std::string> meant = ClosestMatch(word, names);
  return ConfigurationError(
      absl::StrCat("unknown subcommand '", word, "' of ", path, "; ",
                   meant.has_value() ? absl::StrCat("did you mean ", *meant, "?")
                                     : absl::StrCat("it has: ", JoinWords(names), " (", path, " --help)")));
}

// The subcommand that the user got to before parsing failed: "orthant config show".
const CLI::App* DeepestParsed(const CLI::App& app, std::string* path) {
  const CLI::App* command = &app;
  *path = app.get_name();
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    absl::StrAppend(path, " ", command->get_name());
  }
  return command;
}

// CLI11's message, with the option that was meant where one was mistyped.
absl::Status UsageError(const CLI::App& app, const CLI::ParseError& error, int argc,
                        const char* const* argv) {
  std::string path;
  const CLI::App* command = DeepestParsed(app, &path);
  std::vector<std::string> known;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  std::string meant;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.rfind("--", 0) != 0 || word == "--") continue;
    word = word.substr(0, word.find('='));
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    const std::optional<std::string> match = ClosestMatch(word, known);
    if (match.has_value()) absl::StrAppend(&meant, "; did you mean ", *match, "?");
  }
  return ConfigurationError(absl::StrCat(error.what(), meant, " (see ", path, " --help)"));
}

// What escaped from an action as an exception, as the status it stands for.
absl::Status RunGuarded(const CommandAction& action) {
  try {
    return action();
  } catch (const CommError& error) {
    return CommunicationError(error.what());
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("unexpected: ", error.what(), " (this is a bug of Orthant's)"));
  }
}

}  // namespace

int RunCommandLine(int argc, const char* const* argv, const std::vector<AddCommand>& commands) {
  CLI::App app("Orthant trains transformers over four dimensions of parallelism.", "orthant");
  app.set_version_flag("--version", std::string("orthant ") + kOrthantVersion);
  app.require_subcommand(1);
  app.footer(kFooter);
  CommandAction action;
  for (const AddCommand add : commands) add(app, &action);
  try {
    const absl::Status known = CheckSubcommand(app, argc - 1, argv + 1, "orthant");
    if (!known.ok()) return ReportUsage(known);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return ReportUsage(UsageError(app, error, argc, argv));
  }
  if (!action) return Report(ConfigurationError("nothing to do (see orthant --help)"));
  return Report(RunGuarded(action));
}

}  // namespace orthant
