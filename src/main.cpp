// The program `orthant`: parse, dispatch.
#include "orthant/cli/command.h"

int main(int argc, char** argv) {
  return orthant::RunCommandLine(argc, argv);
}
