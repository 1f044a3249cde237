// What is held and sent: model states to the byte, peaks near the estimate, traffic as theory says.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "orthant/model/activation_bytes.h"
#include "orthant/train/memory_advice.h"
#include "support/measure_memory.h"
#include "support/memory_theory.h"
#include "support/ranks.h"

namespace orthant {
namespace {

using testing::DataTraffic;
using testing::MeasureActivations;
using testing::MeasureRank;
using testing::MemoryRun;
using testing::PrepareOrThrow;
using testing::RankMemory;
using testing::RunRanks;
using testing::StateBytes;
using testing::StateSizesOf;

struct Case {
  const char* name;
  std::function<void(RunConfig&)> change;
};

RunConfig Changed(const Case& some) {
  RunConfig c = MemoryRun(/*layers=*/4, /*heads=*/8, /*hidden=*/128, /*context=*/128, /*vocab=*/300);
  c.train.global_batch = 16;
  some.change(c);
  return c;
}

int64_t Of(const TagBytes& bytes, MemoryTag tag) {
  return bytes[static_cast<size_t>(tag)];
}

// Meshes, stages, precisions, schedules and ways to hold less.
const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"one rank", [](RunConfig&) {}},
      {"two samples, biases, dropout",
       [](RunConfig& c) {
         c.model.bias = true;
         c.model.dropout = 0.1;
         c.train.micro_batch = 2;
       }},
      {"fp64", [](RunConfig& c) { c.train.dtype = "fp64"; }},
      {"bf16", [](RunConfig& c) { c.train.dtype = "bf16"; }},
      {"fp16, gradients alike",
       [](RunConfig& c) {
         c.train.dtype = "fp16";
         c.train.gradient_dtype = "same";
       }},
      {"untied", [](RunConfig& c) { c.model.tie_embeddings = false; }},
      {"selective",
       [](RunConfig& c) {
         c.memory.recompute = "selective";
         c.model.dropout = 0.1;
         c.train.micro_batch = 2;
       }},
      {"full", [](RunConfig& c) { c.memory.recompute = "full"; }},
      {"tensor", [](RunConfig& c) { c.parallel.tensor = 2; }},
      {"tensor sequence",
       [](RunConfig& c) {
         c.parallel.tensor = 2;
         c.parallel.tensor_sequence = true;
         c.train.micro_batch = 2;
       }},
      {"sequence", [](RunConfig& c) { c.parallel.sequence = 2; }},
      {"stage 1", [](RunConfig& c) { c.parallel.data = 2, c.parallel.zero = 1; }},
      {"stage 2", [](RunConfig& c) { c.parallel.data = 4, c.parallel.zero = 2; }},
      {"stage 2, reduced in bf16",
       [](RunConfig& c) {
         c.parallel.data = 2;
         c.parallel.zero = 2;
         c.train.dtype = "bf16";
         c.train.reduce_dtype = "same";
       }},
      {"stage 3", [](RunConfig& c) { c.parallel.data = 8, c.parallel.zero = 3; }},
      {"stage 3, nothing ahead",
       [](RunConfig& c) {
         c.parallel.data = 4;
         c.parallel.zero = 3;
         c.zero.prefetch_bytes = 0;
         c.zero.bucket_bytes = 1 << 18;
       }},
      {"stage 3, kept",
       [](RunConfig& c) {
         c.parallel.data = 4;
         c.parallel.zero = 3;
         c.zero.release_after_forward = false;
       }},
      {"stage 3, tiles",
       [](RunConfig& c) {
         c.parallel.data = 4;
         c.parallel.zero = 3;
         c.zero.tile_bytes = 1 << 16;
         c.zero.prefetch_bytes = 0;
       }},
      {"stage 3, host",
       [](RunConfig& c) {
         c.parallel.data = 2;
         c.parallel.zero = 3;
         c.zero.offload.optimizer = c.zero.offload.parameters = "host";
       }},
      {"hybrid shards",
       [](RunConfig& c) {
         c.parallel.data = 4;
         c.parallel.zero = 3;
         c.zero.shard_ranks = 2;
         c.train.dtype = "bf16";
       }},
      {"pipeline", [](RunConfig& c) { c.parallel.pipeline = 2; }},
      {"gpipe, full",
       [](RunConfig& c) {
         c.parallel.pipeline = 2;
         c.parallel.schedule = "gpipe";
         c.memory.recompute = "full";
       }},
      {"all axes",
       [](RunConfig& c) {
         c.parallel = {.data = 2, .tensor = 2, .pipeline = 2};
         c.parallel.zero = 3;
       }},
  };
  return cases;
}

