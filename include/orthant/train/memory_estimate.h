// What a run will hold, before it starts: every stage's step played through with bytes for tensors, no ranks
// and no memory. docs/memory.md compares it with what the account measures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/memory/account.h"
#include "orthant/train/run_config.h"

namespace orthant {

struct UnitEstimate {
  std::string name;
  int64_t parameters = 0;  // elements on one tensor rank, padding excluded
  int64_t elements = 0;    // of the flat buffer
  int64_t share = 0;       // of which one rank updates
};

// Any rank of one pipeline stage: all hold as much.
struct StageEstimate {
  TagBytes steady{};  // between steps: model states
  MemoryPeak peak;    // of construction and steps
  StepPhase peak_phase = StepPhase::kSetup;
  std::vector<UnitEstimate> units;  // in forward order
};

struct MemoryEstimate {
  std::vector<StageEstimate> stages;

  // The one with the largest device peak.
  const StageEstimate& worst() const;
  int64_t peak_bytes() const { return worst().peak.device_bytes; }
};

// How a processor makes matrix products (nn/matmul.h), which decides what they copy.
struct ProductKernels {
  bool one_dnn_float = false;      // fp32 by oneDNN
  bool bfloat16_products = false;  // bf16 has instructions of its own

  static ProductKernels OfThisProcessor();
};

// `config` has passed ValidateRun, `vocab` is resolved. Pure. Evaluation, which holds less than training, and
// the driver's own memory are left out.
MemoryEstimate EstimateMemory(const RunConfig& config, int64_t vocab,
                              const ProductKernels& kernels = ProductKernels::OfThisProcessor());

}  // namespace orthant
