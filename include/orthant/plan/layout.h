// A layout: everything a plan may choose for a run at a given global batch, and what the run is made of.
// Pure.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/plan/machine.h"
#include "orthant/plan/plan_model.h"

namespace orthant {

enum class Recompute : int { kNone, kSelective, kFull };
enum class PlanSchedule : int { kGpipe, kOneFOneB, kInterleaved };
enum class Offload : int { kNone, kOptimizer, kAll };  // kAll: parameters too, ZeRO 3

const char* ToString(Recompute recompute);    // "none", "selective", "full"
const char* ToString(PlanSchedule schedule);  // "gpipe", "1f1b", "interleaved"
const char* ToString(Offload offload);        // "none", "optimizer", "optimizer and parameters"

struct PlannedLayout {
  int64_t data = 1, tensor = 1, pipeline = 1, sequence = 1;  // sequence: Ulysses
  PlanSchedule schedule = PlanSchedule::kOneFOneB;
  int64_t chunks = 1;
  int64_t zero = 0;
  int64_t shard_ranks = 0;  // 0: all of data x sequence
  Recompute recompute = Recompute::kNone;
  Offload offload = Offload::kNone;
  int64_t micro_batch = 1;
  bool tensor_sequence = false;

  int64_t world() const { return data * tensor * pipeline * sequence; }
  int64_t replicas() const { return data * sequence; }  // ranks that share gradients
  int64_t Shards() const { return zero == 0 ? 1 : shard_ranks > 0 ? shard_ranks : replicas(); }
  // "tensor 8 x pipeline 2 x data 4, micro_batch 2, ZeRO 1, recompute full"
  std::string ToString() const;

  friend bool operator==(const PlannedLayout&, const PlannedLayout&) = default;
};

// Bytes of an element, by what it is for.
struct PlannedPrecision {
  double value = 2;       // values and activations
  double gradient = 4;    // as it accumulates and travels
  double optimizer = 12;  // masters and moments, a parameter
};
// bf16 and fp16: 2, 4, 12; fp32: 4, 4, 8; fp64: 8, 8, 16.
PlannedPrecision PrecisionOfDtype(const std::string& dtype);

struct Workload {
  PlanModel model;
  int64_t global_batch = 1;  // samples
  std::string dtype = "bf16";
  PlannedPrecision precision;
  // Bytes of values that ZeRO 3 gathers ahead of their use: the next block, and more while they fit; 0: none.
  double prefetch_bytes = 1;

  int64_t TokensPerStep() const { return global_batch * model.context; }
  int64_t Microbatches(const PlannedLayout& layout) const {
    return global_batch / (layout.data * layout.micro_batch);
  }
};

// Whether scores [b, a, S, S] go through memory.
bool ScoresInMemory(const Software& software, const PlanModel& model);

// Layers of each stage: even, or, where the software may, weighed with the head (PartitionLayers). Size
// pipeline x chunks; empty where the software demands a multiple and there is none.
std::vector<int64_t> StageLayers(const PlanModel& model, const Software& software, int64_t stages);

}  // namespace orthant
