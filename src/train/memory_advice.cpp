#include "orthant/train/memory_advice.h"

#include <algorithm>
#include <bit>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/mesh/divisors.h"
#include "orthant/train/parallel_model.h"

namespace orthant {
namespace {

struct Candidate {
  RunConfig config;
  MemoryAdvice advice;
  bool precision = false;  // changes the numbers
};

// Collects the legal ones.
class Candidates {
 public:
  explicit Candidates(const RunConfig& config) : config_(config) {}

  template <typename Change>
  void Add(const Change& change, std::vector<std::pair<std::string, std::string>> settings,
           std::string note = "") {
    Candidate candidate;
    candidate.config = config_;
    change(candidate.config);
    if (!ValidateRun(candidate.config, nullptr).ok()) return;
    candidate.advice.settings = std::move(settings);
    candidate.precision = !note.empty();
    candidate.advice.note = std::move(note);
    all.push_back(std::move(candidate));
  }

  std::vector<Candidate> all;

 private:
  const RunConfig& config_;
};

void AddZero(const RunConfig& c, Candidates& out) {
  const bool sharded = c.parallel.data * c.parallel.sequence > 1;
  for (int zero = c.parallel.zero + 1; sharded && zero <= 3; ++zero) {
    out.Add([&](RunConfig& n) { n.parallel.zero = zero; }, {{"parallel.zero", absl::StrCat(zero)}});
  }
  if (c.parallel.zero == 3 && !c.zero.release_after_forward) {
    out.Add([](RunConfig& n) { n.zero.release_after_forward = true; },
            {{"zero.release_after_forward", "true"}});
  }
  using Settings = std::vector<std::pair<std::string, std::string>>;
  if (c.zero.offload.optimizer == "none") {
    Settings settings = {{"zero.offload.optimizer", "host"}};
    if (c.parallel.zero < 1) settings.insert(settings.begin(), {"parallel.zero", "1"});
    out.Add(
        [](RunConfig& n) {
          n.zero.offload.optimizer = "host";
          n.parallel.zero = std::max(n.parallel.zero, 1);
        },
        settings);
  }
  // Where there are no ranks to shard over, or all is sharded already.
  if (c.zero.offload.parameters == "none" && (!sharded || c.parallel.zero == 3)) {
    Settings settings = {{"zero.offload.parameters", "host"}};
    if (c.parallel.zero < 3) settings.insert(settings.begin(), {"parallel.zero", "3"});
    out.Add(
        [](RunConfig& n) {
          n.zero.offload.parameters = "host";
          n.parallel.zero = 3;
        },
        settings);
  }
}

// Smaller units, tiles and gathers, where units come and go.
void AddSizes(const RunConfig& c, const MemoryEstimate& now, Candidates& out) {
  if (c.parallel.zero == 3 && c.zero.prefetch_bytes > 0) {
    out.Add([](RunConfig& n) { n.zero.prefetch_bytes = 0; }, {{"zero.prefetch_bytes", "0"}});
  }
  int64_t largest = 0;
  for (const StageEstimate& stage : now.stages) {
    for (const UnitEstimate& unit : stage.units) largest = std::max(largest, unit.elements);
  }
  const int64_t bytes = largest * static_cast<int64_t>(c10::elementSize(PrecisionOf(c.train).values));
  const auto quarter =
      static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(std::max<int64_t>(bytes / 4, 1))));
  if (c.parallel.zero >= 2 && quarter >= 1024 && quarter < c.zero.bucket_bytes) {
    out.Add([&](RunConfig& n) { n.zero.bucket_bytes = quarter; },
            {{"zero.bucket_bytes", absl::StrCat(quarter)}});
  }
  if (c.parallel.zero == 3 && quarter >= 1024 && (c.zero.tile_bytes == 0 || quarter < c.zero.tile_bytes)) {
    out.Add([&](RunConfig& n) { n.zero.tile_bytes = quarter; }, {{"zero.tile_bytes", absl::StrCat(quarter)}});
  }
}

void AddActivations(const RunConfig& c, Candidates& out) {
  if (c.memory.recompute == "none") {
    out.Add([](RunConfig& n) { n.memory.recompute = "selective"; }, {{"memory.recompute", "selective"}});
  }
  if (c.memory.recompute != "full") {
    out.Add([](RunConfig& n) { n.memory.recompute = "full"; }, {{"memory.recompute", "full"}});
  } else if (c.memory.recompute_every > 1) {
    out.Add([](RunConfig& n) { n.memory.recompute_every = 1; }, {{"memory.recompute_every", "1"}});
  }
  const std::vector<int64_t> divisors = Divisors(c.train.micro_batch);
  if (divisors.size() > 1) {
    const int64_t smaller = divisors[divisors.size() - 2];  // half, or the largest that divides
    out.Add([&](RunConfig& n) { n.train.micro_batch = smaller; },
            {{"train.micro_batch", absl::StrCat(smaller)}});
  }
  if (c.parallel.tensor > 1 && !c.parallel.tensor_sequence) {
    out.Add([](RunConfig& n) { n.parallel.tensor_sequence = true; }, {{"parallel.tensor_sequence", "true"}});
  }
  if (c.parallel.pipeline > 1 && c.parallel.schedule != "1f1b") {
    out.Add([](RunConfig& n) { n.parallel.schedule = "1f1b"; }, {{"parallel.schedule", "1f1b"}});
  }
}

