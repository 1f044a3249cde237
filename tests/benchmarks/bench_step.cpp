// The training step on this machine: bench_step --size M --tp 2 --threads 1
// Sizes, batch and flags are those of the common PyTorch comparison (docs/benchmarks.md); prints one line
// 'RESULT {json}'. Ranks are threads of this process; data is synthetic.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>

#include "nlohmann/json.hpp"
#include "orthant/comm/local.h"
#include "orthant/core/process.h"
#include "orthant/train/engine.h"
#include "orthant/train/metrics.h"
#include "orthant/train/trainer.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;
double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

struct Size {
  int64_t layers, heads, hidden, context, batch, vocab;
};
const std::map<std::string, Size> kSizes = {
    {"S", {4, 4, 128, 64, 12, 65}}, {"M", {6, 6, 384, 256, 8, 65}}, {"L", {12, 12, 768, 256, 4, 50304}}};

struct Options {
  std::string size = "S", tag, dtype = "fp32", gradient_dtype = "fp32", recompute = "none";
  int data = 1, tensor = 1, pipeline = 1, sequence = 1, zero = 0, threads = 1, micro = 4, steps = 20,
      warmup = 3;
  bool tensor_sequence = false, keep_gathered = false;
  double seconds = 25.0;
};

RunConfig ConfigOf(const Options& o) {
  const Size& s = kSizes.at(o.size);
  RunConfig c;
  c.model.layers = s.layers;
  c.model.heads = s.heads;
  c.model.hidden = s.hidden;
  c.model.context = s.context;
  c.parallel = {
      .data = o.data, .tensor = o.tensor, .pipeline = o.pipeline, .sequence = o.sequence, .zero = o.zero};
  c.parallel.tensor_sequence = o.tensor_sequence;
  c.train.global_batch = s.batch;
  const int64_t local = s.batch / o.data;  // without a pipeline the local batch is one microbatch
  c.train.micro_batch =
      o.pipeline == 1 ? local : std::max<int64_t>(1, local / std::min<int64_t>(o.micro, local));
  c.train.steps = 1000;
  c.train.dtype = o.dtype;
  c.train.gradient_dtype = o.gradient_dtype;
  c.memory.recompute = o.recompute;
  c.zero.release_after_forward = !o.keep_gathered;
  c.optimizer.lr = s.vocab < 1000 ? 1e-3 : 6e-4;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = s.vocab;
  return c;
}

int Run(const Options& o) {
  const auto start = Clock::now();
  const auto run = PrepareRun(ConfigOf(o), nullptr);
  if (!run.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(run.status().message()).c_str());
    return 2;
  }
  std::vector<double> times;
  double first_step = 0.0, first_loss = 0.0, last_loss = 0.0;
  int64_t peak = 0;
  const int ranks = static_cast<int>(run->mesh.world());
  RunLocal(ranks, {.threads_per_rank = o.threads}, [&](Communicator& world) {
    const BindMemory memory(MemoryAccount::Create());
    Engine engine(run->config, run->mesh, run->vocab, run->dataset, world);
    auto begin = Clock::now();
    for (int step = 1; step <= o.warmup + o.steps; ++step) {
      const StepResult result = engine.Step();
      if (world.rank() == 0) {
        if (step == 1) {
          first_step = Seconds(start);
          first_loss = result.loss;
        }
        if (step > o.warmup) times.push_back(1e3 * result.seconds);
        last_loss = result.loss;
        peak = result.memory_peak.device_bytes;
      }
      if (step == o.warmup) begin = Clock::now();
      const at::Tensor stop = at::full({1}, step > o.warmup && Seconds(begin) > o.seconds ? 1 : 0, at::kLong);
      if (step % 4 == 3) {
        world.Broadcast(stop, 0, "bench.stop");
        if (stop.item<int64_t>() != 0) break;
      }
    }
  });
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double tokens = static_cast<double>(run->config.train.global_batch * run->config.model.context);
  nlohmann::ordered_json out = {
      {"tag", o.tag},
      {"size", o.size},
      {"impl", "orthant"},
      {"dtype", o.dtype},
      {"ranks", ranks},
      {"dp", o.data},
      {"tp", o.tensor},
      {"pp", o.pipeline},
      {"sp", o.sequence},
      {"zero", o.zero},
      {"micro", run->config.Microbatches()},
      {"threads", o.threads},
      {"steps", times.size()},
      {"min_ms", times.front()},
      {"med_ms", median},
      {"max_ms", times.back()},
      {"tok_s", tokens / median * 1e3},
      {"gflops", FlopsPerToken(run->config.model, run->vocab) * tokens / median / 1e6},
      {"first_step_s", first_step},
      {"device_mib", peak >> 20},
      {"rss_mib", PeakResidentBytes() >> 20},
      {"loss0", first_loss},
      {"last_loss", last_loss}};
  std::printf("RESULT %s\n", out.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace orthant

int main(int argc, char** argv) {
  orthant::Options o;
  CLI::App app("Times the training step on threads of this process.");
  app.add_option("--size", o.size, "S, M or L")->check(CLI::IsMember({"S", "M", "L"}));
  app.add_option("--dp", o.data);
  app.add_option("--tp", o.tensor);
  app.add_option("--pp", o.pipeline);
  app.add_option("--sp", o.sequence);
  app.add_option("--zero", o.zero);
  app.add_option("--dtype", o.dtype)->check(CLI::IsMember({"fp32", "bf16", "fp16"}));
  app.add_option("--gradient-dtype", o.gradient_dtype)->check(CLI::IsMember({"fp32", "same"}));
  app.add_option("--recompute", o.recompute)->check(CLI::IsMember({"none", "selective", "full"}));
  app.add_flag("--keep-gathered", o.keep_gathered, "zero.release_after_forward = false");
  app.add_flag("--tensor-sequence", o.tensor_sequence);
  app.add_option("--threads", o.threads, "threads a rank");
  app.add_option("--micro", o.micro, "microbatches with a pipeline");
  app.add_option("--steps", o.steps);
  app.add_option("--warmup", o.warmup);
  app.add_option("--seconds", o.seconds, "stop timing after this long");
  app.add_option("--tag", o.tag);
  CLI11_PARSE(app, argc, argv);
  orthant::KeepFreedMemory();
  return orthant::Run(o);
}
