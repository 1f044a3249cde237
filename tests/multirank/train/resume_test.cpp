// A checkpoint of any mesh and stage loads on any other: the same logical tensors to the bit, and the same
// steps after it.
#include "orthant/train/resume.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/checkpoint/saver.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/comm/local.h"
#include "orthant/train/comparison.h"
#include "orthant/train/layouts.h"
#include "orthant/train/run_facts.h"
#include "support/ranks.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kSavedAfter = 3, kStepsAfter = 5;

RunConfig Small(const std::string& name) {
  RunConfig c;
  c.model.layers = 3;
  c.model.heads = 4;
  c.model.hidden = 16;
  c.model.context = 16;
  c.model.bias = true;
  c.model.dropout = 0.1;
  c.train.steps = 20;
  c.train.global_batch = 8;
  c.train.micro_batch = 1;
  c.train.dtype = "fp64";
  c.optimizer.warmup = 2;
  c.optimizer.lr = 3e-3;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = 29;
  c.data.synthetic_tokens = 4000;
  c.data.prefetch = false;
  c.run.dir = (fs::temp_directory_path() / ("orthant-resume-" + name)).string();
  c.zero.offload.path = c.run.dir + "/offload";
  return c;
}

PreparedRun Prepared(const RunConfig& config) {
  absl::StatusOr<PreparedRun> run = PrepareRun(config, nullptr);
  if (!run.ok()) throw std::runtime_error(std::string(run.status().message()));
  return *std::move(run);
}

std::string Describe(const Layout& layout) {
  return absl::StrCat(ToString(layout.parallel.degrees()), " zero=", layout.parallel.zero, " ",
                      absl::StrJoin(Extras(layout), " "));
}

// An empty folder for the run, made by one process before the others go on.
void Clear(const RunConfig& config) {
  testing::RunRanks(1, [&](Communicator&) {
    fs::remove_all(config.run.dir);
    fs::create_directories(config.run.dir);
  });
}

void Save(const PreparedRun& run, Engine& engine, Communicator& world, const std::string& folder) {
  SaverOptions options;
  options.folder = folder;
  options.keep_last = 10;
  options.asynchronous = false;
  Saver saver(options, world);
  saver.Start(engine.progress().step, CollectState(engine.model(), engine.optimizer(), /*all=*/true),
              CheckpointFacts(run, engine.progress()));
  const std::optional<SaveResult> saved = saver.Finish();
  ASSERT_TRUE(saved.has_value());
  ASSERT_TRUE(saved->status.ok()) << saved->status.message();
}

// A logical tensor, whole.
at::Tensor Whole(CheckpointReader& reader, const std::string& name, StateKind kind) {
  const LogicalTensor& stored = reader.manifest().tensors.at({name, kind});
  at::Tensor tensor = at::zeros(stored.shape, stored.dtype);
  const absl::Status read = reader.Load({{name, kind, stored.shape, WholeOf(stored.shape), stored.dtype,
                                          static_cast<std::byte*>(tensor.data_ptr())}});
  EXPECT_TRUE(read.ok()) << read.message();
  return tensor;
}

// Every logical tensor of both checkpoints is the same to the bit.
void ExpectSame(const std::string& left, const std::string& right, const std::string& what) {
  auto a = CheckpointReader::Open(left), b = CheckpointReader::Open(right);
  ASSERT_TRUE(a.ok()) << a.status().message();
  ASSERT_TRUE(b.ok()) << b.status().message();
  ASSERT_EQ((*a)->manifest().tensors.size(), (*b)->manifest().tensors.size());
  for (const auto& [key, stored] : (*a)->manifest().tensors) {
    EXPECT_EQ(Incomplete(key.first, stored), "");
    EXPECT_TRUE(at::equal(Whole(**a, key.first, key.second), Whole(**b, key.first, key.second)))
        << key.first << " " << ToString(key.second) << ": " << what;
  }
}

// The losses and norms that follow, and the last values, of one rank that never stopped.
struct Course {
  std::vector<double> losses, norms;
  LogicalTensors values;
};

Course Undisturbed(const RunConfig& config) {
  Course course;
  const PreparedRun run = Prepared(With(config, Layout{}));
  RunLocal(1, {}, [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    for (int64_t step = 1; step <= kSavedAfter + kStepsAfter; ++step) {
      const StepResult result = engine.Step();
      course.losses.push_back(result.loss);
      course.norms.push_back(result.grad_norm);
    }
    course.values = CopyTensors(engine.model().units(), What::kValue);
  });
  return course;
}

