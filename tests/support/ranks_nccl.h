// Ranks as threads over the nccl backend on FakeNccl.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "support/fake_nccl.h"

namespace orthant::testing {

struct FakeRanksOptions {
  FakeOptions fake;
  double timeout_seconds = 120;
  bool check = false;
};

struct FakeRanksResult {
  std::vector<std::string> errors;      // what each rank threw; "" where it did not
  std::vector<std::string> violations;  // of the fake
  std::vector<std::string> reports;     // what the ranks' backends said to those who end a job
  std::vector<std::string> flights;     // the ranks' records
  int aborts = 0;
  int splits = 0;
};

// Runs body(world) on n ranks. Fails no test by itself.
FakeRanksResult RunFakeRanks(int n, const FakeRanksOptions& options,
                             const std::function<void(Communicator& world, FakeNccl& fake)>& body);

}  // namespace orthant::testing
