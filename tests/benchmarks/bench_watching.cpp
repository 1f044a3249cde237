// What watching costs: the flight recorder and the rolling hash for one operation, and their share of a
// training step at size M on two tensor ranks, in one run. bench_watching; prints JSON.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/comm/local.h"
#include "orthant/train/engine.h"
#include "orthant/train/trainer.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRepeats = 1'000'000;
constexpr int kSteps = 12;

// Nanoseconds of one call, the median of nine rounds.
template <typename Call>
double NanosecondsOf(const Call& call) {
  std::vector<double> rounds;
  for (int round = 0; round < 9; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < kRepeats; ++i) call(i);
    rounds.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kRepeats);
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds[rounds.size() / 2];
}

struct PerOperation {
  double recorder = 0, waiting = 0, collective_hash = 0, message_hash = 0, balance = 0;  // ns
};

PerOperation MeasureOperation() {
  FlightRecorder recorder(0);
  const int group = recorder.RegisterGroup("tensor", {0, 1});
  RollingHash hash(0, 2);
  Operation op;
  op.kind = OpKind::kAllReduce;
  op.count = 4096;
  op.label = "attn.out";
  Operation message = op;
  message.kind = OpKind::kSend;
  message.peer = 1;
  volatile uint64_t sink = 0;
  volatile double sum = 0;
  PerOperation cost;
  cost.recorder = NanosecondsOf([&](int) {
    sink = recorder.LabelHash(op.label.what);
    const uint64_t ticket = recorder.Begin(op, group, FlightState::kStarted);
    recorder.Mark(ticket, FlightState::kDone);
  });
  cost.waiting = NanosecondsOf([&](int i) { recorder.SetWaiting(static_cast<uint64_t>(i)); });
  cost.collective_hash = NanosecondsOf([&](int i) { sink = hash.Add(op, static_cast<uint64_t>(i)); });
  cost.message_hash = NanosecondsOf([&](int i) { sink = hash.Add(message, static_cast<uint64_t>(i)); });
  cost.balance = NanosecondsOf([&](int) { sum = hash.Balance(); });
  return cost;
}

RunConfig SizeM() {
  RunConfig c;
  c.model.layers = 6;
  c.model.heads = 6;
  c.model.hidden = 384;
  c.model.context = 256;
  c.parallel.tensor = 2;
  c.train.global_batch = c.train.micro_batch = 8;
  c.train.steps = 1000;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 65;
  return c;
}

uint64_t LastTicket(const FlightRecorder& recorder) {
  const std::vector<FlightEntry> entries = recorder.Entries();
  return entries.empty() ? 0 : entries.back().ticket;
}

int Run() {
  const PerOperation cost = MeasureOperation();
  const auto run = PrepareRun(SizeM(), nullptr);
  if (!run.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(run.status().message()).c_str());
    return 2;
  }
  std::vector<double> seconds;
  double operations = 0;
  RunLocal(2, {.threads_per_rank = 1}, [&](Communicator& world) {
    Engine engine(run->config, run->mesh, run->vocab, run->dataset, world);
    engine.Step();
    const uint64_t before = LastTicket(*world.flight_recorder());
    for (int step = 0; step < kSteps; ++step) {
      const StepResult result = engine.Step();
      if (world.rank() == 0) seconds.push_back(result.seconds);
    }
    if (world.rank() == 0)
      operations = static_cast<double>(LastTicket(*world.flight_recorder()) - before) / kSteps;
  });
  std::sort(seconds.begin(), seconds.end());
  const double step = seconds[seconds.size() / 2];
  const double watching =
      1e-9 * operations * (cost.recorder + std::max(cost.collective_hash, cost.message_hash));
  const nlohmann::ordered_json out = {{"recorder_ns", cost.recorder},
                                      {"waiting_ns", cost.waiting},
                                      {"collective_hash_ns", cost.collective_hash},
                                      {"message_hash_ns", cost.message_hash},
                                      {"balance_ns", cost.balance},
                                      {"operations_a_step", operations},
                                      {"step_s", step},
                                      {"watching_s", watching},
                                      {"watching_of_step", watching / step}};
  std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace orthant

int main() {
  return orthant::Run();
}
