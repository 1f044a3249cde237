#include "orthant/train/groups.h"

#include <string>
#include <vector>

#include "orthant/train/broadcast_text.h"

namespace orthant {

Communicator* Groups::Shard(int zero_stage) const {
  if (zero_stage == 0) return nullptr;
  return hybrid_shard ? hybrid_shard.get() : data_sequence.get();
}

Communicator* Groups::Replica(int zero_stage) const {
  return zero_stage == 0 ? data_sequence.get() : hybrid_replica.get();
}

Groups MakeGroups(const Mesh& mesh, int64_t shard_ranks, Communicator& world) {
  const int64_t rank = world.rank();
  const auto make = [&](Axes axes, const char* name) {
    return world.Subgroup(mesh.GroupOf(rank, axes).ranks(), name);
  };
  Groups groups;
  groups.world = &world;
  groups.tensor = make({Axis::kTensor}, "tensor");
  groups.sequence = make({Axis::kSequence}, "sequence");
  groups.data = make({Axis::kData}, "data");
  groups.pipeline = make({Axis::kPipeline}, "pipeline");
  groups.data_sequence = make({Axis::kData, Axis::kSequence}, "data_sequence");
  const int replicas = groups.data_sequence->size(), shards = static_cast<int>(shard_ranks);
  if (shards > 0 && shards < replicas) {
    const int mine = groups.data_sequence->rank();
    std::vector<int> together, alike;
    for (int r = 0; r < replicas; ++r) {
      if (r / shards == mine / shards) together.push_back(r);
      if (r % shards == mine % shards) alike.push_back(r);
    }
    groups.hybrid_shard = groups.data_sequence->Subgroup(together, "shard");
    groups.hybrid_replica = groups.data_sequence->Subgroup(alike, "replica");
  }
  if (mesh.degrees().pipeline > 1 && mesh.InEmbeddingPair(rank)) {
    groups.embedding_pair = world.Subgroup(mesh.EmbeddingPair(rank), "embedding_pair");
  }
  return groups;
}

std::vector<Communicator*> Groups::All() const {
  std::vector<Communicator*> all = {world};
  for (const auto* group : {&data, &tensor, &pipeline, &sequence, &data_sequence, &embedding_pair,
                            &hybrid_shard, &hybrid_replica}) {
    if (*group != nullptr) all.push_back(group->get());
  }
  return all;
}

double Groups::HashBalance() const {
  double balance = 0.0;
  for (const Communicator* group : All()) balance += group->HashBalance();
  return balance;
}

std::string Groups::ExplainImbalance() {
  std::string text;
  for (Communicator* group : All()) {
    const std::string difference = group->ExplainImbalance();
    if (text.empty()) text = difference;
  }
  text = FirstText(text, *world);
  return text.empty() ? "the ranks' histories of operations differ, and no group shows where" : text;
}

// Everything that is not of another axis carries gradients, parameters or sums of the loss.
Axis Groups::AxisOf(const Communicator* group) const {
  if (group == tensor.get()) return Axis::kTensor;
  if (group == sequence.get()) return Axis::kSequence;
  if (group == pipeline.get() || group == embedding_pair.get()) return Axis::kPipeline;
  return Axis::kData;
}

std::array<int64_t, kAxisCount> Groups::BytesSent() const {
  std::array<int64_t, kAxisCount> bytes{};
  for (const Communicator* group : All()) bytes[static_cast<int>(AxisOf(group))] += group->bytes_sent();
  return bytes;
}

std::array<CommTime, kAxisCount> Groups::Times() const {
  std::array<CommTime, kAxisCount> times{};
  for (const Communicator* group : All()) {
    CommTime& time = times[static_cast<int>(AxisOf(group))];
    time.exposed += group->time().exposed;
    time.hidden += group->time().hidden;
  }
  return times;
}

}  // namespace orthant
