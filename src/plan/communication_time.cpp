#include "orthant/plan/communication_time.h"

#include <algorithm>
#include <cmath>

namespace orthant {
namespace {

double Share(int64_t ranks) {  // (n - 1) / n
  return static_cast<double>(ranks - 1) / static_cast<double>(ranks);
}

double Latency(const Machine& machine, int64_t ranks) {
  return machine.constants().latency * std::log2(static_cast<double>(std::max<int64_t>(2, ranks)));
}

// Seconds that `share` x bytes take through a node's network, shared by its groups.
double AcrossSeconds(const Machine& machine, const PlacedGroup& group, double bytes) {
  if (!group.crosses()) return 0;
  return bytes * Share(group.nodes) * static_cast<double>(group.sharing) / machine.NetworkRate() +
         Latency(machine, group.nodes);
}

}  // namespace

PlacedGroup Place(const Machine& machine, int64_t size, int64_t stride) {
  PlacedGroup group;
  group.size = size;
  const int64_t reach = std::max<int64_t>(1, machine.node_ranks / std::max<int64_t>(1, stride));
  group.in_node = std::min(size, reach);
  group.nodes = (size + group.in_node - 1) / group.in_node;
  group.sharing = std::max<int64_t>(1, machine.node_ranks / group.in_node);
  return group;
}

PlacedGroup TensorGroup(const Machine& machine, const PlannedLayout& l) {
  return Place(machine, l.tensor, 1);
}
PlacedGroup SequenceGroup(const Machine& machine, const PlannedLayout& l) {
  return Place(machine, l.sequence, l.tensor);
}
PlacedGroup ShardGroup(const Machine& machine, const PlannedLayout& l) {
  return Place(machine, l.Shards(), l.tensor);
}
PlacedGroup CopyGroup(const Machine& machine, const PlannedLayout& l) {
  return Place(machine, l.replicas() / std::max<int64_t>(1, l.Shards()), l.tensor * l.Shards());
}
bool StagesCross(const Machine& machine, const PlannedLayout& l) {
  return l.pipeline > 1 && l.world() > machine.node_ranks;
}

double AllReduceSeconds(const Machine& machine, const PlacedGroup& group, double bytes) {
  if (group.size <= 1) return 0;
  double seconds = 0;
  if (group.in_node > 1) {
    const LinkTable* table = machine.calibration.AllReduceTable(group.in_node);
    seconds = table != nullptr
                  ? table->Seconds(bytes)
                  : 2 * Share(group.in_node) * bytes / machine.NodeRate() + Latency(machine, group.in_node);
  }
  return seconds + 2 * AcrossSeconds(machine, group, bytes);
}

double GatherSeconds(const Machine& machine, const PlacedGroup& group, double bytes) {
  if (group.size <= 1) return 0;
  double seconds = 0;
  if (group.in_node > 1)
    seconds = Share(group.in_node) * bytes / machine.NodeRate() + Latency(machine, group.in_node);
  return seconds + AcrossSeconds(machine, group, bytes);
}

double AllToAllSeconds(const Machine& machine, const PlacedGroup& group, double bytes) {
  if (group.size <= 1) return 0;
  const double n = static_cast<double>(group.size), inside = static_cast<double>(group.in_node);
  double seconds = (inside - 1) / n * bytes / machine.NodeRate() + Latency(machine, group.size);
  if (group.crosses()) {
    // Every member sends the part that is meant for other nodes through the node's one network.
    seconds += (n - inside) / n * bytes * inside * static_cast<double>(group.sharing) / machine.NetworkRate();
  }
  return seconds;
}

double SendSeconds(const Machine& machine, const PlannedLayout& layout, double bytes) {
  const Constants& c = machine.constants();
  const double part = machine.software().split_sends ? bytes / static_cast<double>(layout.tensor) : bytes;
  // The ranks of a node that belong to one stage send at the same time.
  const int64_t together = std::min(machine.node_ranks, layout.world() / layout.pipeline);
  const double rate = StagesCross(machine, layout) ? machine.NetworkRate() / static_cast<double>(together)
                                                   : machine.NodeRate();
  return c.send * part / rate + c.send_latency;
}

void LinkBytes::Add(const PlacedGroup& group, double bytes) {
  if (group.size > 1) (group.crosses() ? network : node) += bytes;
}

}  // namespace orthant
