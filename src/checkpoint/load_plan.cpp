#include "checkpoint/load_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checkpoint/manifest_json.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

constexpr int64_t kStretchBytes = int64_t{8} << 20;

std::string Named(const StateTarget& target) {
  return absl::StrCat(target.tensor, " (", ToString(target.kind), ")");
}

absl::StatusOr<const LogicalTensor*> Find(const CheckpointManifest& manifest, const std::string& folder,
                                          const StateTarget& target) {
  const auto found = manifest.tensors.find({target.tensor, target.kind});
  if (found == manifest.tensors.end()) {
    std::set<std::string> names;
    for (const auto& [key, tensor] : manifest.tensors) names.insert(key.first);
    if (names.count(target.tensor) > 0) {
      return DataError(absl::StrCat(folder, ": holds ", target.tensor, ", but not its ",
                                    ToString(target.kind),
                                    "; it was saved with checkpoint.content: parameters, or with another "
                                    "train.dtype: begin a new run from it with init.from"));
    }
    const std::vector<std::string> candidates(names.begin(), names.end());
    const std::optional<std::string> near = ClosestMatch(target.tensor, candidates);
    return DataError(absl::StrCat(folder, ": holds no tensor ", target.tensor,
                                  near.has_value() ? absl::StrCat(" (", *near, " is there)") : "",
                                  "; the model section must be that of the run that saved it"));
  }
  if (found->second.shape != target.shape) {
    return DataError(absl::StrCat(folder, ": ", Named(target), " has the shape [",
                                  absl::StrJoin(found->second.shape, ", "), "], and [",
                                  absl::StrJoin(target.shape, ", "),
                                  "] is wanted; the model section must be that of the run that saved it"));
  }
  return &found->second;
}

int64_t Length(const std::vector<LogicalRun>& runs) {
  int64_t sum = 0;
  for (const LogicalRun& run : runs) sum += run.length;
  return sum;
}

// Slices that follow each other in a file are read together.
void Join(LoadPlan* plan) {
  const std::vector<PlannedSlice>& slices = plan->slices;
  for (size_t i = 0; i < slices.size(); ++i) {
    const Slice& slice = *slices[i].slice;
    if (!plan->stretches.empty()) {
      Stretch& back = plan->stretches.back();
      if (back.file == slice.file && back.offset + back.bytes == slice.offset &&
          back.bytes + slice.bytes <= kStretchBytes) {
        back.bytes += slice.bytes;
        plan->members.back().second = i + 1;
        continue;
      }
    }
    plan->stretches.push_back({slice.file, slice.offset, slice.bytes});
    plan->members.emplace_back(i, i + 1);
  }
}

}  // namespace

std::vector<SharedRun> SharedRuns(const std::vector<LogicalRun>& a, const std::vector<LogicalRun>& b) {
  std::vector<SharedRun> shared;
  if (a.empty() || b.empty()) return shared;
  const auto ends_after = [](int64_t logical, const LogicalRun& run) {
    return logical < run.logical + run.length;
  };
  auto x = std::upper_bound(a.begin(), a.end(), b.front().logical, ends_after);
  if (x == a.end()) return shared;
  auto y = std::upper_bound(b.begin(), b.end(), x->logical, ends_after);
  while (x != a.end() && y != b.end()) {
    const int64_t begin = std::max(x->logical, y->logical);
    const int64_t x_end = x->logical + x->length, y_end = y->logical + y->length;
    const int64_t end = std::min(x_end, y_end);
    if (begin < end) {
      shared.push_back({x->local + begin - x->logical, y->local + begin - y->logical, end - begin});
    }
    if (x_end <= y_end) ++x;
    if (y_end <= x_end) ++y;
  }
  return shared;
}

absl::StatusOr<LoadPlan> PlanLoad(const CheckpointManifest& manifest, const std::string& folder,
                                  const std::vector<StateTarget>& targets) {
  LoadPlan plan;
  std::map<const LogicalTensor*, std::vector<size_t>> wanted;
  for (size_t i = 0; i < targets.size(); ++i) {
    absl::StatusOr<const LogicalTensor*> tensor = Find(manifest, folder, targets[i]);
    if (!tensor.ok()) return tensor.status();
    plan.runs.push_back(RunsOf(targets[i].shape, targets[i].portion));
    wanted[*tensor].push_back(i);
  }
  std::vector<int64_t> found(targets.size(), 0);
  for (const auto& [key, tensor] : manifest.tensors) {
    const auto indices = wanted.find(&tensor);
    if (indices == wanted.end()) continue;
    for (const Slice& slice : tensor.slices) {
      PlannedSlice planned{&key, &tensor, &slice, {}};
      const std::vector<LogicalRun> runs = RunsOf(tensor.shape, slice.portion);
      for (const size_t i : indices->second) {
        int64_t count = 0;
        for (const SharedRun& run : SharedRuns(runs, plan.runs[i])) count += run.length;
        if (count > 0) planned.targets.push_back(i);
        found[i] += count;
      }
      if (!planned.targets.empty()) plan.slices.push_back(std::move(planned));
    }
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    if (found[i] == Length(plan.runs[i])) continue;
    const std::string gap =
        Incomplete(Named(targets[i]), manifest.tensors.at({targets[i].tensor, targets[i].kind}));
    return DataError(absl::StrCat(folder, ": the checkpoint is not whole: ", gap, "; ", VerifyHint(folder)));
  }
  std::sort(plan.slices.begin(), plan.slices.end(), [](const PlannedSlice& a, const PlannedSlice& b) {
    return std::tie(a.slice->file, a.slice->offset) < std::tie(b.slice->file, b.slice->offset);
  });
  Join(&plan);
  return plan;
}

}  // namespace orthant