TEST(Memory, StatesAreThePredictedBytesAndPeaksAreNear) {
  for (const Case& some : Cases()) {
    const RunConfig c = Changed(some);
    const PreparedRun run = PrepareOrThrow(c);
    if (run.mesh.world() > testing::MaxRanks()) continue;
    const MemoryEstimate estimate = EstimateMemory(run.config, run.vocab);
    RunRanks(static_cast<int>(run.mesh.world()), [&](Communicator& world) {
      const RankMemory measured = MeasureRank(run, world, /*steps=*/2);
      const StageEstimate& predicted = estimate.stages[run.mesh.CoordinateOf(world.rank()).pipeline];
      for (const MemoryTag tag : {MemoryTag::kParameters, MemoryTag::kGradients, MemoryTag::kOptimizer}) {
        EXPECT_EQ(Of(measured.steady, tag), Of(predicted.steady, tag))
            << some.name << ": " << MemoryTagName(tag);
      }
      EXPECT_EQ(Of(measured.steady, MemoryTag::kHost), Of(predicted.steady, MemoryTag::kHost)) << some.name;
      const auto peak = static_cast<double>(measured.peak.device_bytes);
      EXPECT_NEAR(static_cast<double>(predicted.peak.device_bytes), peak, 0.02 * peak + 65536.0) << some.name;
    });
  }
}

TEST(Memory, StatesAreTheFormulasAndStatedPadding) {
  for (const char* dtype : {"fp32", "bf16"}) {
    for (int zero = 0; zero <= 3; ++zero) {
      for (const ParallelConfig& mesh : {ParallelConfig{.data = 1}, ParallelConfig{.data = 4},
                                         ParallelConfig{.data = 2, .tensor = 2, .pipeline = 2}}) {
        RunConfig c = Changed({"", [](RunConfig&) {}});
        c.parallel = mesh;
        c.parallel.zero = zero;
        c.train.dtype = dtype;
        c.train.gradient_dtype = "same";
        const PreparedRun run = PrepareOrThrow(c);
        if (run.mesh.world() > testing::MaxRanks()) continue;
        const MemoryEstimate estimate = EstimateMemory(run.config, run.vocab);
        RunRanks(static_cast<int>(run.mesh.world()), [&](Communicator& world) {
          const TagBytes held = MeasureRank(run, world, /*steps=*/1).steady;
          const int64_t states = Of(held, MemoryTag::kParameters) + Of(held, MemoryTag::kGradients) +
                                 Of(held, MemoryTag::kOptimizer);
          double padded = 0.0, bare = 0.0;
          for (const UnitEstimate& u : estimate.stages[run.mesh.CoordinateOf(world.rank()).pipeline].units) {
            padded += static_cast<double>(u.elements);
            bare += static_cast<double>(u.parameters);
          }
          EXPECT_EQ(static_cast<double>(states),
                    StateBytes(padded, StateSizesOf(c.train), zero, c.parallel.data));
          EXPECT_NEAR(static_cast<double>(states),
                      StateBytes(bare, StateSizesOf(c.train), zero, c.parallel.data),
                      0.02 * static_cast<double>(states));
        });
      }
    }
  }
}

