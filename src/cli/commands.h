// The functions that add each subcommand, one file each; listed in commands.cpp.
#pragma once

#include "orthant/cli/command.h"

namespace orthant {

void AddTrain(CLI::App& app, CommandAction* action);
void AddVerify(CLI::App& app, CommandAction* action);
void AddPlan(CLI::App& app, CommandAction* action);
void AddData(CLI::App& app, CommandAction* action);
void AddCheckpoint(CLI::App& app, CommandAction* action);
void AddConfig(CLI::App& app, CommandAction* action);
void AddFlight(CLI::App& app, CommandAction* action);
void AddLaunch(CLI::App& app, CommandAction* action);
void AddSubmit(CLI::App& app, CommandAction* action);
void AddBench(CLI::App& app, CommandAction* action);
void AddDoctor(CLI::App& app, CommandAction* action);
void AddReport(CLI::App& app, CommandAction* action);
void AddSweep(CLI::App& app, CommandAction* action);
void AddWatch(CLI::App& app, CommandAction* action);

}  // namespace orthant
