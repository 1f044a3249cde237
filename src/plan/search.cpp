#include "orthant/plan/search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "orthant/mesh/divisors.h"

namespace orthant {
namespace {

constexpr int64_t kMostMicroBatch = 512;
constexpr int64_t kMostPipeline = 512;
constexpr size_t kCandidates = 4096;  // kept while all are tried
constexpr double kAsMuch = 1e6;       // bytes a rank and step within which layouts send as much

// What is kept of a candidate while all are tried.
struct Candidate {
  double seconds = 0, network = 0, bytes = 0;
  PlannedLayout layout;
};

std::vector<std::string> FamiliesOf(const Machine& machine, const PlannedLayout& l) {
  std::vector<std::string> names = {absl::StrCat("ZeRO ", l.zero, ", recompute ", ToString(l.recompute))};
  if (l.tensor > 1) names.push_back(absl::StrCat("tensor ", l.tensor));
  names.push_back(absl::StrCat("pipeline ", l.pipeline));
  if (l.sequence > 1) names.push_back(absl::StrCat("sequence ", l.sequence));
  if (l.offload != Offload::kNone) names.push_back(absl::StrCat("offload of ", ToString(l.offload)));
  if (l.schedule == PlanSchedule::kGpipe) names.push_back("schedule gpipe");
  if (l.zero > 0 && l.shard_ranks > 0) names.push_back("shards within a node");
  // The strategies that the rules speak of.
  if (l.sequence > 1 || l.offload != Offload::kNone) return names;
  const bool t = l.tensor > 1, p = l.pipeline > 1;
  if (!t && !p) names.push_back(l.zero == 0 ? "data alone" : "ZeRO alone");
  if (!t && p) names.push_back("pipeline without tensor");
  if (t && !p) names.push_back("tensor without pipeline");
  if (t && p) names.push_back("pipeline and tensor");
  if (t && l.tensor > machine.node_ranks) names.push_back("tensor beyond the node");
  return names;
}

class Searcher {
 public:
  explicit Searcher(const SearchRequest& request) : r_(request), capacity_(request.Capacity()) {}

  SearchResult Run() {
    const auto start = std::chrono::steady_clock::now();
    const PlanModel& m = r_.workload.model;
    for (const int64_t t : Divisors(m.heads)) {
      if (r_.ranks % t != 0 || r_.fixed.tensor.value_or(t) != t) continue;
      for (const int64_t s : Divisors(m.heads / t)) {
        if (s > 1 && !r_.machine.software().ulysses) break;
        if (r_.fixed.sequence.value_or(s) != s) continue;
        if (r_.ranks / t % s == 0 && m.context % s == 0) TryDegrees(t, s);
      }
    }
    for (auto& [seconds, point] : front_) result_.front.push_back(point);
    for (auto& [name, family] : families_) result_.families.push_back(family);
    std::sort(best_.begin(), best_.end(), Quicker);
    ChooseAmongEquals();
    for (const Candidate& one : best_) result_.best.push_back(*Predict(r_.machine, r_.workload, one.layout));
    if (result_.layouts > 0) result_.smallest = *Predict(r_.machine, r_.workload, smallest_);
    result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return std::move(result_);
  }

 private:
  // Of layouts that take as long (GPipe and 1F1B do) the smaller, then the plainer one.
  static bool Quicker(const Candidate& a, const Candidate& b) {
    const auto key = [](const Candidate& c) {
      return std::tuple(c.seconds, c.bytes, c.layout.zero, c.layout.schedule == PlanSchedule::kGpipe);
    };
    return key(a) < key(b);
  }

  void ChooseAmongEquals() {
    if (best_.empty()) return;
    const double limit = best_.front().seconds * (1 + kSameTime);
    auto choice = best_.begin();
    const auto key = [](const Candidate& c) {
      return std::tuple(c.layout.offload, std::round(c.network / kAsMuch));
    };
    for (auto one = best_.begin(); one != best_.end() && one->seconds <= limit; ++one)
      if (key(*one) < key(*choice)) choice = one;
    std::rotate(best_.begin(), choice, choice + 1);
    best_.resize(std::min(best_.size(), static_cast<size_t>(r_.keep)));
  }