TEST(Memory, EachBlockKeepsWhatIsCounted) {
  const std::vector<Case> ways = {
      {"one rank", [](RunConfig&) {}},
      {"dropout", [](RunConfig& c) { c.model.dropout = 0.1; }},
      {"tensor", [](RunConfig& c) { c.parallel.tensor = 2; }},
      {"tensor, dropout", [](RunConfig& c) { c.parallel.tensor = 2, c.model.dropout = 0.1; }},
      {"tensor_sequence", [](RunConfig& c) { c.parallel.tensor = 2, c.parallel.tensor_sequence = true; }},
      {"sequence", [](RunConfig& c) { c.parallel.sequence = 2; }},
      {"sequence, dropout", [](RunConfig& c) { c.parallel.sequence = 2, c.model.dropout = 0.1; }},
  };
  for (const Case& way : ways) {
    for (const char* recompute : {"none", "selective", "full"}) {
      for (const char* dtype : {"fp32", "bf16", "fp16"}) {
        for (const int64_t samples : {1, 2}) {
          RunConfig c = Changed(way);
          c.memory.recompute = recompute;
          c.train.dtype = dtype;
          c.train.micro_batch = samples;
          if (c.parallel.degrees().world() > testing::MaxRanks()) continue;
          RunConfig more = c;
          ++more.model.layers;
          RunRanks(static_cast<int>(c.parallel.degrees().world()), [&](Communicator& world) {
            const int64_t kept = MeasureActivations(more, 300, world) - MeasureActivations(c, 300, world);
            const ActivationShape shape = ShapeOf(c.model, samples, c.parallel.tensor, c.parallel.sequence,
                                                  c.parallel.tensor_sequence, PrecisionOf(c.train).values);
            EXPECT_EQ(kept, SumOf(SavedByBlock(shape, RecomputePlanOf(c.memory).kind)))
                << way.name << ", recompute " << recompute << ", " << dtype << ", " << samples << " samples";
          });
        }
      }
    }
  }
}

TEST(Memory, TrafficIsTheory) {
  const std::vector<Case> ways = {
      {"as it is", [](RunConfig&) {}},
      {"untied", [](RunConfig& c) { c.model.tie_embeddings = false; }},
      {"kept", [](RunConfig& c) { c.zero.release_after_forward = false; }},
      {"several units a block", [](RunConfig& c) { c.zero.bucket_bytes = 1 << 17; }},
      {"nothing ahead", [](RunConfig& c) { c.zero.prefetch_bytes = 0; }},
      {"bf16", [](RunConfig& c) { c.train.dtype = "bf16"; }},
      {"one microbatch", [](RunConfig& c) { c.train.micro_batch = 4; }},
      {"recompute", [](RunConfig& c) { c.memory.recompute = "full"; }},
      {"hybrid", [](RunConfig& c) { c.zero.shard_ranks = 2; }},
  };
  if (testing::MaxRanks() < 4) GTEST_SKIP() << "needs 4 ranks";
  for (const Case& way : ways) {
    for (int zero = 0; zero <= 3; ++zero) {
      RunConfig c = MemoryRun(/*layers=*/3, /*heads=*/4, /*hidden=*/64, /*context=*/16, /*vocab=*/300);
      c.train.global_batch = 16;
      way.change(c);
      c.parallel.data = 4;
      c.parallel.zero = zero;
      if (zero == 0) c.zero.shard_ranks = 0;
      const PreparedRun run = PrepareOrThrow(c);
      const int64_t theory = DataTraffic(EstimateMemory(c, run.vocab).stages.front().units, c);
      RunRanks(4, [&](Communicator& world) {
        const RankMemory measured = MeasureRank(run, world, /*steps=*/2);
        EXPECT_EQ(measured.sent[static_cast<size_t>(Axis::kData)], theory) << way.name << ", stage " << zero;
      });
    }
  }
}

TEST(Memory, WhatIsProposedFirstRuns) {
  RunConfig c = Changed({"", [](RunConfig& some) { some.train.micro_batch = 8; }});
  const PreparedRun run = PrepareOrThrow(c);
  const int64_t peak = EstimateMemory(run.config, run.vocab).peak_bytes();
  PreparedRun limited = run;
  limited.config.memory.limit = peak * 3 / 4;
  RunRanks(1, [&](Communicator& world) {
    std::string told;
    try {
      MeasureRank(limited, world, /*steps=*/1);
    } catch (const OutOfMemory& error) {
      const absl::Status status = OutOfMemoryStatus(error, limited.config, run.vocab);
      EXPECT_EQ(ExitCodeOf(status), ExitCode::kEnvironment);
      told = std::string(status.message());
    }
    EXPECT_NE(told.find("  memory.recompute=full"), std::string::npos) << told;
    EXPECT_NE(told.find(": fits"), std::string::npos) << told;
  });
  ASSERT_EQ(AdviseMemory(limited.config, run.vocab).front().Overrides(), "memory.recompute=full");
  limited.config.memory.recompute = "full";
  RunRanks(1, [&](Communicator& world) {
    EXPECT_LE(MeasureRank(limited, world, /*steps=*/2).peak.device_bytes, limited.config.memory.limit);
  });
}

}  // namespace
}  // namespace orthant
