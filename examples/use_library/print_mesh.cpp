// Prints a mesh, and for one rank the groups it talks to:   print_mesh [data tensor pipeline sequence]
#include <cstdlib>
#include <iostream>

#include "orthant/mesh/mesh.h"

int main(int argc, char** argv) {
  orthant::Degrees degrees{.data = 2, .tensor = 2, .pipeline = 2, .sequence = 2};
  if (argc == 5) {
    degrees = {.data = std::atoi(argv[1]),
               .tensor = std::atoi(argv[2]),
               .pipeline = std::atoi(argv[3]),
               .sequence = std::atoi(argv[4])};
  }
  if (argc != 1 &&
      (argc != 5 || degrees.data < 1 || degrees.tensor < 1 || degrees.pipeline < 1 || degrees.sequence < 1)) {
    std::cerr << "usage: print_mesh [data tensor pipeline sequence], each at least 1\n";
    return 2;
  }

  const orthant::Mesh mesh(degrees);
  std::cout << orthant::ToString(degrees) << ": " << mesh.world() << " ranks\n" << mesh.Map(8) << "\n";

  const int64_t rank = mesh.world() - 1;
  std::cout << mesh.Describe(rank) << "\n";
  for (const orthant::Axis axis : orthant::kAxes) {
    std::cout << "  " << orthant::AxisName(axis) << " group:";
    for (const int member : mesh.GroupOf(rank, {axis}).ranks()) std::cout << " " << member;
    std::cout << "\n";
  }
  return 0;
}
