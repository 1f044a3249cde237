// What the subcommands of `orthant checkpoint` share, and the functions that add them, one file each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "nlohmann/json_fwd.hpp"
#include "orthant/cli/command.h"
#include "orthant/core/terminal.h"

namespace orthant {

void AddCheckpointInspect(CLI::App& checkpoint, CommandAction* action);
void AddCheckpointVerify(CLI::App& checkpoint, CommandAction* action);
void AddCheckpointDiff(CLI::App& checkpoint, CommandAction* action);
void AddCheckpointExport(CLI::App& checkpoint, CommandAction* action);
void AddCheckpointImport(CLI::App& checkpoint, CommandAction* action);

// The argument PATH, for ResolveCheckpoint.
void AddCheckpointPath(CLI::App& command, const char* name, std::string* path);

// One JSON object on stdout.
void PrintJson(const nlohmann::ordered_json& json);

// Draws a bar on stderr where that is a terminal; it goes away with the function.
std::function<void(int64_t done, int64_t total)> OnProgressBar(const std::string& title);

}  // namespace orthant
