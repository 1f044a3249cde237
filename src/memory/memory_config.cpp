#include "orthant/memory/memory_config.h"

namespace orthant {

void Describe(Fields& fields, MemoryConfig& config) {
  fields.Bytes("limit", &config.limit)
      .Doc("Device memory that a rank may hold; more fails like a GPU's out-of-memory. 0: no limit.");
  fields.Choice("recompute", &config.recompute, {"none", "selective", "full"})
      .Doc(
          "What backward computes again instead of keeping: nothing, the attention core, or whole blocks "
          "(arXiv 2205.05198).");
  fields.Integer("recompute_every", &config.recompute_every)
      .AtLeast(1)
      .Unit("blocks")
      .Doc("Recompute in every n-th block only, from the first.");
}

}  // namespace orthant
