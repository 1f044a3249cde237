// The groups of the plan, and what its operations are called and cost.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "orthant/train/collective_plan.h"

namespace orthant {
namespace {

Axes AxesOf(GroupKind kind) {
  switch (kind) {
    case GroupKind::kTensor:
      return {Axis::kTensor};
    case GroupKind::kSequence:
      return {Axis::kSequence};
    case GroupKind::kData:
      return {Axis::kData};
    case GroupKind::kPipeline:
    case GroupKind::kEmbeddingPair:
      return {Axis::kPipeline};
    case GroupKind::kWorld:
      return {Axis::kData, Axis::kTensor, Axis::kPipeline, Axis::kSequence};
    case GroupKind::kDataSequence:
    case GroupKind::kShard:
    case GroupKind::kReplica:
      break;
  }
  return {Axis::kData, Axis::kSequence};
}

}  // namespace

const char* ToString(GroupKind kind) {
  static constexpr const char* kNames[kGroupKinds] = {"world", "tensor",   "sequence",
                                                      "data",  "pipeline", "data_sequence",
                                                      "shard", "replica",  "embedding_pair"};
  return kNames[static_cast<size_t>(kind)];
}

Axis AxisOf(GroupKind kind) {
  switch (kind) {
    case GroupKind::kTensor:
      return Axis::kTensor;
    case GroupKind::kSequence:
      return Axis::kSequence;
    case GroupKind::kPipeline:
    case GroupKind::kEmbeddingPair:
      return Axis::kPipeline;
    default:
      return Axis::kData;
  }
}

std::string Describe(const PlannedOperation& op) {
  Operation operation;
  operation.kind = op.kind;
  operation.reduce = op.reduce;
  operation.dtype = op.dtype;
  operation.peer = op.peer;
  operation.count = op.count;
  operation.label = op.label;
  std::string text = absl::StrCat(ToString(op.group), ".", Describe(operation));
  if (operation.point_to_point()) {
    absl::StrAppend(&text, op.kind == OpKind::kSend ? " to" : " from", " stage ", op.peer);
  }
  return text;
}

int64_t BytesSent(const PlannedOperation& op, int64_t size) {
  const int64_t share = op.count * static_cast<int64_t>(c10::elementSize(op.dtype));
  switch (op.kind) {
    case OpKind::kAllReduce:
      return 2 * (size - 1) * share / size;
    case OpKind::kAllGather:
    case OpKind::kReduceScatter:
    case OpKind::kAllToAll:
      return (size - 1) * share;
    case OpKind::kSend:
      return share;
    default:
      return 0;
  }
}

MeshGroups::MeshGroups(const Mesh& mesh, int64_t shard_ranks) : mesh_(mesh) {
  const int64_t replicas = int64_t{1} * mesh.degrees().data * mesh.degrees().sequence;
  if (shard_ranks > 0 && shard_ranks < replicas) shards_ = shard_ranks;
}

bool MeshGroups::Exists(GroupKind kind, int64_t rank) const {
  if (kind == GroupKind::kEmbeddingPair) return mesh_.degrees().pipeline > 1 && mesh_.InEmbeddingPair(rank);
  if (kind == GroupKind::kShard || kind == GroupKind::kReplica) return shards_ > 0;
  return true;
}

int64_t MeshGroups::SizeOf(GroupKind kind, int64_t rank) const {
  if (!Exists(kind, rank)) return 1;
  if (kind == GroupKind::kEmbeddingPair) return 2;
  if (kind == GroupKind::kShard) return shards_;
  const int64_t all = mesh_.GroupOf(rank, AxesOf(kind)).size();
  return kind == GroupKind::kReplica ? all / shards_ : all;
}

int64_t MeshGroups::IndexOf(GroupKind kind, int64_t rank) const {
  if (!Exists(kind, rank)) return 0;
  const int64_t self = mesh_.GroupOf(rank, AxesOf(kind)).self();
  if (kind == GroupKind::kEmbeddingPair) return self == 0 ? 0 : 1;
  if (kind == GroupKind::kShard) return self % shards_;
  return kind == GroupKind::kReplica ? self / shards_ : self;
}

int64_t MeshGroups::MemberAt(GroupKind kind, int64_t rank, int64_t index) const {
  if (!Exists(kind, rank)) return rank;
  const Group group = mesh_.GroupOf(rank, AxesOf(kind));
  switch (kind) {
    case GroupKind::kEmbeddingPair:
      return group.rank(index == 0 ? 0 : group.size() - 1);
    case GroupKind::kShard:
      return group.rank(group.self() / shards_ * shards_ + index);
    case GroupKind::kReplica:
      return group.rank(group.self() % shards_ + index * shards_);
    default:
      return group.rank(index);
  }
}

std::vector<int64_t> MeshGroups::Members(GroupKind kind, int64_t rank) const {
  std::vector<int64_t> members;
  if (!Exists(kind, rank)) return members;
  const int64_t size = SizeOf(kind, rank);
  for (int64_t i = 0; i < size; ++i) members.push_back(MemberAt(kind, rank, i));
  return members;
}

namespace {

// Operations and bytes of one list, by group and kind.
constexpr size_t kOpKinds = static_cast<size_t>(OpKind::kBarrier) + 1;
struct Cell {
  int64_t operations = 0, bytes = 0;
};
using Cells = std::array<Cell, kGroupKinds * kOpKinds>;

size_t CellOf(GroupKind group, OpKind kind) {
  return static_cast<size_t>(group) * kOpKinds + static_cast<size_t>(kind);
}

Cells CellsOf(const OperationList& list, const std::array<int64_t, kGroupKinds>& sizes) {
  Cells cells{};
  for (const PlannedOperation& op : list) {
    if (op.mode == PlannedOperation::Mode::kWait) continue;
    Cell& cell = cells[CellOf(op.group, op.kind)];
    ++cell.operations;
    cell.bytes += BytesSent(op, sizes[static_cast<size_t>(op.group)]);
  }
  return cells;
}

}  // namespace

CollectiveSummary Summarize(const CollectivePass& pass, const MeshGroups& groups) {
  // Groups of a kind have one size on the ranks that belong to one; a list names only groups its ranks belong
  // to.
  std::array<int64_t, kGroupKinds> sizes{};
  const int64_t last_stage = groups.mesh().RankAt({.pipeline = groups.mesh().degrees().pipeline - 1});
  for (int k = 0; k < kGroupKinds; ++k) {
    sizes[static_cast<size_t>(k)] = groups.SizeOf(static_cast<GroupKind>(k), last_stage);
  }
  std::vector<std::pair<const OperationList*, Cells>> known;
  for (const auto& list : pass.lists) known.emplace_back(list.get(), CellsOf(*list, sizes));
  std::sort(known.begin(), known.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto cells_of = [&](const OperationList* list) -> const Cells& {
    return std::lower_bound(
               known.begin(), known.end(), list,
               [](const auto& entry, const OperationList* wanted) { return entry.first < wanted; })
        ->second;
  };

  CollectiveSummary summary;
  summary.ranks = static_cast<int64_t>(pass.ranks.size());
  std::array<CollectiveSummary::Row, kGroupKinds * kOpKinds> rows{};
  for (size_t rank = 0; rank < pass.ranks.size(); ++rank) {
    Cells mine{};
    for (const OperationList* part : pass.ranks[rank].parts) {
      if (part == nullptr) continue;
      const Cells& cells = cells_of(part);
      for (size_t c = 0; c < cells.size(); ++c) {
        mine[c].operations += cells[c].operations;
        mine[c].bytes += cells[c].bytes;
      }
    }
    int64_t operations = 0;
    std::array<int64_t, kAxisCount> bytes{};
    for (size_t c = 0; c < mine.size(); ++c) {
      CollectiveSummary::Row& row = rows[c];
      row.least = rank == 0 ? mine[c].operations : std::min(row.least, mine[c].operations);
      row.most = std::max(row.most, mine[c].operations);
      row.total += mine[c].operations;
      row.most_bytes = std::max(row.most_bytes, mine[c].bytes);
      row.total_bytes += mine[c].bytes;
      operations += mine[c].operations;
      bytes[static_cast<size_t>(AxisOf(static_cast<GroupKind>(c / kOpKinds)))] += mine[c].bytes;
    }
    summary.least = rank == 0 ? operations : std::min(summary.least, operations);
    summary.most = std::max(summary.most, operations);
    summary.total += operations;
    if (rank == 0) summary.first_rank_bytes = bytes;
    for (size_t a = 0; a < kAxisCount; ++a) summary.most_bytes[a] = std::max(summary.most_bytes[a], bytes[a]);
  }
  for (size_t c = 0; c < rows.size(); ++c) {
    if (rows[c].total == 0) continue;
    rows[c].group = static_cast<GroupKind>(c / kOpKinds);
    rows[c].kind = static_cast<OpKind>(c % kOpKinds);
    rows[c].group_size = sizes[c / kOpKinds];
    summary.rows.push_back(rows[c]);
  }
  return summary;
}

}  // namespace orthant
