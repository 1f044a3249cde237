// StartLedger: RUN_DIR/starts.json, what each start of a run was and how it ended: when, after which step, on
// which mesh, hosts and backend, and at its end each rank's peak of memory. `orthant report` reads it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "orthant/memory/account.h"

namespace orthant {

// One process, one thread. Failures to write come back and change nothing else.
class StartLedger {
 public:
  // Adds a start to what the file holds; one that cannot be read is begun anew. `facts`: the start's own
  // part.
  StartLedger(std::string path, nlohmann::ordered_json facts);

  // Where the steps begin; again after a rollback. `from`: the checkpoint, "" for none.
  absl::Status Began(int64_t step, const std::string& from);
  // Ranks in order. Not written before the next call.
  void Memory(const std::vector<MemoryPeak>& peaks);
  // `outcome`: "done", "stopped", "failed"; `message`: why. Exit code as the process's.
  absl::Status Ended(int64_t step, const std::string& outcome, int exit_code, const std::string& message);

 private:
  absl::Status Write();

  std::string path_;
  nlohmann::ordered_json starts_ = nlohmann::ordered_json::array();
};

}  // namespace orthant
