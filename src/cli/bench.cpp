// orthant bench calibrate | comm | step
#include "cli/bench.h"

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant bench calibrate --ranks 4 --output here.yaml
  orthant bench comm --mesh data=2,tensor=4 --axis tensor
  mpirun -n 4 orthant bench comm --ops all_reduce,all_to_all --compare mpi --output links.json
  orthant bench step configs/shakespeare.yaml --steps 50
  mpirun -n 16 orthant bench step configs/shakespeare.yaml --format json > step.json

Without an MPI launcher the ranks are threads of this process. docs/bench.md says what each figure means.)";

}  // namespace

void AddBench(CLI::App& app, CommandAction* action) {
  CLI::App* bench = app.add_subcommand(
      "bench", "Time communication, a training step part by part, or what a plan needs to know");
  bench->require_subcommand(1);
  bench->footer(kExamples);
  AddBenchCalibrate(*bench, action);
  AddBenchComm(*bench, action);
  AddBenchStep(*bench, action);
}

}  // namespace orthant
