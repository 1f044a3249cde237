// The description of the `zero:` section.
#include <limits>

#include "orthant/data_parallel/zero_config.h"

namespace orthant {
namespace {

void DescribeOffload(Fields& fields, OffloadConfig& config) {
  fields.Choice("optimizer", &config.optimizer, {"none", "host", "nvme"})
      .Doc(
          "Where moments and fp32 masters live (stages 1 to 3): on the device, in host memory, or in files.");
  fields.Choice("parameters", &config.parameters, {"none", "host", "nvme"})
      .Doc("Where parameter shards live (stage 3).");
  fields.Text("path", &config.path)
      .Doc("Folder of the offload files, on a fast local disk; empty: RUN_DIR/offload.");
  fields.Integer("buffers", &config.buffers)
      .AtLeast(2)
      .Doc("Staging buffers of each store: one read ahead, one in use, the rest written back.");
}

}  // namespace

void Describe(Fields& fields, ZeroConfig& config) {
  fields.Integer("shard_ranks", &config.shard_ranks)
      .AtLeast(0)
      .Unit("ranks")
      .Doc(
          "Ranks of data x sequence that share one set of shards, replicas beyond (HSDP; MiCS, arXiv "
          "2205.00119; ZeRO++ hpZ, arXiv 2306.10209); divides data x sequence; 0: all.");
  fields.Bool("release_after_forward", &config.release_after_forward)
      .Doc(
          "Stage 3: give gathered parameters back after forward and gather them again for backward; false "
          "keeps them until the step's last backward, so that a pipeline gathers once a step.");
  fields.Bytes("bucket_bytes", &config.bucket_bytes)
      .AtLeast(1024)
      .Doc(
          "Parameters gathered together and gradients reduced together; a block that is larger is split into "
          "several units.");
  fields.Bytes("prefetch_bytes", &config.prefetch_bytes)
      .AtLeast(0)
      .Doc(
          "Stage 3: parameters gathered ahead of their use: the next unit, and more while they fit; 0: "
          "none.");
  fields.Bytes("tile_bytes", &config.tile_bytes)
      .AtLeast(0)
      .Doc(
          "Memory-centric tiling (arXiv 2104.07857, section 5.1.3): a linear layer whose weight is larger is "
          "split into tiles, gathered one after another; 0: never.");
  fields.Section("offload", "State kept outside the device's memory.",
                 [&](Fields& section) { DescribeOffload(section, config.offload); });
}

int MostAhead(const ZeroConfig& config) {
  return config.offload.parameters == "nvme" ? config.offload.buffers - 2 : std::numeric_limits<int>::max();
}

}  // namespace orthant
