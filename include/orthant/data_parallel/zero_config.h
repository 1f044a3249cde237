// The `zero` section: how ZeRO shards, gathers and offloads. The stage itself is parallel.zero.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/config/fields.h"

namespace orthant {

struct OffloadConfig {
  std::string optimizer = "none";   // none | host | nvme
  std::string parameters = "none";  // none | host | nvme; stage 3
  std::string path;                 // folder of the files; empty: RUN_DIR/offload
  int buffers = 3;
};

struct ZeroConfig {
  int64_t shard_ranks = 0;  // ranks of data x sequence that share one set of shards; 0: all
  bool release_after_forward = true;
  int64_t bucket_bytes = int64_t{64} << 20;
  int64_t prefetch_bytes = int64_t{4} << 20;
  int64_t tile_bytes = 0;  // 0: no tiling
  OffloadConfig offload;
};

void Describe(Fields& fields, ZeroConfig& config);

// Units that may be gathered ahead: all, but with parameters in files two staging buffers are kept, one for a
// unit that was not gathered ahead and one for what is written back.
int MostAhead(const ZeroConfig& config);

}  // namespace orthant
