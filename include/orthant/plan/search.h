// Every legal layout of a workload on a machine, tried: the quickest that fit, and for each family of layouts
// why it is not among them. Pure; a hundred thousand layouts take about a second.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/plan/step_model.h"

namespace orthant {

// Share of a device's memory that a plan leaves free, for what the memory model misses.
inline constexpr double kMemoryMargin = 0.05;
// Layouts within this share of the quickest are no worse as far as the time model can tell
// (docs/planning.md). Of them the choice is the quickest of those without offload that send least between
// nodes, which is what measured steps stray most with.
inline constexpr double kSameTime = 0.03;

// What of a layout is not to be chosen; unset: free.
struct FixedChoices {
  std::optional<int64_t> data, tensor, pipeline, sequence, zero, shard_ranks, micro_batch;
  std::optional<PlanSchedule> schedule;  // matters with a pipeline alone
  std::optional<Recompute> recompute;
  std::optional<bool> tensor_sequence, offload_optimizer, offload_parameters;

  bool Allow(const PlannedLayout& layout) const;
};

struct SearchRequest {
  Machine machine;
  Workload workload;
  int64_t ranks = 1;
  int64_t keep = 10;  // of the best
  FixedChoices fixed = {};
  int64_t limit = 0;  // bytes of a run's memory.limit, where that bounds machine.memory_bytes; 0: it does not
  std::string ranks_word = "--ranks ";  // how messages write a number of ranks
  std::vector<Recompute> recompute = {Recompute::kNone, Recompute::kSelective, Recompute::kFull};

  double Capacity() const { return machine.Capacity() * (1 - kMemoryMargin); }  // bytes; 0: no limit
};

// Layouts that have something in common, as "tensor 16", "ZeRO 3, recompute none" or "ZeRO alone".
struct Family {
  std::string name;
  std::string trait;       // of it, for messages: "crosses the node"
  int64_t layouts = 0;     // tried
  double quickest = 0;     // s of a step, of those that fit; 0: none does
  PlannedLayout best;      // that one
  double least_bytes = 0;  // of a rank, over all
  PlannedLayout smallest;  // the one that takes as little
};

// A layout that no other beats in both memory and time.
struct TradeOffPoint {
  double seconds = 0, bytes = 0;  // of a step; of the rank that holds most
  bool fits = false;
  PlannedLayout layout;
};

struct SearchResult {
  std::vector<LayoutPrediction> best;        // quickest first; empty: nothing fits
  std::optional<LayoutPrediction> smallest;  // the one that takes least memory; none: nothing is legal
  int64_t layouts = 0, fitting = 0;
  double seconds = 0;  // that the search took
  std::vector<Family> families;
  std::vector<TradeOffPoint> front;  // quickest first; of all layouts, whether they fit or not
  const Family* Find(const std::string& name) const;
};

SearchResult Search(const SearchRequest& request);

// One line a family that is not among the best: "tensor 16 crosses the node: 3.1x slower, tensor
// communication +4.1 s", "ZeRO 3, recompute none: 94.0 of 80.0 GB, activations 61.0 GB".
std::vector<std::string> Rejections(const SearchRequest& request, const SearchResult& result);

// Why there is no plan, and what it would take: nearest ranks or global batches that divide, or the layout
// that comes nearest to fitting, with more ranks or memory. ConfigurationError; OK where something fits.
absl::Status WhyNothing(const SearchRequest& request, const SearchResult& result);

}  // namespace orthant