void AddPrecision(const RunConfig& c, Candidates& out) {
  const bool sixteen = c.train.dtype == "bf16" || c.train.dtype == "fp16";
  if (sixteen && c.train.gradient_dtype != "same") {
    out.Add([](RunConfig& n) { n.train.gradient_dtype = "same"; }, {{"train.gradient_dtype", "same"}},
            "changes numbers: gradients are summed in 16 bits");
  }
  if (!sixteen) {
    out.Add([](RunConfig& n) { n.train.dtype = "bf16"; }, {{"train.dtype", "bf16"}},
            "changes numbers: 16-bit values and activations");
  }
}

// One of each key, the best: all that save something, the largest first, what changes numbers behind the
// others.
std::vector<Candidate> Ranked(const RunConfig& config, int64_t vocab, const MemoryEstimate& now) {
  Candidates candidates(config);
  AddZero(config, candidates);
  AddSizes(config, now, candidates);
  AddActivations(config, candidates);
  AddPrecision(config, candidates);
  std::vector<Candidate> ranked;
  for (Candidate& candidate : candidates.all) {
    candidate.advice.peak = EstimateMemory(candidate.config, vocab).peak_bytes();
    candidate.advice.saves = now.peak_bytes() - candidate.advice.peak;
    if (candidate.advice.saves > 0) ranked.push_back(std::move(candidate));
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const Candidate& a, const Candidate& b) {
    return a.precision != b.precision ? b.precision : a.advice.saves > b.advice.saves;
  });
  std::set<std::string> keys;
  std::erase_if(ranked,
                [&](const Candidate& c) { return !keys.insert(c.advice.settings.back().first).second; });
  return ranked;
}

std::string Bytes(int64_t bytes) {
  return FormatBinaryBytes(static_cast<double>(bytes));
}

// The best change, then the best beside it, and so on until the limit holds; "" when it never does.
std::string Together(const RunConfig& config, int64_t vocab) {
  constexpr int kMostChanges = 5;
  RunConfig changed = config;
  std::vector<std::string> overrides;
  for (int i = 0; i < kMostChanges; ++i) {
    const std::vector<Candidate> ranked = Ranked(changed, vocab, EstimateMemory(changed, vocab));
    if (ranked.empty()) return "";
    overrides.push_back(ranked.front().advice.Overrides());
    changed = ranked.front().config;
    const int64_t peak = ranked.front().advice.peak;
    if (peak <= config.memory.limit) {
      return absl::StrCat("none is enough alone; together these leave ", Bytes(peak), ":\n  ",
                          absl::StrJoin(overrides, " "), "\n");
    }
  }
  return "";
}

}  // namespace

std::string MemoryAdvice::Overrides() const {
  return absl::StrJoin(settings, " ", absl::PairFormatter("="));
}

std::vector<MemoryAdvice> AdviseMemory(const RunConfig& config, int64_t vocab, size_t count) {
  std::vector<MemoryAdvice> advice;
  for (Candidate& candidate : Ranked(config, vocab, EstimateMemory(config, vocab))) {
    if (advice.size() == count) break;
    advice.push_back(std::move(candidate.advice));
  }
  return advice;
}

std::string AdviceText(const RunConfig& config, int64_t vocab) {
  const int64_t limit = config.memory.limit;
  const std::vector<MemoryAdvice> advice = AdviseMemory(config, vocab);
  std::string text = absl::StrCat("The whole step needs ", Bytes(EstimateMemory(config, vocab).peak_bytes()),
                                  " by estimate. ");
  if (advice.empty()) {
    return absl::StrCat(text,
                        "No setting saves more on these ranks: use more ranks, or a larger memory.limit.\n");
  }
  absl::StrAppend(&text, "What would save most, as overrides:\n");
  size_t width = 0;
  bool some = limit == 0;
  for (const MemoryAdvice& a : advice) width = std::max(width, a.Overrides().size());
  for (const MemoryAdvice& a : advice) {
    const bool fits = limit == 0 || a.peak <= limit;
    some = some || fits;
    absl::StrAppendFormat(&text, "  %-*s  saves %s, leaves %s%s%s\n", static_cast<int>(width), a.Overrides(),
                          Bytes(a.saves), Bytes(a.peak),
                          limit == 0 ? ""
                          : fits     ? ": fits"
                                     : ": still above memory.limit",
                          a.note.empty() ? "" : absl::StrCat(" (", a.note, ")"));
  }
  return some ? text : absl::StrCat(text, Together(config, vocab));
}

absl::Status OutOfMemoryStatus(const OutOfMemory& error, const RunConfig& config, int64_t vocab) {
  return EnvironmentError(absl::StrCat(error.what(), "\n", AdviceText(config, vocab)));
}

}  // namespace orthant
