// Whether programs that use several communicators on one device can lock up: NCCL asks that ranks issue what
// they share in one order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace orthant::testing {

// A collective, or a group of sends and receives, as one rank issued it.
struct IssuedOperation {
  struct Part {
    int peer = 0;  // as a rank of the cluster
    bool send = false;
    bool done = false;
  };
  int communicator = 0;
  std::string name;          // "all_reduce #3 of row"
  std::vector<int> members;  // of a collective, which has the same name on all of them
  std::vector<Part> parts;   // of a group
};

// Runs the ranks' lists with devices that take one operation at a time, in the order of issue. -> "" when all
// come to their end, else who stands where.
std::string FindOrderFault(std::vector<std::vector<IssuedOperation>> issued);

}  // namespace orthant::testing
