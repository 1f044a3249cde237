#include "orthant/cli/command.h"

namespace orthant {

const std::vector<AddCommand>& Commands() {
  static const std::vector<AddCommand> commands = {};
  return commands;
}

}  // namespace orthant
