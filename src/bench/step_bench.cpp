#include "orthant/bench/step_bench.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"
#include "orthant/train/engine.h"
#include "orthant/train/memory_advice.h"
#include "orthant/train/metrics.h"
#include "orthant/train/peak.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A sample as it travels: seconds, parts, exposed, hidden, bytes.
constexpr int64_t kNumbers = 1 + kStepParts + 3 * kAxisCount;

void Pack(const StepSample& sample, double* to) {
  *to++ = sample.seconds;
  to = std::copy(sample.parts.begin(), sample.parts.end(), to);
  to = std::copy(sample.exposed.begin(), sample.exposed.end(), to);
  to = std::copy(sample.hidden.begin(), sample.hidden.end(), to);
  std::copy(sample.sent_bytes.begin(), sample.sent_bytes.end(), to);
}

StepSample Unpack(const double* from) {
  StepSample sample;
  sample.seconds = *from++;
  for (double& part : sample.parts) part = *from++;
  for (auto* axes : {&sample.exposed, &sample.hidden, &sample.sent_bytes}) {
    for (double& axis : *axes) axis = *from++;
  }
  return sample;
}

// samples[rank][step] on rank 0, empty elsewhere.
std::vector<std::vector<StepSample>> GatherSamples(const std::vector<StepSample>& mine, Communicator& world) {
  const auto steps = static_cast<int64_t>(mine.size());
  const at::Tensor packed = at::empty({steps * kNumbers}, at::kDouble);
  for (int64_t s = 0; s < steps; ++s)
    Pack(mine[static_cast<size_t>(s)], packed.data_ptr<double>() + s * kNumbers);
  const bool root = world.rank() == 0;
  const at::Tensor all = root ? at::empty({world.size() * steps * kNumbers}, at::kDouble) : at::Tensor();
  world.Gather(all, packed, 0, "bench.samples");
  std::vector<std::vector<StepSample>> samples;
  if (!root) return samples;
  const double* from = all.data_ptr<double>();
  for (int rank = 0; rank < world.size(); ++rank) {
    std::vector<StepSample>& steps_of_rank = samples.emplace_back();
    for (int64_t s = 0; s < steps; ++s, from += kNumbers) steps_of_rank.push_back(Unpack(from));
  }
  return samples;
}

// The engine and what its groups had counted before the step in hand.
class TimedEngine {
 public:
  TimedEngine(const PreparedRun& run, Communicator& world, c10::Device device)
      : engine_(run.config, run.mesh, run.vocab, run.dataset, world, device) {}

  StepResult Step(const StepVotes& votes, StepSample* sample) {
    const Groups& groups = engine_.model().groups();
    const auto times = groups.Times();
    const auto bytes = groups.BytesSent();
    const StepResult result = engine_.Step(votes);
    const auto times_after = groups.Times();
    const auto bytes_after = groups.BytesSent();
    sample->seconds = result.seconds;
    sample->parts = {result.data_seconds,     result.forward_seconds, result.backward_seconds,
                     result.pipeline_seconds, result.reduce_seconds,  result.optimizer_seconds};
    for (size_t a = 0; a < kAxisCount; ++a) {
      sample->exposed[a] = times_after[a].exposed - times[a].exposed;
      sample->hidden[a] = times_after[a].hidden - times[a].hidden;
      sample->sent_bytes[a] = static_cast<double>(bytes_after[a] - bytes[a]);
    }
    return result;
  }

 private:
  Engine engine_;
};

absl::Status CheckStep(const StepResult& result) {
  if (result.action == AnomalyAction::kNone) return absl::OkStatus();
  return NumericalError(absl::StrCat("step ", result.step, ": ",
                                     DescribeAnomaly(result.anomaly, result.loss, result.usual_loss),
                                     "; a step that updates nothing is not timed"));
}

StepBenchFacts FactsOf(const PreparedRun& run, const StepBenchOptions& options,
                       const RankEnvironment& environment, const PeakRate& peak) {
  const RunConfig& c = run.config;
  StepBenchFacts facts;
  facts.run = c.run.name;
  facts.backend = environment.backend;
  facts.dtype = c.train.dtype;
  facts.schedule = c.parallel.schedule;
  facts.mesh = run.mesh.degrees();
  facts.zero = c.parallel.zero;
  facts.threads = environment.threads;
  facts.warmup = options.warmup;
  facts.microbatches = c.Microbatches();
  facts.global_batch = c.train.global_batch;
  facts.tokens = c.train.global_batch * c.model.context;
  facts.flops_per_token = FlopsPerToken(c.model, run.vocab);
  facts.peak_flops = peak.flops;
  facts.peak_source = peak.source;
  return facts;
}

absl::StatusOr<StepBenchResult> Timed(const PreparedRun& run, const StepBenchOptions& options,
                                      Communicator& world, c10::Device device, StepBenchFacts facts,
                                      const std::function<void(int64_t done, int64_t total)>& progress) {
  TimedEngine engine(run, world, device);
  std::vector<StepSample> samples;
  StepResult last;
  Clock::time_point began = Clock::now();
  for (int64_t step = 1; step <= options.warmup + options.steps; ++step) {
    // Ranks stop together: what one wants travels with the step's own exchange.
    StepVotes votes;
    const bool timed = step > options.warmup;
    if (timed && options.seconds > 0 && SecondsSince(began) > options.seconds) votes.stop = 1;
    StepSample sample;
    last = engine.Step(votes, &sample);
    if (absl::Status good = CheckStep(last); !good.ok()) return good;
    if (step == 1) {
      facts.first_step_seconds = SecondsSince(options.started);
      facts.first_loss = last.loss;
    }
    if (timed) {
      samples.push_back(sample);
    } else {
      began = Clock::now();
    }
    if (world.rank() == 0 && progress) progress(step, options.warmup + options.steps);
    if (last.votes.stop > 0) break;
  }
  facts.last_loss = last.loss;
  const at::Tensor peak = at::full({1}, last.memory_peak.device_bytes, at::kLong);
  world.AllReduce(peak, ReduceOp::kMax, "bench.memory");
  facts.memory_peak_bytes = peak.item<int64_t>();
  facts.resident_bytes = PeakResidentBytes();
  StepBenchResult result;
  result.facts = std::move(facts);
  const std::vector<std::vector<StepSample>> all = GatherSamples(samples, world);
  if (world.rank() == 0) result.report = Summarize(all);
  return result;
}

}  // namespace

absl::StatusOr<StepBenchResult> BenchStep(const PreparedRun& run, const StepBenchOptions& options,
                                          Communicator& world, const RankEnvironment& environment,
                                          const std::function<void(int64_t done, int64_t total)>& progress) {
  const RunConfig& config = run.config;
  world.flight_recorder()->set_timeout(std::max(config.comm.timeout, config.comm.start_timeout));
  const PeakRate peak = PeakOfRank(config.log.peak_tflops, environment, world,
                                   PrecisionOf(config.train).values);  // no part of the account
  const BindMemory memory(MemoryAccount::Create(config.memory.limit));
  try {
    return Timed(run, options, world, environment.device, FactsOf(run, options, environment, peak), progress);
  } catch (const OutOfMemory& error) {
    return OutOfMemoryStatus(error, config, run.vocab);
  }
}

}  // namespace orthant
