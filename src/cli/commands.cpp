#include "cli/commands.h"

namespace orthant {

const std::vector<AddCommand>& Commands() {
  static const std::vector<AddCommand> commands = {AddTrain,      AddVerify, AddData,
                                                   AddCheckpoint, AddConfig, AddLaunch};
  return commands;
}

}  // namespace orthant
