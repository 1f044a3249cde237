// Which elements of a logical tensor a portion holds. Pure.
#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

const char* ToString(StateKind kind) {
  constexpr std::array<const char*, kStateKinds> kNames = {"parameter", "master", "first_moment",
                                                           "second_moment"};
  return kNames[static_cast<size_t>(kind)];
}

Portion PortionOf(const ParameterSpec& spec, int64_t begin, int64_t end) {
  Portion portion;
  portion.shard_dim = spec.shard_dim;
  portion.shard_begin = spec.shard_begin;
  portion.shard_length = spec.shard_length;
  portion.local_length = spec.local_length;
  portion.row_begin = spec.row_begin;
  portion.rows = spec.rows;
  portion.begin = begin;
  portion.end = end;
  return portion;
}

Portion WholeOf(const std::vector<int64_t>& shape) {
  Portion portion;
  portion.end = 1;
  for (const int64_t d : shape) portion.end *= d;
  return portion;
}

// As LogicalRuns of a spec (nn/parameter.h), cut to [begin, end): only the rows that the portion touches are
// visited.
std::vector<LogicalRun> RunsOf(const std::vector<int64_t>& shape, const Portion& portion) {
  if (portion.begin >= portion.end) return {};
  if (shape.empty()) return {{0, 0, 1}};
  const size_t split = static_cast<size_t>(std::max(portion.shard_dim, 0));
  const bool whole = portion.shard_dim < 0;
  int64_t inner = 1;
  for (size_t d = split + 1; d < shape.size(); ++d) inner *= shape[d];
  int64_t outer = 1;
  for (size_t d = 0; d < split; ++d) outer *= shape[d];
  const int64_t logical = shape[split], first = whole ? 0 : portion.shard_begin;
  const int64_t held = whole ? logical : portion.shard_length;
  const int64_t local = whole ? logical : portion.local_length;
  const int64_t stride = local * inner;  // local elements of one outer index
  if (stride == 0 || held == 0) return {};
  const int64_t width = split + 1 == shape.size() ? local : shape.back();
  const int64_t shift = portion.rows < 0 ? 0 : portion.row_begin * width;
  const int64_t limit = portion.rows < 0 ? outer * stride : shift + portion.rows * width;
  const int64_t low = shift + portion.begin, high = std::min({shift + portion.end, limit, outer * stride});
  std::vector<LogicalRun> runs;
  for (int64_t o = low / stride; o * stride < high; ++o) {
    const int64_t from = std::max(o * stride, low), to = std::min(o * stride + held * inner, high);
    if (from >= to) continue;
    const LogicalRun run{from - low, (o * logical + first) * inner + from - o * stride, to - from};
    LogicalRun* back = runs.empty() ? nullptr : &runs.back();
    if (back != nullptr && back->local + back->length == run.local &&
        back->logical + back->length == run.logical) {
      back->length += run.length;
    } else {
      runs.push_back(run);
    }
  }
  return runs;
}

std::string Incomplete(const std::string& name, const LogicalTensor& tensor) {
  std::vector<LogicalRun> all;
  for (const Slice& slice : tensor.slices) {
    const std::vector<LogicalRun> runs = RunsOf(tensor.shape, slice.portion);
    all.insert(all.end(), runs.begin(), runs.end());
  }
  std::sort(all.begin(), all.end(),
            [](const LogicalRun& a, const LogicalRun& b) { return a.logical < b.logical; });
  all.push_back({0, WholeOf(tensor.shape).end, 0});
  int64_t next = 0;
  for (const LogicalRun& run : all) {
    const auto tell = [&](int64_t from, int64_t to, const char* what) {
      return absl::StrCat(name, " [", absl::StrJoin(tensor.shape, ", "), "]: elements ", from, " to ", to - 1,
                          " are in ", what);
    };
    if (run.logical > next) return tell(next, run.logical, "no slice");
    if (run.logical < next) return tell(run.logical, std::min(next, run.logical + run.length), "two slices");
    next = run.logical + run.length;
  }
  return "";
}

}  // namespace orthant
