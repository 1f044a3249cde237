// The subcommands of `orthant bench`, one file each.
#pragma once

#include "orthant/cli/command.h"

namespace orthant {

void AddBenchComm(CLI::App& bench, CommandAction* action);
void AddBenchCalibrate(CLI::App& bench, CommandAction* action);
void AddBenchStep(CLI::App& bench, CommandAction* action);

}  // namespace orthant
