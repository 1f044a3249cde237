#include "orthant/train/groups.h"

#include <string>

namespace orthant {

Groups MakeGroups(const Mesh& mesh, Communicator& world) {
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
  if (mesh.degrees().pipeline > 1 && mesh.InEmbeddingPair(rank)) {
    groups.embedding_pair = world.Subgroup(mesh.EmbeddingPair(rank), "embedding_pair");
  }
  return groups;
}

std::array<int64_t, kAxisCount> Groups::BytesSent() const {
  std::array<int64_t, kAxisCount> bytes{};
  const auto add = [&](Axis axis, const Communicator* group) {
    if (group != nullptr) bytes[static_cast<int>(axis)] += group->bytes_sent();
  };
  add(Axis::kData, data.get());
  add(Axis::kData, data_sequence.get());
  add(Axis::kData, world);
  add(Axis::kTensor, tensor.get());
  add(Axis::kPipeline, pipeline.get());
  add(Axis::kPipeline, embedding_pair.get());
  add(Axis::kSequence, sequence.get());
  return bytes;
}

}  // namespace orthant