  void TryDegrees(int64_t t, int64_t s) {
    const Software& software = r_.machine.software();
    for (const int64_t p : Divisors(r_.ranks / (t * s))) {
      if (p > std::min(r_.workload.model.layers, kMostPipeline)) break;
      const int64_t d = r_.ranks / (t * s * p);
      if (r_.workload.global_batch % d != 0) continue;
      // Here already, since a search for the nearest legal ranks tries many.
      if (r_.fixed.data.value_or(d) != d || r_.fixed.pipeline.value_or(p) != p) continue;
      if (p > 1 && software.schedules.empty()) continue;
      for (int64_t chunks = 1; chunks <= (p > 1 ? software.most_chunks : 1); ++chunks) {
        layers_ = StageLayers(r_.workload.model, software, p * chunks);
        if (layers_.empty()) continue;
        TryMicroBatches({.data = d, .tensor = t, .pipeline = p, .sequence = s, .chunks = chunks});
      }
    }
  }

  void TryMicroBatches(PlannedLayout l) {
    const Software& software = r_.machine.software();
    for (const int64_t micro : Divisors(r_.workload.global_batch / l.data)) {
      if (micro > kMostMicroBatch && !r_.fixed.micro_batch) break;
      l.micro_batch = micro;
      // Interleaving runs its microbatches in groups of the pipeline's degree (arXiv 2104.04473,
      // section 2.2).
      if (l.chunks > 1 && r_.workload.Microbatches(l) % l.pipeline != 0) continue;
      for (const bool sharded : {false, true}) {
        if (sharded && (l.tensor == 1 || !software.tensor_sequence ||
                        r_.workload.model.context / l.sequence % l.tensor != 0)) {
          continue;
        }
        l.tensor_sequence = sharded;
        for (const Recompute recompute : r_.recompute) {
          l.recompute = recompute;
          block_ = CostOfBlock(r_.machine, r_.workload, l);
          TrySchedules(l);
        }
      }
    }
  }

  void TrySchedules(PlannedLayout l) {
    if (l.pipeline == 1) return TryZero(l);
    if (l.chunks > 1) {
      l.schedule = PlanSchedule::kInterleaved;
      return TryZero(l);
    }
    for (const PlanSchedule schedule : {PlanSchedule::kGpipe, PlanSchedule::kOneFOneB}) {
      const std::vector<std::string>& known = r_.machine.software().schedules;
      if (std::find(known.begin(), known.end(), ToString(schedule)) == known.end()) continue;
      l.schedule = schedule;
      TryZero(l);
    }
  }

  void TryZero(PlannedLayout l) {
    const Software& software = r_.machine.software();
    const int64_t replicas = l.replicas();
    for (int64_t zero = 0; zero <= 3; ++zero) {
      if (zero >= 2 && l.pipeline > 1 && !software.zero_with_pipeline) break;
      l.zero = zero;
      l.shard_ranks = 0;
      TryOffload(l);
      const int64_t fixed = r_.fixed.shard_ranks.value_or(0);
      const int64_t near = fixed > 0 ? fixed : r_.machine.node_ranks / l.tensor;
      if (zero > 0 && (fixed > 0 || (near > 1 && near < replicas)) && replicas % near == 0) {
        l.shard_ranks = near;
        TryOffload(l);
      }
    }
  }

  void TryOffload(PlannedLayout l) {
    // ZeRO alone saves nothing where there is one replica.
    if (l.zero == 0 || l.replicas() > 1 || r_.fixed.zero == l.zero) Try(l);
    if (l.zero == 0 || !r_.machine.software().offload || r_.machine.host_bandwidth == 0) return;
    l.offload = Offload::kOptimizer;
    Try(l);
    if (l.zero < 3) return;
    l.offload = Offload::kAll;
    Try(l);
  }

