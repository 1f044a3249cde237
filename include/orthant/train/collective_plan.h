// What each rank of a mesh will communicate, in order, in a training step and in an evaluation: derived from
// the configuration alone, without ranks, tensors or communicators. docs/collectives.md says how and how it
// is tested.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "orthant/comm/operation.h"
#include "orthant/mesh/mesh.h"
#include "orthant/train/run_config.h"

namespace orthant {

// The communicators of a rank (groups.h).
enum class GroupKind : uint8_t {
  kWorld,
  kTensor,
  kSequence,
  kData,
  kPipeline,
  kDataSequence,
  kShard,
  kReplica,
  kEmbeddingPair,
};
inline constexpr int kGroupKinds = 9;
const char* ToString(GroupKind kind);  // as its communicator is called: "data_sequence"
Axis AxisOf(GroupKind kind);           // under which `comm_bytes` counts it

// One entry of a rank's list. Nothing is communicated on a group of one rank, so such entries do not exist.
struct PlannedOperation {
  enum class Mode : uint8_t {
    kBlocking,
    kIssue,  // asynchronous: `slot` stands for it from here to its wait
    kWait,   // for what `slot` stands for; the other fields repeat what that is
  };
  GroupKind group = GroupKind::kWorld;
  OpKind kind = OpKind::kBarrier;
  ReduceOp reduce = ReduceOp::kSum;
  Mode mode = Mode::kBlocking;
  c10::ScalarType dtype = c10::ScalarType::Float;
  int32_t slot = -1;
  int32_t peer = -1;  // root, or the other end, within the group
  int64_t count = 0;  // elements, as Operation::count
  Label label;
};
using OperationList = std::vector<PlannedOperation>;

// "tensor.all_reduce 'attn.out layer=7 mb=3' (sum, 128 fp32)"
std::string Describe(const PlannedOperation& op);
// By the rules of Communicator::bytes_sent, on a group of `size` ranks. A step has no rooted operations.
int64_t BytesSent(const PlannedOperation& op, int64_t size);

// Which ranks form each group: arithmetic on the mesh, O(1) a query but for Members.
class MeshGroups {
 public:
  // As MakeGroups. `mesh` is copied.
  MeshGroups(const Mesh& mesh, int64_t shard_ranks);

  const Mesh& mesh() const { return mesh_; }
  // World ranks, ascending; empty when `rank` belongs to no such group.
  std::vector<int64_t> Members(GroupKind kind, int64_t rank) const;
  int64_t SizeOf(GroupKind kind, int64_t rank) const;
  int64_t IndexOf(GroupKind kind, int64_t rank) const;  // of `rank` among the members
  // World rank of the index-th member.
  int64_t MemberAt(GroupKind kind, int64_t rank, int64_t index) const;

 private:
  bool Exists(GroupKind kind, int64_t rank) const;

  Mesh mesh_;
  int64_t shards_ = 0;  // of a hybrid shard group; 0: there are none
};

// A rank's list: the body, which all ranks of a pipeline stage share, and the tail, from the end of the
// reductions on, which may hang on the rank's place among the shards.
struct RankProgram {
  std::array<const OperationList*, 2> parts{};
};

// What all ranks do between two moments at which nothing is under way.
struct CollectivePass {
  std::string name;
  std::vector<RankProgram> ranks;                           // by world rank
  std::vector<std::shared_ptr<const OperationList>> lists;  // what the programs point to

  // The list of one rank, waits included.
  OperationList ListOf(int64_t rank) const;
  // Gives one rank a list of its own.
  void Replace(int64_t rank, OperationList list);
};

// The passes of a run. Under ZeRO 3 the order in which units are used is learnt, so steps may differ.
struct CollectivePlan {
  enum class Moment { kFirstStep, kStep, kEvaluation, kStepAfterEvaluation };
  std::vector<CollectivePass> passes;  // each once; the first is kStep's
  std::array<int, 4> at{};             // index into `passes` by Moment; -1: there is no such pass
  int64_t evaluated = 0;               // global batches in kEvaluation

  const CollectivePass& Of(Moment moment) const {
    return passes[static_cast<size_t>(at[static_cast<size_t>(moment)])];
  }
  bool Has(Moment moment) const { return at[static_cast<size_t>(moment)] >= 0; }
};

// `config` has passed ValidateRun for `mesh`; `vocab` is resolved. Time and memory grow with stages x
// operations of a rank, not with ranks. Evaluations are taken to be of at most two global batches: further
// ones repeat the second.
CollectivePlan PlanCollectives(const RunConfig& config, const Mesh& mesh, int64_t vocab);

// What a pass costs, by group and operation. Waits are not counted.
struct CollectiveSummary {
  struct Row {
    GroupKind group = GroupKind::kWorld;
    OpKind kind = OpKind::kBarrier;
    int64_t group_size = 0;                   // the largest
    int64_t least = 0, most = 0, total = 0;   // operations of a rank; of all
    int64_t most_bytes = 0, total_bytes = 0;  // sent by a rank; by all
  };
  int64_t ranks = 0;
  int64_t least = 0, most = 0, total = 0;  // operations of a rank; of all
  std::vector<Row> rows;
  std::array<int64_t, kAxisCount> first_rank_bytes{};  // by Axis: what `comm_bytes` will say
  std::array<int64_t, kAxisCount> most_bytes{};
};
CollectiveSummary Summarize(const CollectivePass& pass, const MeshGroups& groups);

}  // namespace orthant
