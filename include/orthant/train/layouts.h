// Layouts: everything about how a run is spread and held that may never change its curve, and the list of
// those that `orthant verify` tries.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/train/run_config.h"

namespace orthant {

struct Layout {
  ParallelConfig parallel;
  ZeroConfig zero;
  MemoryConfig memory;
};

Layout LayoutOf(const RunConfig& config);
RunConfig With(RunConfig config, const Layout& layout);

// What differs from the defaults besides `parallel`, as overrides: {"zero.shard_ranks=2",
// "memory.recompute=full"}.
std::vector<std::string> Extras(const Layout& layout);

// Degrees x schedules x ZeRO stages x tensor_sequence that are legal for `config` with at most `max_ranks`
// ranks, by rank count; the one-rank reference itself is left out. Of each three, one is as the file says
// otherwise and two carry drawn extras - recompute, hybrid shards, release, offload, tiles, small buckets, no
// prefetch - the same ones at each call. Pure.
std::vector<Layout> LegalLayouts(const RunConfig& config, int64_t max_ranks);

// `count` of `all`: spread evenly, first and last among them (seed 0), or drawn at random by the seed, in
// order. 0, or as many as there are: all.
std::vector<Layout> Sample(const std::vector<Layout>& all, int64_t count, int64_t seed);

}  // namespace orthant