void TrainAndSave(const RunConfig& config, const Layout& layout) {
  const PreparedRun run = Prepared(With(config, layout));
  testing::RunRanks(static_cast<int>(run.mesh.world()), [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    while (engine.progress().step < kSavedAfter) engine.Step();
    Save(run, engine, world, config.CheckpointDir());
  });
}

void LoadAndGoOn(const RunConfig& config, const Layout& layout, const Course& course,
                 const std::string& what) {
  const PreparedRun run = Prepared(With(config, layout));
  testing::RunRanks(static_cast<int>(run.mesh.world()), [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    const absl::StatusOr<Resumed> resumed = Resume(run.config, engine, world);
    ASSERT_TRUE(resumed.ok()) << resumed.status().message();
    EXPECT_EQ(resumed->step, kSavedAfter);
    Save(run, engine, world, config.run.dir + "/again");
    Differences differences(ToleranceFor("fp64"));
    for (int64_t step = kSavedAfter; step < kSavedAfter + kStepsAfter; ++step) {
      const StepResult result = engine.Step();
      differences.AddNumber("loss", result.loss, course.losses[static_cast<size_t>(step)]);
      differences.AddNumber("grad_norm", result.grad_norm, course.norms[static_cast<size_t>(step)]);
    }
    differences.AddTensors(engine.model().units(), What::kValue, course.values);
    EXPECT_EQ(differences.first_name(), "") << what << " differs by " << differences.first();
  });
}

// `count` random pairs of layouts with at most MaxRanks() ranks each; a sixth of them on processes, which
// start slowly.
void CheckPairs(const RunConfig& config, int count, uint64_t seed, int64_t most_ranks) {
  const int64_t ranks = std::min<int64_t>(testing::MaxRanks(), most_ranks);
  const std::vector<Layout> layouts = LegalLayouts(config, ranks);
  const Course course = Undisturbed(config);
  std::mt19937_64 random(seed);
  if (testing::MaxRanks() <= 8) count /= 6;
  for (int i = 0; i < count; ++i) {
    const Layout& saved = layouts[random() % layouts.size()];
    const Layout& loaded = layouts[random() % layouts.size()];
    const std::string what = Describe(saved) + " -> " + Describe(loaded);
    Clear(config);
    TrainAndSave(config, saved);
    LoadAndGoOn(config, loaded, course, what);
    testing::RunRanks(1, [&](Communicator&) {
      ExpectSame(config.CheckpointDir() + "/" + StepName(kSavedAfter),
                 config.run.dir + "/again/" + StepName(kSavedAfter), what);
      fs::remove_all(config.run.dir);
    });
  }
}

TEST(Resume, TiedOnAnyMesh) {
  CheckPairs(Small("tied"), 36, 1, 16);
}

TEST(Resume, UntiedWithoutBiasOnAnyMesh) {
  RunConfig c = Small("untied");
  c.model.tie_embeddings = false;
  c.model.bias = false;
  CheckPairs(c, 24, 2, 8);
}

// Masters and 16-bit values go to any mesh as they are.
TEST(Resume, MixedPrecisionKeepsEveryBit) {
  RunConfig c = Small("bf16");
  c.train.dtype = "bf16";
  const int64_t ranks = std::min(testing::MaxRanks(), 8);
  const std::vector<Layout> layouts = LegalLayouts(c, ranks);
  for (size_t i = 0; i < 4; ++i) {
    const Layout& saved = layouts[(i * 37 + 5) % layouts.size()];
    const Layout& loaded = layouts[(i * 53 + 11) % layouts.size()];
    Clear(c);
    TrainAndSave(c, saved);
    const PreparedRun run = Prepared(With(c, loaded));
    testing::RunRanks(static_cast<int>(run.mesh.world()), [&](Communicator& world) {
      Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
      ASSERT_TRUE(Resume(run.config, engine, world).ok());
      Save(run, engine, world, c.run.dir + "/again");
    });
    testing::RunRanks(1, [&](Communicator&) {
      ExpectSame(c.CheckpointDir() + "/" + StepName(kSavedAfter),
                 c.run.dir + "/again/" + StepName(kSavedAfter), Describe(saved) + " -> " + Describe(loaded));
      fs::remove_all(c.run.dir);
    });
  }
}

