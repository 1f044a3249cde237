#include "orthant/bench/step_report.h"

#include <algorithm>
#include <functional>

#include "orthant/core/median.h"

namespace orthant {
namespace {

OverRanks Over(const std::vector<std::vector<StepSample>>& samples,
               const std::function<double(const StepSample&)>& figure) {
  std::vector<double> ranks;
  for (const std::vector<StepSample>& steps : samples) {
    std::vector<double> values;
    for (const StepSample& sample : steps) values.push_back(figure(sample));
    ranks.push_back(MedianOf(std::move(values)));
  }
  OverRanks over;
  const auto slowest = std::max_element(ranks.begin(), ranks.end());
  over.slowest = *slowest;
  over.slowest_rank = slowest - ranks.begin();
  over.median = MedianOf(std::move(ranks));
  return over;
}

double Sum(const auto& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

}  // namespace

std::string_view StepPartName(StepPart part) {
  constexpr std::array<std::string_view, kStepParts> kNames = {"data",     "forward",   "backward",
                                                               "pipeline", "reduction", "optimizer"};
  return kNames[static_cast<size_t>(part)];
}

StepReport Summarize(const std::vector<std::vector<StepSample>>& samples) {
  StepReport report;
  report.steps = static_cast<int64_t>(samples[0].size());
  std::vector<double> slowest(samples[0].size(), 0.0);
  for (const std::vector<StepSample>& steps : samples) {
    for (size_t s = 0; s < steps.size(); ++s) slowest[s] = std::max(slowest[s], steps[s].seconds);
  }
  report.median = MedianOf(slowest);
  report.min = Quantile(slowest, 0.0);
  report.max = Quantile(slowest, 1.0);
  report.lower_quartile = Quantile(slowest, 0.25);
  report.upper_quartile = Quantile(slowest, 0.75);
  report.step = Over(samples, [](const StepSample& s) { return s.seconds; });
  for (size_t p = 0; p < kStepParts; ++p) {
    report.parts[p] = Over(samples, [p](const StepSample& s) { return s.parts[p]; });
  }
  report.other = Over(samples, [](const StepSample& s) { return s.seconds - Sum(s.parts); });
  report.computing = Over(samples, [](const StepSample& s) { return s.seconds - Sum(s.exposed); });
  for (size_t a = 0; a < kAxisCount; ++a) {
    report.exposed[a] = Over(samples, [a](const StepSample& s) { return s.exposed[a]; });
    report.hidden[a] = Over(samples, [a](const StepSample& s) { return s.hidden[a]; });
    report.sent_bytes[a] =
        static_cast<int64_t>(Over(samples, [a](const StepSample& s) { return s.sent_bytes[a]; }).slowest);
  }
  return report;
}

double StepBenchResult::FlopsPerRank() const {
  return facts.flops_per_token * TokensPerSecond() / static_cast<double>(facts.mesh.world());
}

}  // namespace orthant
