#include "cli/commands.h"

namespace orthant {

const std::vector<AddCommand>& Commands() {
  static const std::vector<AddCommand> commands = {AddTrain,  AddVerify, AddPlan,   AddData,   AddCheckpoint,
                                                   AddConfig, AddFlight, AddLaunch, AddSubmit, AddBench,
                                                   AddSweep,  AddDoctor, AddReport, AddWatch};
  return commands;
}

}  // namespace orthant
