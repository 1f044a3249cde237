// The program `orthant`: parse, dispatch.
#include "orthant/cli/command.h"
#include "orthant/core/process.h"

int main(int argc, char** argv) {
  orthant::KeepFreedMemory();
  return orthant::RunCommandLine(argc, argv);
}
