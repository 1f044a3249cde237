#include "cli/commands.h"

namespace orthant {

const std::vector<AddCommand>& Commands() {
  static const std::vector<AddCommand> commands = {AddTrain,      AddVerify, AddPlan,   AddData,
                                                   AddCheckpoint, AddConfig, AddFlight, AddLaunch,
                                                   AddSubmit,     AddBench,  AddDoctor};
  return commands;
}

}  // namespace orthant
