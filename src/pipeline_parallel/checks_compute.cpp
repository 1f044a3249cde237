// Checks of shape, counts and order of compute.
#include "absl/strings/str_cat.h"
#include "checks.h"
#include "grid.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

int RowEnd(const Schedule& schedule, int rank) {
  return static_cast<int>(schedule.rows[rank].size());
}

// One (stage, microbatch).
absl::Status CheckPair(const Schedule& s, const Positions& positions, int stage, int microbatch) {
  const int rank = s.RankOf(stage), chunk = s.ChunkOf(stage);
  const auto cell = [&](ActionKind kind) { return CellText(s, rank, {kind, chunk, microbatch}); };
  const int forward = positions.At(ActionKind::kForward, stage, microbatch);
  const int backward = positions.At(ActionKind::kBackward, stage, microbatch);
  const int input = positions.At(ActionKind::kBackwardInput, stage, microbatch);
  const int weight = positions.At(ActionKind::kBackwardWeight, stage, microbatch);
  const int first = backward >= 0 ? backward : input >= 0 ? input : weight;
  if (forward < 0) {
    return ErrorAt(s, rank, RowEnd(s, rank),
                   absl::StrCat(cell(ActionKind::kForward), " is missing: every stage runs each of ",
                                s.microbatches, " microbatches forward once"));
  }
  if (s.forward_only) {
    if (first < 0) return absl::OkStatus();
    return ErrorAt(s, rank, first, "a forward-only schedule has no backward");
  }
  if (first < 0) {
    return ErrorAt(s, rank, RowEnd(s, rank),
                   absl::StrCat(cell(ActionKind::kBackward), " is missing: every stage runs each of ",
                                s.microbatches, " microbatches backward once, as B or as I and W"));
  }
  if (backward >= 0 && (input >= 0 || weight >= 0)) {
    return ErrorAt(
        s, rank, input >= 0 ? input : weight,
        absl::StrCat("the same backward stands at action ", backward, " as ", cell(ActionKind::kBackward)));
  }
  if (backward < 0 && (input < 0 || weight < 0)) {
    const ActionKind missing = input < 0 ? ActionKind::kBackwardInput : ActionKind::kBackwardWeight;
    return ErrorAt(s, rank, first, absl::StrCat("its other half ", cell(missing), " is missing"));
  }
  if (first < forward) {
    return ErrorAt(
        s, rank, first,
        absl::StrCat("it stands before its forward ", cell(ActionKind::kForward), ", action ", forward));
  }
  if (backward < 0 && weight < input) {
    return ErrorAt(s, rank, weight,
                   absl::StrCat("it stands before ", cell(ActionKind::kBackwardInput), ", action ", input));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckShape(const Schedule& s) {
  if (s.ranks < 1 || s.chunks < 1 || s.microbatches < 1 || static_cast<int>(s.rows.size()) != s.ranks) {
    return ConfigurationError(absl::StrCat("Schedule ", s.name, " has ", s.rows.size(), " rows for ", s.ranks,
                                           " ranks, ", s.chunks, " chunks and ", s.microbatches,
                                           " microbatches: one row a rank, and every number at least 1."));
  }
  for (int rank = 0; rank < s.ranks; ++rank) {
    for (int i = 0; i < RowEnd(s, rank); ++i) {
      const Action& action = s.rows[rank][i];
      if (action.chunk < 0 || action.chunk >= s.chunks) {
        return ErrorAt(s, rank, i, absl::StrCat("chunk ", action.chunk, " of ", s.chunks));
      }
      if (HasMicrobatch(action.kind) && (action.microbatch < 0 || action.microbatch >= s.microbatches)) {
        return ErrorAt(s, rank, i, absl::StrCat("microbatch ", action.microbatch, " of ", s.microbatches));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Positions> Positions::Of(const Schedule& s) {
  Positions positions;
  positions.microbatches_ = s.microbatches;
  for (std::vector<int>& table : positions.at_)
    table.assign(static_cast<size_t>(s.stages()) * s.microbatches, -1);
  for (int rank = 0; rank < s.ranks; ++rank) {
    for (int i = 0; i < RowEnd(s, rank); ++i) {
      const Action& action = s.rows[rank][i];
      if (!HasMicrobatch(action.kind)) continue;
      const size_t pair =
          static_cast<size_t>(s.StageOf(rank, action.chunk)) * s.microbatches + action.microbatch;
      int& at = positions.at_[static_cast<int>(action.kind)][pair];
      if (at >= 0) return ErrorAt(s, rank, i, absl::StrCat("it stands at action ", at, " already"));
      at = i;
    }
  }
  return positions;
}

absl::Status CheckCompute(const Schedule& s, const Positions& positions) {
  for (int stage = 0; stage < s.stages(); ++stage) {
    for (int m = 0; m < s.microbatches; ++m) {
      if (absl::Status status = CheckPair(s, positions, stage, m); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckReductions(const Schedule& s) {
  for (int rank = 0; rank < s.ranks; ++rank) {
    std::vector<int> reduced(s.chunks, -1);
    for (int i = 0; i < RowEnd(s, rank); ++i) {
      const Action& action = s.rows[rank][i];
      int& at = reduced[action.chunk];
      const bool backward = IsCompute(action.kind) && action.kind != ActionKind::kForward;
      if (at >= 0 && backward) {
        return ErrorAt(s, rank, i, absl::StrCat("the chunk's gradients were reduced at action ", at));
      }
      if (action.kind != ActionKind::kReduceGrads) continue;
      if (at >= 0) return ErrorAt(s, rank, i, absl::StrCat("it stands at action ", at, " already"));
      at = i;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNoCommunication(const Schedule& s) {
  for (int rank = 0; rank < s.ranks; ++rank) {
    for (int i = 0; i < RowEnd(s, rank); ++i) {
      if (IsCommunication(s.rows[rank][i].kind)) {
        return ErrorAt(s, rank, i, "a schedule of compute holds no sends or receives; lowering adds them");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace orthant
