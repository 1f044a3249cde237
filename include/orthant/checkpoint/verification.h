// `orthant checkpoint verify`: every byte of a checkpoint against its checksums, and which other kept step is
// whole when this one is not.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

// A slice whose bytes are not those that were written, or are not there.
struct HurtSlice {
  std::string tensor;
  StateKind kind = StateKind::kParameter;
  std::string file;
  int64_t offset = 0, bytes = 0;
  std::string what;  // "does not match its checksum"
};

struct Verification {
  struct Other {
    std::string folder;
    int64_t step = 0;
    bool whole = false;
    std::string first_fault;  // "" when whole
  };

  std::string folder;
  int64_t step = -1;                // -1: the manifest cannot be read
  int64_t tensors = 0, slices = 0;  // checked
  int64_t bytes_read = 0;
  std::vector<std::string> faults;  // of the manifest, of files, of what is missing: whole sentences
  std::vector<HurtSlice> hurt;      // by file and offset
  std::vector<std::string> strays;  // files that do not belong to the checkpoint; no fault
  std::vector<Other> others;        // looked at when this one is hurt: newest first, up to one that is whole

  bool whole() const { return faults.empty() && hurt.empty(); }
  absl::Status status() const;  // DataError when not whole
  std::string ToText() const;
  nlohmann::ordered_json ToJson() const;
};

using VerificationProgress = std::function<void(int64_t done, int64_t total)>;  // bytes

// Reads all of one step's folder, in pieces.
Verification VerifyStep(const std::string& step_folder, const VerificationProgress& progress);

// The same, and when it is hurt the other steps beside it.
Verification VerifyCheckpoint(const std::string& step_folder, const VerificationProgress& progress);

}  // namespace orthant
