// What a subcommand is: a function that adds itself to the CLI11 program and says what to run. The table of
// all of them is in src/cli/commands.cpp.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace orthant {

// What the chosen subcommand does. Its status becomes the exit code; a failure's message is printed once, on
// stderr, after "error: ".
using CommandAction = std::function<absl::Status()>;

// Adds one subcommand to `app` and, when the user chose it, leaves its action in `*action`:
//
//   void AddFoo(CLI::App& app, CommandAction* action) {
//     auto options = std::make_shared<FooOptions>();
//     CLI::App* command = app.add_subcommand("foo", "Does foo");
//     command->add_option("path", options->path, "Where")->required();
//     command->callback([options, action] { *action = [options] { return Foo(*options); }; });
//   }
using AddCommand = void (*)(CLI::App& app, CommandAction* action);

// Every subcommand, in the order of --help.
const std::vector<AddCommand>& Commands();

// Parses the command line and runs the subcommand. Returns the process's exit code (see ExitCode); usage
// errors are 2, --help and --version 0.
int RunCommandLine(int argc, const char* const* argv, const std::vector<AddCommand>& commands = Commands());

}  // namespace orthant
