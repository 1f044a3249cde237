// Reading and changing the command line that `orthant launch` supervises: where `train` and its run stand in
// it, and the same command on fewer ranks. Pure, but for reading the run's YAML.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/run_file.h"

namespace orthant {

struct TrainCommand {
  size_t word = 0;  // of `train` in the command
  RunFileOptions run;
};

// `... orthant train RUN.yaml KEY=VALUE ...`, where the program is called `orthant` or something that begins
// so, or is `self`. nullopt: the command trains nothing that can be seen in it.
std::optional<TrainCommand> FindTrain(const std::vector<std::string>& command, const std::string& self);

// Whether the word is a program that starts the ranks of an MPI program: mpirun, mpiexec, srun, ...
bool IsRankLauncher(const std::string& word);
// Such a program of OpenMPI's or one that may be: it ends its ranks about a second after it got SIGTERM.
bool IsMpirun(const std::string& word);

// `command` with `ranks` in place of the number that its rank launcher (before word `end`) was told, or added
// where it was told none. Without a rank launcher: as it stands.
std::vector<std::string> WithRanks(std::vector<std::string> command, size_t end, int64_t ranks);

struct SmallerCommand {
  std::vector<std::string> command;
  int64_t data = 0, ranks = 0;                // of it
  int64_t data_before = 0, ranks_before = 0;  // of the command it was made from
  int64_t global_batch = 0;                   // of both
};
// The command with the next smaller parallel.data that the run's rules allow, nothing else of its
// configuration changed. nullopt: there is none, or the command trains nothing.
std::optional<SmallerCommand> Shrink(const std::vector<std::string>& command, const std::string& self);

// As one would type it: words with other characters than letters, digits and a few marks stand in quotes.
std::string CommandText(const std::vector<std::string>& command);

}  // namespace orthant