  void Try(const PlannedLayout& l) {
    if (!r_.fixed.Allow(l)) return;
    const StepPrediction step = PredictStep(r_.machine, r_.workload, l, block_, layers_);
    const double seconds = step.step;
    double bytes = 0;
    for (const StageMemory& stage : MemoryOfStages(r_.machine, r_.workload, l, block_.activations, layers_))
      bytes = std::max(bytes, stage.total());
    const bool fits = r_.machine.memory_bytes == 0 || bytes <= capacity_;
    ++result_.layouts;
    if (fits) ++result_.fitting;
    if (least_ == 0 || bytes < least_) {
      least_ = bytes;
      smallest_ = l;
    }
    AddToFront(l, seconds, bytes, fits);
    for (const std::string& name : FamiliesOf(r_.machine, l)) Note(name, l, seconds, bytes, fits);
    if (!fits) return;
    best_.push_back({seconds, step.sent.network, bytes, l});
    std::push_heap(best_.begin(), best_.end(), Quicker);
    if (best_.size() <= kCandidates) return;
    std::pop_heap(best_.begin(), best_.end(), Quicker);  // the slowest
    best_.pop_back();
  }

  // Keeps front_ ascending in seconds and descending in bytes.
  void AddToFront(const PlannedLayout& l, double seconds, double bytes, bool fits) {
    auto after = front_.upper_bound(seconds);
    if (after != front_.begin() && std::prev(after)->second.bytes <= bytes) return;
    if (after != front_.begin() && std::prev(after)->first == seconds) --after;
    while (after != front_.end() && after->second.bytes >= bytes) after = front_.erase(after);
    front_.emplace(seconds, TradeOffPoint{seconds, bytes, fits, l});
  }

  void Note(const std::string& name, const PlannedLayout& l, double seconds, double bytes, bool fits) {
    Family& family = families_[name];
    if (family.layouts++ == 0) {
      family.name = name;
      if (name == absl::StrCat("tensor ", l.tensor) && TensorGroup(r_.machine, l).crosses())
        family.trait = "crosses the node";
    }
    if (family.least_bytes == 0 || bytes < family.least_bytes) {
      family.least_bytes = bytes;
      family.smallest = l;
    }
    if (fits && (family.quickest == 0 || seconds < family.quickest)) {
      family.quickest = seconds;
      family.best = l;
    }
  }

  const SearchRequest& r_;
  const double capacity_;
  BlockCost block_;
  std::vector<int64_t> layers_;
  std::map<std::string, Family> families_;
  std::vector<Candidate> best_;            // a heap, the slowest on top
  std::map<double, TradeOffPoint> front_;  // by seconds
  double least_ = 0;
  PlannedLayout smallest_;
  SearchResult result_;
};

}  // namespace

bool FixedChoices::Allow(const PlannedLayout& l) const {
  const auto allows = [](const auto& fixed, const auto& value) { return !fixed || *fixed == value; };
  return allows(data, l.data) && allows(tensor, l.tensor) && allows(pipeline, l.pipeline) &&
         allows(sequence, l.sequence) && allows(zero, l.zero) && allows(micro_batch, l.micro_batch) &&
         (l.zero == 0 || allows(shard_ranks, l.shard_ranks)) &&
         (l.pipeline == 1 || allows(schedule, l.schedule)) && allows(recompute, l.recompute) &&
         (l.tensor == 1 || allows(tensor_sequence, l.tensor_sequence)) &&
         allows(offload_optimizer, l.offload != Offload::kNone) &&
         allows(offload_parameters, l.offload == Offload::kAll);
}

const Family* SearchResult::Find(const std::string& name) const {
  for (const Family& family : families)
    if (family.name == name) return &family;
  return nullptr;
}

SearchResult Search(const SearchRequest& request) {
  return Searcher(request).Run();
}

}  // namespace orthant
