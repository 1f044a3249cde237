#include "orthant/plan/rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

// Links between nodes at or above a tenth of those inside are called fast: a node's tensor traffic, not a
// stage's or a shard's, is then what they cannot carry.
constexpr double kFastShare = 0.1;
constexpr double kComparable = 1.15;

// The quickest of a strategy, or what stands against it.
std::string Figure(const SearchResult& result, const std::string& family) {
  const Family* f = result.Find(family);
  if (f == nullptr) return absl::StrCat(family, " is not legal here");
  if (f->quickest == 0)
    return absl::StrCat(family, " does not fit (", FormatBytes(f->least_bytes), " at least)");
  return absl::StrCat(family, " ", FormatDuration(f->quickest));
}

double Quickest(const SearchResult& result, const std::string& family) {
  const Family* f = result.Find(family);
  return f == nullptr || f->quickest == 0 ? 1e300 : f->quickest;
}

std::string Figures(const SearchResult& result, const std::vector<std::string>& families) {
  std::string text;
  for (const std::string& family : families)
    absl::StrAppend(&text, text.empty() ? "" : ", ", Figure(result, family));
  return text;
}

// States, one microbatch of one sample, everything recomputed, nothing sharded.
bool FitsOneDevice(const SearchRequest& request) {
  Workload one = request.workload;
  one.global_batch = 1;
  const absl::StatusOr<LayoutPrediction> p =
      Predict(request.machine, one, {.recompute = Recompute::kFull, .micro_batch = 1});
  return p.ok() && p->fits;
}

// Whether a block's values and gradients fit whole.
bool LargestLayerFits(const SearchRequest& r) {
  const PlanModel& m = r.workload.model;
  const double elements = static_cast<double>(std::max(m.BlockParameters(), m.vocab * m.hidden));
  const double bytes = elements * (r.workload.precision.value + r.workload.precision.gradient);
  return r.machine.memory_bytes == 0 || bytes < r.machine.Capacity();
}

RuleVerdict OneDevice(const SearchRequest& r, const SearchResult& result) {
  const bool fits = FitsOneDevice(r);
  const bool found = !result.best.empty();
  if (fits) {
    const bool plain = found && result.best.front().layout.offload == Offload::kNone;
    return {"one device, and the model fits it: normal use", plain,
            found ? absl::StrCat("the quickest is ", result.best.front().layout.ToString()) : "nothing fits"};
  }
  if (!LargestLayerFits(r)) {
    return {"one device, and its largest layer does not fit: ZeRO with memory-centric tiling", true,
            "set zero.tile_bytes and parallel.zero=3; the search does not try tiles"};
  }
  return {"one device, and the model does not fit it: ZeRO with offload to host memory (or files)",
          found && result.best.front().layout.offload != Offload::kNone,
          found ? absl::StrCat("the quickest that fits is ", result.best.front().layout.ToString())
                : "even with offload nothing fits; zero.offload to files is not part of the search"};
}

std::vector<RuleVerdict> OneNode(const SearchRequest& r, const SearchResult& result) {
  const double data = std::min(Quickest(result, "data alone"), Quickest(result, "ZeRO alone"));
  const double best = result.best.empty() ? 0 : result.best.front().time.step;
  if (FitsOneDevice(r)) {
    return {{"one node, and the model fits a device: data parallel, or ZeRO", data <= best * kComparable,
             Figures(result,
                     {"data alone", "ZeRO alone", "pipeline without tensor", "tensor without pipeline"})}};
  }
  const double pipeline = Quickest(result, "pipeline without tensor"), zero = Quickest(result, "ZeRO alone");
  const double tensor = Quickest(result, "tensor without pipeline");
  const std::vector<std::string> three = {"pipeline without tensor", "ZeRO alone", "tensor without pipeline"};
  const double most = std::max({pipeline, zero, tensor}), least = std::min({pipeline, zero, tensor});
  return {
      {"one node, and the model does not fit a device: pipeline, ZeRO and tensor are comparable over fast "
       "links",
       most <= least * kComparable, Figures(result, three)},
      {"otherwise pipeline > ZeRO ~ tensor", pipeline <= zero && pipeline <= tensor, Figures(result, three)}};
}

std::vector<RuleVerdict> ManyNodes(const SearchRequest& r, const SearchResult& result) {
  std::vector<RuleVerdict> verdicts;
  const double best = result.best.empty() ? 0 : result.best.front().time.step;
  const double across = r.machine.network_bandwidth / static_cast<double>(r.machine.node_ranks);
  const bool fast = across >= kFastShare * r.machine.node_bandwidth;
  const double zero = Quickest(result, "ZeRO alone"), mixed = Quickest(result, "pipeline and tensor");
  const std::string links =
      absl::StrFormat("%.0f GB/s a device across, %.0f inside", across / 1e9, r.machine.node_bandwidth / 1e9);
  const std::string figures = Figures(
      result, {"ZeRO alone", "pipeline and tensor", "pipeline without tensor", "tensor without pipeline"});
  if (fast) {
    verdicts.push_back(
        {absl::StrCat("many nodes, fast links (", links, "): ZeRO, which changes nothing in the model"),
         zero <= best * kComparable, figures});
    verdicts.push_back(
        {"or pipeline + ZeRO + tensor + data: less communication, major changes elsewhere, none here",
         mixed <= best * kComparable, figures});
  } else {
    verdicts.push_back({absl::StrCat("many nodes, slow links (", links,
                                     "), low on memory: data + pipeline + tensor + ZeRO 1"),
                        mixed <= best * kComparable, figures});
  }
  const Family* beyond = result.Find("tensor beyond the node");
  const bool within = result.best.empty() || result.best.front().layout.tensor <= r.machine.node_ranks;
  verdicts.push_back(
      {absl::StrCat("tensor stays within the node: at most ", r.machine.node_ranks), within,
       beyond == nullptr ? "no larger degree is legal here"
                         : Figures(result, {"tensor beyond the node"}) +
                               (result.best.empty() ? "" : ", the quickest of all " + FormatDuration(best))});
  return verdicts;
}

}  // namespace

std::vector<RuleVerdict> ApplyRules(const SearchRequest& request, const SearchResult& result) {
  if (request.ranks == 1) return {OneDevice(request, result)};
  if (request.ranks <= request.machine.node_ranks) return OneNode(request, result);
  return ManyNodes(request, result);
}

}  // namespace orthant