// fp32 parameters become masters and rounded values, and the other way round; what is exact stays exact.
TEST(Resume, AnotherType) {
  RunConfig c = Small("dtype");
  for (const auto& [from, to] :
       {std::pair{"bf16", "fp32"}, {"fp32", "bf16"}, {"fp32", "fp64"}, {"fp64", "fp32"}}) {
    Clear(c);
    c.train.dtype = from;
    TrainAndSave(c, Layout{});
    c.train.dtype = to;
    const PreparedRun run = Prepared(With(c, Layout{}));
    testing::RunRanks(1, [&](Communicator& world) {
      Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
      ASSERT_TRUE(Resume(run.config, engine, world).ok());
      Save(run, engine, world, c.run.dir + "/again");
      auto a = CheckpointReader::Open(c.CheckpointDir() + "/" + StepName(kSavedAfter));
      auto b = CheckpointReader::Open(c.run.dir + "/again/" + StepName(kSavedAfter));
      ASSERT_TRUE(a.ok() && b.ok());
      for (const auto& [key, stored] : (*b)->manifest().tensors) {
        const StateKind kind = (*a)->Has(key.first, key.second)   ? key.second
                               : key.second == StateKind::kMaster ? StateKind::kParameter
                                                                  : key.second;
        const StateKind exact =
            key.second == StateKind::kParameter && (*a)->Has(key.first, StateKind::kMaster)
                ? StateKind::kMaster
                : kind;
        EXPECT_TRUE(
            at::equal(Whole(**b, key.first, key.second), Whole(**a, key.first, exact).to(stored.dtype)))
            << from << " to " << to << ": " << key.first << " " << ToString(key.second);
      }
      EXPECT_TRUE(std::isfinite(engine.Step().loss));
      fs::remove_all(c.run.dir);
    });
  }
}

TEST(Resume, ParametersAloneBeginANewRun) {
  RunConfig c = Small("init");
  Clear(c);
  TrainAndSave(c, Layout{});
  RunConfig fresh = c;
  fresh.run.dir += "-new";
  fresh.init.from = c.run.dir;
  const PreparedRun run = Prepared(With(fresh, Layout{}));
  testing::RunRanks(1, [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    const absl::StatusOr<Resumed> resumed = Resume(run.config, engine, world);
    ASSERT_TRUE(resumed.ok()) << resumed.status().message();
    EXPECT_EQ(resumed->step, 0);
    EXPECT_EQ(engine.progress(), Progress());
    auto reader = CheckpointReader::Open(c.CheckpointDir() + "/" + StepName(kSavedAfter));
    ASSERT_TRUE(reader.ok());
    for (const auto& [name, value] : CopyTensors(engine.model().units(), What::kValue))
      EXPECT_TRUE(at::equal(value, Whole(**reader, name, StateKind::kParameter))) << name;
    for (size_t u = 0; u < engine.model().units().size(); ++u) {
      EXPECT_EQ(engine.optimizer().OpenState(static_cast<int>(u)).abs().sum().item<double>(), 0.0);
      engine.optimizer().CloseState(static_cast<int>(u), false);
    }
    fs::remove_all(c.run.dir);
  });
}

// Training goes on while a checkpoint is written: it holds the state of its own step all the same.
TEST(Resume, SavingBesideTrainingTakesTheStateOfItsStep) {
  RunConfig c = Small("beside");
  c.model.hidden = 64;
  Clear(c);
  Layout layout;
  layout.parallel.data = std::min(testing::MaxRanks(), 2);
  layout.parallel.zero = 2;
  const PreparedRun run = Prepared(With(c, layout));
  testing::RunRanks(layout.parallel.data, [&](Communicator& world) {
    Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
    SaverOptions options;
    options.folder = c.CheckpointDir();
    options.keep_last = 10;
    Saver saver(options, world);
    engine.BeforeUpdate([&](int unit) { saver.BeforeUpdate(unit); });
    for (int i = 0; i < 6; ++i) {
      const int64_t step = engine.Step().step;
      Save(run, engine, world, c.run.dir + "/at_once");
      saver.Start(step, CollectState(engine.model(), engine.optimizer(), true),
                  CheckpointFacts(run, engine.progress()));
      engine.Step();  // changes everything while it is being written
      const std::optional<SaveResult> saved = saver.Finish();
      ASSERT_TRUE(saved.has_value() && saved->status.ok());
      EXPECT_EQ(saved->step, step);
    }
  });
  testing::RunRanks(1, [&](Communicator&) {
    for (int64_t step = 1; step <= 11; step += 2) {
      ExpectSame(c.CheckpointDir() + "/" + StepName(step), c.run.dir + "/at_once/" + StepName(step),
                 "beside");
    }
    fs::remove_all(c.run.dir);
  });
}

}  // namespace
}  // namespace orthant
