// Why a family of layouts is not chosen, and why there may be no plan at all.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/mesh/divisors.h"
#include "orthant/plan/search.h"

namespace orthant {
namespace {

constexpr double kSlower = 1.02;  // families within this of the best are not spoken of

std::string Bytes(double bytes) {
  return bytes >= 1e8 ? absl::StrFormat("%.1f GB", bytes / 1e9) : FormatBytes(bytes);
}

std::string Memory(const SearchRequest& request, const PlannedLayout& layout) {
  const absl::StatusOr<LayoutPrediction> p = Predict(request.machine, request.workload, layout);
  const StageMemory& stage = p->WorstStage();
  return absl::StrCat(Bytes(stage.total()), " of ", Bytes(request.Capacity()), ", ", stage.Largest());
}

// The part of the step that grew most.
std::string Grown(const StepParts& best, const StepParts& other) {
  const std::array<std::pair<const char*, double>, 8> parts = {
      {{"compute", other.compute - best.compute},
       {"tensor communication", other.tensor - best.tensor},
       {"sequence communication", other.sequence - best.sequence},
       {"pipeline communication", other.pipeline - best.pipeline},
       {"data communication", other.data - best.data},
       {"bubble", other.bubble - best.bubble},
       {"update", other.optimizer - best.optimizer},
       {"overhead", other.overhead - best.overhead}}};
  const auto most = std::max_element(parts.begin(), parts.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return absl::StrCat(most->first, " +", FormatDuration(most->second));
}

bool HasLayout(SearchRequest request, int64_t ranks, int64_t batch) {
  if (!request.machine.HasNodesFor(ranks)) return false;
  request.ranks = ranks;
  request.workload.global_batch = batch;
  request.keep = 1;
  if (!request.fixed.recompute) request.recompute = {Recompute::kFull};
  return Search(request).layouts > 0;
}

// Nearest values on each side of `value` for which `legal` holds, within a factor of two.
template <typename Legal>
std::vector<int64_t> Nearest(int64_t value, const Legal& legal) {
  std::vector<int64_t> found;
  for (int64_t down = value - 1; down >= std::max<int64_t>(1, value / 2); --down) {
    if (!legal(down)) continue;
    found.push_back(down);
    break;
  }
  for (int64_t up = value + 1; up <= 2 * value; ++up) {
    if (!legal(up)) continue;
    found.push_back(up);
    break;
  }
  return found;
}

// The memory with which `layout` would fit, rounded up: of the run's limit where that is the bound.
std::string Wanted(const SearchRequest& request, const LayoutPrediction& layout) {
  const double tensors = layout.WorstStage().total() / (1 - kMemoryMargin);
  constexpr double kMebi = 1 << 20;
  if (request.limit > 0) return absl::StrCat("memory.limit = ", std::ceil(tensors / kMebi), " MiB");
  return absl::StrCat("devices of ", std::ceil((tensors + request.machine.software().reserve) / 1e9), " GB");
}

absl::Status NothingLegal(const SearchRequest& r) {
  const int64_t batch = r.workload.global_batch;
  const std::vector<int64_t> ranks = Nearest(r.ranks, [&](int64_t n) { return HasLayout(r, n, batch); });
  const std::vector<int64_t> batches = Nearest(batch, [&](int64_t n) { return HasLayout(r, r.ranks, n); });
  std::string text = absl::StrCat(
      r.ranks_word, r.ranks,
      ": no layout is legal: tensor x sequence must divide model.heads = ", r.workload.model.heads,
      ", pipeline is at most model.layers = ", r.workload.model.layers,
      ", and data divides train.global_batch = ", batch);
  if (!ranks.empty()) absl::StrAppend(&text, "; nearest legal: ", r.ranks_word, AnyOf(ranks));
  if (!batches.empty()) absl::StrAppend(&text, "; or train.global_batch = ", AnyOf(batches));
  return ConfigurationError(text);
}

}  // namespace

std::vector<std::string> Rejections(const SearchRequest& request, const SearchResult& result) {
  std::vector<std::string> lines;
  if (result.best.empty()) return lines;
  const LayoutPrediction& best = result.best.front();
  std::vector<const Family*> families;
  for (const Family& family : result.families) families.push_back(&family);
  std::stable_sort(families.begin(), families.end(), [](const Family* a, const Family* b) {
    return (a->quickest == 0 ? 1e300 : a->quickest) < (b->quickest == 0 ? 1e300 : b->quickest);
  });
  for (const Family* family : families) {
    const std::string name =
        family->trait.empty() ? family->name : absl::StrCat(family->name, " ", family->trait);
    if (family->quickest == 0) {
      lines.push_back(absl::StrCat(name, ": does not fit, at best ", Memory(request, family->smallest)));
    } else if (family->quickest > best.time.step * kSlower) {
      const StepParts parts = Predict(request.machine, request.workload, family->best)->time.parts;
      lines.push_back(absl::StrFormat("%s: %.2fx slower, %s", name, family->quickest / best.time.step,
                                      Grown(best.time.parts, parts)));
    }
  }
  return lines;
}

absl::Status WhyNothing(const SearchRequest& request, const SearchResult& result) {
  if (!result.best.empty()) return absl::OkStatus();
  if (result.layouts == 0) return NothingLegal(request);
  const LayoutPrediction& near = *result.smallest;
  std::string text = absl::StrCat("nothing fits: of ", FormatCount(result.layouts), " layouts on ",
                                  FormatCount(request.ranks), request.ranks == 1 ? " rank, " : " ranks, ",
                                  "none stays below the ", Bytes(request.Capacity()),
                                  " that a device has for tensors\n  nearest: ", near.layout.ToString(), ": ",
                                  Memory(request, near.layout), "\n  it would take: ", Wanted(request, near));
  for (int64_t times = 2; times <= 64 && request.machine.HasNodesFor(request.ranks * times); times *= 2) {
    SearchRequest more = request;
    more.ranks = request.ranks * times;
    more.keep = 1;
    if (!more.fixed.recompute) more.recompute = {Recompute::kFull};
    const SearchResult found = Search(more);
    if (found.best.empty()) continue;
    absl::StrAppend(&text, ", or ", request.ranks_word, more.ranks, ": ",
                    found.best.front().layout.ToString());
    break;
  }
  return ConfigurationError(text);
}

}  // namespace orthant
