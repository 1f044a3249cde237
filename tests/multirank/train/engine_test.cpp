// The training step as a whole: it starts where theory says, learns, repeats to the bit, and evaluates and
// samples the same on every mesh.
#include "orthant/train/engine.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "ATen/ATen.h"
#include "orthant/comm/local.h"
#include "orthant/train/comparison.h"
#include "orthant/train/generate.h"
#include "orthant/train/trainer.h"
#include "support/ranks.h"

namespace orthant {
namespace {

constexpr int64_t kVocab = 29;

// A sentence of 13 tokens over and over: the next token is certain once the last two are known.
class Refrain final : public TokenSource {
 public:
  const std::string& name() const override { return name_; }
  int64_t tokens() const override { return 4000; }
  int64_t vocabulary_size() const override { return kVocab; }
  absl::Status Read(int64_t begin, absl::Span<int64_t> out) const override {
    static constexpr int64_t kSentence[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 28, 8, 27};
    for (size_t i = 0; i < out.size(); ++i) out[i] = kSentence[(begin + static_cast<int64_t>(i)) % 13];
    return absl::OkStatus();
  }

 private:
  std::string name_ = "refrain";
};

RunConfig Tiny() {
  RunConfig c;
  c.model.layers = 2;
  c.model.heads = 4;
  c.model.hidden = 32;
  c.model.context = 16;
  c.model.bias = true;
  c.train.steps = 30;
  c.train.global_batch = 8;
  c.train.micro_batch = 2;
  c.train.dtype = "fp64";
  c.optimizer.warmup = 2;
  c.optimizer.lr = 1e-2;
  c.optimizer.min_lr = 1e-3;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = kVocab;
  c.data.synthetic_tokens = 4000;
  c.data.prefetch = false;
  return c;
}

PreparedRun Prepared(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw std::runtime_error(std::string(run.status().message()));
  return *std::move(run);
}

// The run on the sentence instead of random tokens.
PreparedRun OnRefrain(const RunConfig& config) {
  PreparedRun run = Prepared(config);
  run.dataset.train = run.dataset.validation = std::make_shared<Refrain>();
  return run;
}

ParallelConfig Parallel(int data, int tensor, int pipeline, int sequence, bool tensor_sequence = false) {
  ParallelConfig p;
  p.data = data;
  p.tensor = tensor;
  p.pipeline = pipeline;
  p.sequence = sequence;
  p.tensor_sequence = tensor_sequence;
  return p;
}

Engine MakeEngine(const PreparedRun& run, Communicator& world) {
  return Engine(run.config, run.mesh, run.vocab, run.dataset, world);
}

TEST(Engine, StartsAtTheLogOfTheVocabulary) {
  RunConfig c = Tiny();
  c.model.tie_embeddings = false;
  c.train.global_batch = 32;
  const PreparedRun run = Prepared(c);
  testing::RunRanks(1, [&](Communicator& world) {
    Engine engine = MakeEngine(run, world);
    const StepResult first = engine.Step();
    EXPECT_NEAR(first.loss, std::log(static_cast<double>(kVocab)), 0.02);
    EXPECT_GT(first.grad_norm, 0.0);
    EXPECT_EQ(first.step, 1);
    EXPECT_DOUBLE_EQ(first.lr, 5e-3);
  });
}

TEST(Engine, LearnsASentenceByHeart) {
  for (const char* dtype : {"fp32", "fp64"}) {
    RunConfig c = Tiny();
    c.train.dtype = dtype;
    const PreparedRun run = OnRefrain(c);
    testing::RunRanks(1, [&](Communicator& world) {
      Engine engine = MakeEngine(run, world);
      const double first = engine.Step().loss;
      double last = first;
      for (int64_t step = 2; step <= 30; ++step) last = engine.Step().loss;
      EXPECT_GT(first, 3.0) << dtype;
      EXPECT_LT(last, 0.5) << dtype;
      EXPECT_LT(engine.Evaluate(/*validation=*/true, 2), 0.5) << dtype;
    });
  }
}

TEST(Engine, LearnsOnAMeshAsWell) {
  RunConfig c = Tiny();
  c.train.dtype = "fp32";
  c.parallel = Parallel(2, 2, 2, 1);
  c.parallel.zero = 1;
  const PreparedRun run = OnRefrain(c);
  testing::RunRanks(8, [&](Communicator& world) {
    Engine engine = MakeEngine(run, world);
    double last = 0.0;
    for (int64_t step = 1; step <= 30; ++step) last = engine.Step().loss;
    EXPECT_LT(last, 0.5);
  });
}

// What a run on one rank gives after two steps, on a thread of this process.
struct Outcome {
  double validation = 0.0, training = 0.0;
  std::vector<std::vector<int64_t>> texts;
};

const std::vector<SamplingOptions>& Samplings() {
  // The first outgrows the window of 16 tokens.
  static const std::vector<SamplingOptions> options = {
      {.tokens = 24, .temperature = 0.9, .top_k = 0, .seed = 11},
      {.tokens = 8, .temperature = 1.0, .top_k = 5, .seed = 12},
      {.tokens = 8, .temperature = 0.0, .top_k = 0, .seed = 13}};
  return options;
}

Outcome OutcomeOf(const PreparedRun& run, Communicator& world) {
  Engine engine = MakeEngine(run, world);
  for (int64_t step = 1; step <= 2; ++step) engine.Step();
  Outcome outcome;
  outcome.validation = engine.Evaluate(/*validation=*/true, 3);
  outcome.training = engine.Evaluate(/*validation=*/false, 3);
  for (const SamplingOptions& options : Samplings()) {
    outcome.texts.push_back(Generate(engine.model(), {3, 1, 4}, run.config.model.context, options));
  }
  return outcome;
}

TEST(Engine, EvaluatesAndSamplesTheSameOnEveryMesh) {
  RunConfig one = Tiny();
  one.model.dropout = 0.1;  // training drops, evaluation must not
  const PreparedRun run = Prepared(one);
  Outcome expected;
  RunLocal(1, {}, [&](Communicator& world) { expected = OutcomeOf(run, world); });
  ASSERT_EQ(expected.texts[0].size(), 24u);
  EXPECT_NE(expected.validation, expected.training);

  const ParallelConfig meshes[] = {
      Parallel(1, 2, 1, 1),       Parallel(1, 1, 2, 1),       Parallel(1, 1, 1, 2),
      Parallel(2, 1, 1, 1),       Parallel(1, 2, 1, 1, true), Parallel(1, 4, 1, 1, true),
      Parallel(1, 2, 1, 2, true), Parallel(2, 2, 2, 1),       Parallel(1, 2, 2, 2, true)};
  for (const ParallelConfig& parallel : meshes) {
    if (parallel.degrees().world() > testing::MaxRanks()) continue;
    RunConfig config = one;
    config.parallel = parallel;
    const PreparedRun on_mesh = Prepared(config);
    testing::RunRanks(static_cast<int>(parallel.degrees().world()), [&](Communicator& world) {
      const ::testing::ScopedTrace mesh(__FILE__, __LINE__, ToString(parallel.degrees()));
      const Outcome outcome = OutcomeOf(on_mesh, world);
      EXPECT_NEAR(outcome.validation, expected.validation, 1e-12 * expected.validation);
      EXPECT_NEAR(outcome.training, expected.training, 1e-12 * expected.training);
      EXPECT_EQ(outcome.texts, expected.texts);
    });
  }
}

TEST(Engine, SamplesHangOnTheSeed) {
  const PreparedRun run = Prepared(Tiny());
  testing::RunRanks(1, [&](Communicator& world) {
    Engine engine = MakeEngine(run, world);
    const auto draw = [&](uint64_t seed) {
      return Generate(engine.model(), {1}, 16, {.tokens = 20, .temperature = 1.0, .seed = seed});
    };
    EXPECT_EQ(draw(1), draw(1));
    EXPECT_NE(draw(1), draw(2));
    for (int64_t id : draw(3)) EXPECT_TRUE(id >= 0 && id < kVocab);
  });
}

TEST(Engine, TwiceTheSameRunGivesTheSameBits) {
  RunConfig c = Tiny();
  c.train.dtype = "fp32";
  c.model.dropout = 0.1;
  c.parallel = Parallel(2, 2, 2, 1);
  c.parallel.zero = 1;
  const PreparedRun run = Prepared(c);
  testing::RunRanks(8, [&](Communicator& world) {
    std::vector<std::vector<uint64_t>> bits(2);
    std::vector<LogicalTensors> values;
    for (int repeat = 0; repeat < 2; ++repeat) {
      Engine engine = MakeEngine(run, world);
      for (int64_t step = 1; step <= 4; ++step) {
        const StepResult result = engine.Step();
        bits[repeat].push_back(std::bit_cast<uint64_t>(result.loss));
        bits[repeat].push_back(std::bit_cast<uint64_t>(result.grad_norm));
      }
      bits[repeat].push_back(std::bit_cast<uint64_t>(engine.Evaluate(/*validation=*/true, 1)));
      values.push_back(CopyTensors(engine.model().units(), What::kValue));
    }
    EXPECT_EQ(bits[0], bits[1]);
    for (const auto& [name, value] : values[0]) EXPECT_TRUE(at::equal(value, values[1].at(name))) << name;
  });
}

TEST(Engine, EvaluationLeavesTraining) {
  RunConfig c = Tiny();
  c.model.dropout = 0.1;
  const PreparedRun run = Prepared(c);
  testing::RunRanks(1, [&](Communicator& world) {
    Engine with = MakeEngine(run, world), without = MakeEngine(run, world);
    for (int64_t step = 1; step <= 3; ++step) {
      EXPECT_EQ(with.Step().loss, without.Step().loss) << step;
      const double first = with.Evaluate(/*validation=*/true, 1);
      EXPECT_EQ(with.Evaluate(/*validation=*/true, 1), first) << "a fixed set";
    }
  });
}

TEST(Engine, PrefetchChangesNothing) {
  RunConfig c = Tiny();
  const PreparedRun plain = Prepared(c);
  c.data.prefetch = true;
  const PreparedRun ahead = Prepared(c);
  testing::RunRanks(1, [&](Communicator& world) {
    Engine a = MakeEngine(plain, world), b = MakeEngine(ahead, world);
    for (int64_t step = 1; step <= 3; ++step) EXPECT_EQ(a.Step().loss, b.Step().loss);
  });
}

}  // namespace
}  // namespace orthant
