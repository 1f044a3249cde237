#include "orthant/train/layouts.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "orthant/core/hash.h"
#include "orthant/core/philox.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/train/validate.h"

namespace orthant {
namespace {

// Calls visit(degrees) for every mesh of exactly `world` ranks.
template <typename Visit>
void ForMeshes(int world, const Visit& visit) {
  for (int p = 1; p <= world; ++p) {
    for (int d = 1; d * p <= world; ++d) {
      for (int s = 1; s * d * p <= world; ++s) {
        if (world % (p * d * s) == 0) {
          visit(Degrees{.data = d, .tensor = world / (p * d * s), .pipeline = p, .sequence = s});
        }
      }
    }
  }
}

// How one mesh may be used: schedules x ZeRO stages x tensor_sequence, where they differ in anything.
std::vector<ParallelConfig> UsesOf(const RunConfig& config, const Degrees& degrees) {
  std::vector<ParallelConfig> uses;
  ParallelConfig parallel;
  parallel.order = config.parallel.order;
  parallel.data = degrees.data;
  parallel.tensor = degrees.tensor;
  parallel.pipeline = degrees.pipeline;
  parallel.sequence = degrees.sequence;
  if (degrees.pipeline == config.parallel.pipeline) parallel.stages = config.parallel.stages;
  for (const std::string& schedule : ScheduleNames()) {
    if (degrees.pipeline == 1 && schedule != ScheduleNames().front()) continue;  // one stage: all are one
    parallel.schedule = schedule;
    for (int zero : {0, 1, 2, 3}) {
      if (zero > 0 && degrees.data * degrees.sequence == 1) continue;
      parallel.zero = zero;
      for (bool tensor_sequence : {false, true}) {
        if (tensor_sequence && degrees.tensor == 1) continue;
        parallel.tensor_sequence = tensor_sequence;
        uses.push_back(parallel);
      }
    }
  }
  return uses;
}

// Numbers that hang on the layout alone, so that each layout has the same extras at every call.
class Draw {
 public:
  explicit Draw(const ParallelConfig& p)
      : key_(DeriveKey(Fnv1a64(absl::StrCat(p.data, ".", p.tensor, ".", p.pipeline, ".", p.sequence, ".",
                                            p.zero, ".", p.schedule, ".", p.tensor_sequence)),
                       "extras")) {}
  int64_t Below(int64_t n) {
    return std::min<int64_t>(n - 1, static_cast<int64_t>(Uniform(key_, 0, next_++) * static_cast<double>(n)));
  }
  template <typename T>
  T From(const std::vector<T>& choices) {
    return choices[Below(static_cast<int64_t>(choices.size()))];
  }

 private:
  PhiloxKey key_;
  uint64_t next_ = 0;
};

void AddExtras(const RunConfig& config, Layout& layout) {
  Draw draw(layout.parallel);
  if (draw.Below(3) == 0) return;
  layout.memory.recompute = draw.From<std::string>({"none", "selective", "full"});
  if (layout.memory.recompute != "none") layout.memory.recompute_every = 1 + draw.Below(2);
  layout.zero.bucket_bytes = draw.From<int64_t>({ZeroConfig().bucket_bytes, 4096});
  layout.zero.prefetch_bytes = draw.From<int64_t>({ZeroConfig().prefetch_bytes, 0});
  // A third of the widest weight of a block, which is [4 H, H] in fp64, but no less than a row of [H, 4 H].
  const int64_t h = config.model.hidden;
  layout.zero.tile_bytes = draw.From<int64_t>({0, std::max(32 * h, 32 * h * h / 3)});
  if (layout.parallel.zero == 0) return;
  const int64_t ranks = int64_t{layout.parallel.data} * layout.parallel.sequence;
  std::vector<int64_t> shards = {0};
  for (int64_t n = 1; n < ranks; ++n) {
    if (ranks % n == 0) shards.push_back(n);
  }
  layout.zero.shard_ranks = draw.From(shards);
  const std::vector<std::string> tiers = {"none", "host", "nvme"};
  layout.zero.offload.optimizer = draw.From(tiers);
  layout.zero.offload.buffers = static_cast<int>(2 + draw.Below(3));
  if (layout.parallel.zero < 3) return;
  layout.zero.offload.parameters = draw.From(tiers);
  layout.zero.release_after_forward = draw.Below(2) == 0;
}

}  // namespace

Layout LayoutOf(const RunConfig& config) {
  return {config.parallel, config.zero, config.memory};
}

RunConfig With(RunConfig config, const Layout& layout) {
  config.parallel = layout.parallel;
  config.zero = layout.zero;
  config.memory = layout.memory;
  return config;
}

std::vector<std::string> Extras(const Layout& layout) {
  std::vector<std::string> extras;
  const auto add = [&](const char* key, const auto& value, const auto& usual) {
    if (value != usual) extras.push_back(absl::StrCat(key, "=", value));
  };
  const ZeroConfig zero;
  const MemoryConfig memory;
  add("zero.shard_ranks", layout.zero.shard_ranks, zero.shard_ranks);
  if (!layout.zero.release_after_forward) extras.push_back("zero.release_after_forward=false");
  add("zero.bucket_bytes", layout.zero.bucket_bytes, zero.bucket_bytes);
  add("zero.prefetch_bytes", layout.zero.prefetch_bytes, zero.prefetch_bytes);
  add("zero.tile_bytes", layout.zero.tile_bytes, zero.tile_bytes);
  add("zero.offload.optimizer", layout.zero.offload.optimizer, zero.offload.optimizer);
  add("zero.offload.parameters", layout.zero.offload.parameters, zero.offload.parameters);
  add("memory.recompute", layout.memory.recompute, memory.recompute);
  add("memory.recompute_every", layout.memory.recompute_every, memory.recompute_every);
  return extras;
}

std::vector<Layout> LegalLayouts(const RunConfig& config, int64_t max_ranks) {
  std::vector<Layout> legal;
  for (int world = 2; world <= max_ranks; ++world) {
    ForMeshes(world, [&](const Degrees& degrees) {
      for (const ParallelConfig& parallel : UsesOf(config, degrees)) {
        Layout layout{parallel, config.zero, config.memory};
        AddExtras(config, layout);
        if (ValidateRun(With(config, layout), nullptr).ok()) legal.push_back(layout);
      }
    });
  }
  return legal;
}

std::vector<Layout> Sample(const std::vector<Layout>& all, int64_t count, int64_t seed) {
  const int64_t total = static_cast<int64_t>(all.size());
  if (count <= 0 || count >= total) return all;
  std::vector<int64_t> chosen(total);
  std::iota(chosen.begin(), chosen.end(), 0);
  if (seed == 0) {
    for (int64_t i = 0; i < count; ++i) chosen[i] = count == 1 ? total - 1 : i * (total - 1) / (count - 1);
  } else {
    const PhiloxKey key = DeriveKey(static_cast<uint64_t>(seed), "layouts");
    for (int64_t i = 0; i < count; ++i) {  // the first `count` of a shuffle
      const auto step =
          static_cast<int64_t>(Uniform(key, 0, static_cast<uint64_t>(i)) * static_cast<double>(total - i));
      std::swap(chosen[i], chosen[std::min(total - 1, i + step)]);
    }
  }
  chosen.resize(count);
  std::sort(chosen.begin(), chosen.end());
  std::vector<Layout> some;
  for (int64_t i : chosen) some.push_back(all[i]);
  return some;
}

}  // namespace orthant
