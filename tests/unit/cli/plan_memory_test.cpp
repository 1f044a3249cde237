// The planner's memory, which is arithmetic on a model's shape, against the trainer's own estimate, which
// plays a step through and agrees with its account (docs/memory.md).
#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "orthant/plan/step_model.h"
#include "orthant/train/memory_estimate.h"

namespace orthant {
namespace {

constexpr int64_t kVocab = 8192;

Machine OrthantMachine(const ProductKernels& kernels) {
  Machine m;
  Software& s = m.calibration.software;
  s.fused_dropout = false;
  s.loss_bytes = 0;
  s.transposes = kernels.one_dnn_float;
  s.through_float = !kernels.bfloat16_products;
  return m;
}

RunConfig Base(double dropout, const char* dtype) {
  RunConfig c;
  c.model.layers = 8;
  c.model.heads = 8;
  c.model.hidden = 512;
  c.model.context = 512;
  c.model.dropout = dropout;
  c.train.global_batch = 64;
  c.train.dtype = dtype;
  return c;
}

double Planned(const RunConfig& c, const PlannedLayout& layout, const ProductKernels& kernels,
               int64_t vocab = kVocab) {
  Workload w;
  w.model = {.layers = c.model.layers,
             .heads = c.model.heads,
             .hidden = c.model.hidden,
             .context = c.model.context,
             .vocab = vocab,
             .dropout = c.model.dropout};
  w.global_batch = c.train.global_batch;
  w.dtype = c.train.dtype;
  w.precision = PrecisionOfDtype(w.dtype);
  w.prefetch_bytes = static_cast<double>(c.zero.prefetch_bytes);
  return Predict(OrthantMachine(kernels), w, layout)->WorstStage().total();
}

double Estimated(RunConfig c, const PlannedLayout& l, const ProductKernels& kernels, int64_t vocab = kVocab) {
  c.parallel.data = static_cast<int>(l.data);
  c.parallel.tensor = static_cast<int>(l.tensor);
  c.parallel.pipeline = static_cast<int>(l.pipeline);
  c.parallel.sequence = static_cast<int>(l.sequence);
  c.parallel.zero = static_cast<int>(l.zero);
  c.parallel.schedule = ToString(l.schedule);
  c.parallel.tensor_sequence = l.tensor_sequence;
  c.zero.shard_ranks = l.shard_ranks;
  c.zero.offload.optimizer = l.offload == Offload::kNone ? "none" : "host";
  c.memory.recompute = ToString(l.recompute);
  c.train.micro_batch = l.micro_batch;
  return static_cast<double>(EstimateMemory(c, vocab, kernels).peak_bytes());
}

TEST(PlanMemory, IsWithinEightPercentOfTheTrainers) {
  const std::vector<PlannedLayout> layouts = {
      {.data = 4},
      {.data = 4, .micro_batch = 4},
      {.data = 4, .zero = 1, .micro_batch = 2},
      {.data = 4, .zero = 2, .micro_batch = 2},
      {.data = 4, .zero = 3, .micro_batch = 2},
      {.data = 8, .zero = 3, .shard_ranks = 2},
      {.data = 2, .zero = 1, .offload = Offload::kOptimizer, .micro_batch = 4},
      {.data = 2, .recompute = Recompute::kFull, .micro_batch = 8},
      {.data = 2, .recompute = Recompute::kSelective, .micro_batch = 4},
      {.data = 2, .tensor = 2, .micro_batch = 4},
      {.data = 2, .tensor = 4, .micro_batch = 4, .tensor_sequence = true},
      {.data = 2, .sequence = 2, .micro_batch = 4},
      {.data = 2, .tensor = 2, .sequence = 2, .zero = 1, .micro_batch = 4},
      {.data = 2, .pipeline = 2, .micro_batch = 4},
      {.data = 2, .pipeline = 4, .micro_batch = 2},
      {.data = 1, .pipeline = 4, .schedule = PlanSchedule::kGpipe, .micro_batch = 2},
      {.data = 2, .tensor = 2, .pipeline = 2, .zero = 1, .recompute = Recompute::kFull, .micro_batch = 8},
  };
  double most = 0;
  for (const ProductKernels& kernels :
       {ProductKernels{false, false}, ProductKernels{true, false}, ProductKernels{true, true}}) {
    for (const double dropout : {0.0, 0.1}) {
      for (const char* dtype : {"fp32", "bf16"}) {
        for (const PlannedLayout& layout : layouts) {
          const RunConfig config = Base(dropout, dtype);
          const double planned = Planned(config, layout, kernels);
          const double error = planned / Estimated(config, layout, kernels) - 1;
          most = std::max(most, std::abs(error));
          EXPECT_LT(std::abs(error), 0.08)
              << layout.ToString() << ", dropout " << dropout << ", " << dtype << ", oneDNN "
              << kernels.one_dnn_float << ", bf16 products " << kernels.bfloat16_products << ": "
              << planned / (1 << 20) << " MiB planned, " << 100 * error << " %";
        }
      }
    }
  }
  RecordProperty("most", std::to_string(most));
}

// Blocks of 200 KB, of which none, five, twenty or all are gathered ahead of their use; a table of 16 KB or 2
// MB.
TEST(PlanMemory, CountsWhatIsGatheredAhead) {
  RunConfig config = Base(0.0, "fp32");
  config.model.layers = 40;
  config.model.heads = 4;
  config.model.hidden = 64;
  config.model.context = 64;
  const ProductKernels kernels{true, true};
  for (const int64_t prefetch : {int64_t{0}, int64_t{1} << 20, int64_t{4} << 20, int64_t{1} << 30}) {
    for (const int64_t vocab : {int64_t{64}, kVocab}) {
      for (const PlannedLayout& layout :
           {PlannedLayout{.data = 1, .zero = 3}, PlannedLayout{.data = 2, .zero = 3},
            PlannedLayout{.data = 16, .zero = 3}, PlannedLayout{.data = 4, .pipeline = 2, .zero = 3}}) {
        config.zero.prefetch_bytes = prefetch;
        const double planned = Planned(config, layout, kernels, vocab);
        const double error = planned / Estimated(config, layout, kernels, vocab) - 1;
        EXPECT_LT(std::abs(error), 0.08)
            << layout.ToString() << ", prefetch_bytes " << prefetch << ", vocabulary " << vocab << ": "
            << planned / (1 << 20) << " MiB planned, " << 100 * error << " %";
      }
    }
  }
}

}  // namespace
}  // namespace orthant
