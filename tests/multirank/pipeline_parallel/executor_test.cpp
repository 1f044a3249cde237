#include "orthant/pipeline_parallel/executor.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/lowering.h"
#include "orthant/pipeline_parallel/schedule_text.h"
#include "orthant/pipeline_parallel/validation.h"
#include "support/ranks.h"

namespace orthant {
namespace {

using ::orthant::testing::MaxRanks;
using ::testing::HasSubstr;

// Where there are fewer ranks (tier mpi, small -n) the larger cases are run by a larger -n.
void RunRanks(int n, const std::function<void(Communicator& world)>& body) {
  if (n <= MaxRanks()) orthant::testing::RunRanks(n, body);
}

// Stage s computes y = a_s x + b_s on [n] doubles; the last stage's loss of microbatch m is (m + 1) * sum(y).
double Slope(int stage) {
  return 1.0 + 0.25 * stage;
}
double Offset(int stage) {
  return 0.5 - 0.125 * stage;
}
at::Tensor Sample(int microbatch, int64_t n) {
  return at::arange(n, at::kDouble) * 0.01 + microbatch;
}

struct Gradients {
  double slope = 0, offset = 0;
};
struct Results {
  std::map<int, Gradients> gradients;  // by stage
  double loss = 0;                     // where the last stage is
};

// What any schedule must give, computed in one place.
Results Reference(int stages, int microbatches, int64_t n) {
  Results results;
  for (int m = 0; m < microbatches; ++m) {
    std::vector<at::Tensor> inputs = {Sample(m, n)};
    for (int s = 0; s < stages; ++s) inputs.push_back(inputs.back() * Slope(s) + Offset(s));
    results.loss += (m + 1) * inputs.back().sum().item<double>();
    at::Tensor grad = at::full({n}, m + 1.0, at::kDouble);
    for (int s = stages - 1; s >= 0; --s) {
      results.gradients[s].slope += (grad * inputs[s]).sum().item<double>();
      results.gradients[s].offset += grad.sum().item<double>();
      grad = grad * Slope(s);
    }
  }
  return results;
}

class AffineStages : public StageProgram {
 public:
  AffineStages(const Schedule& schedule, int rank, int64_t n) : schedule_(schedule), rank_(rank), n_(n) {}

  at::Tensor Forward(int chunk, int microbatch, const at::Tensor& input) override {
    Pause(microbatch);
    const int stage = schedule_.StageOf(rank_, chunk);
    EXPECT_EQ(input.defined(), stage > 0);
    const at::Tensor x = stage == 0 ? Sample(microbatch, n_) : input;
    buffers_ -= schedule_.ranks > 1 && stage > 0;
    if (!schedule_.forward_only) inputs_[{chunk, microbatch}] = x;
    const at::Tensor y = x * Slope(stage) + Offset(stage);
    if (stage + 1 < schedule_.stages()) return y;
    results.loss += (microbatch + 1) * y.sum().item<double>();
    return {};
  }
  at::Tensor Backward(int chunk, int microbatch, const at::Tensor& grad_output) override {
    const at::Tensor grad_input = BackwardInput(chunk, microbatch, grad_output);
    BackwardWeight(chunk, microbatch);
    return grad_input;
  }
  at::Tensor NewActivation(int, int) override {
    most_buffers = std::max(most_buffers, ++buffers_);
    return at::full({n_}, -1e9, at::kDouble);
  }
  bool Supports(ActionKind kind) const override {
    return split_backward ? true : StageProgram::Supports(kind);
  }
  at::Tensor BackwardInput(int chunk, int microbatch, const at::Tensor& grad_output) override {
    Pause(microbatch + 1);
    const int stage = schedule_.StageOf(rank_, chunk);
    EXPECT_EQ(grad_output.defined(), stage + 1 < schedule_.stages());
    const at::Tensor grad =
        grad_output.defined() ? grad_output : at::full({n_}, microbatch + 1.0, at::kDouble);
    buffers_ -= schedule_.ranks > 1 && grad_output.defined();
    grads_[{chunk, microbatch}] = grad;
    return stage == 0 ? at::Tensor() : grad * Slope(stage);
  }
  void BackwardWeight(int chunk, int microbatch) override {
    const at::Tensor x = inputs_.extract({chunk, microbatch}).mapped();
    const at::Tensor grad = grads_.extract({chunk, microbatch}).mapped();
    Gradients& gradients = results.gradients[schedule_.StageOf(rank_, chunk)];
    gradients.slope += (grad * x).sum().item<double>();
    gradients.offset += grad.sum().item<double>();
  }
  void GatherParams(int) override { ++gathers; }
  void ReleaseParams(int) override { --gathers; }
  void ReduceGrads(int) override { ++reductions; }

  bool split_backward = false;
  bool jitter = false;
  int most_buffers = 0, gathers = 0, reductions = 0;
  Results results;

 private:
  // Ranks fall behind one another in ways that no simulation foresaw.
  void Pause(int microbatch) const {
    if (!jitter) return;
    std::this_thread::sleep_for(std::chrono::microseconds((rank_ * 7919 + microbatch * 104729) % 1500));
  }

  const Schedule& schedule_;
  const int rank_;
  const int64_t n_;
  int buffers_ = 0;
  std::map<std::pair<int, int>, at::Tensor> inputs_, grads_;
};

// Microbatches are summed in the same order everywhere, so that results agree to the bit.
void ExpectReference(const Schedule& schedule, const AffineStages& program, int rank, int64_t n) {
  const Results expected = Reference(schedule.stages(), schedule.microbatches, n);
  EXPECT_EQ(program.results.gradients.size(),
            static_cast<size_t>(schedule.forward_only ? 0 : schedule.chunks));
  for (const auto& [stage, gradients] : program.results.gradients) {
    EXPECT_EQ(gradients.slope, expected.gradients.at(stage).slope) << schedule.name << " stage " << stage;
    EXPECT_EQ(gradients.offset, expected.gradients.at(stage).offset) << schedule.name << " stage " << stage;
  }
  if (rank == schedule.ranks - 1) {
    EXPECT_EQ(program.results.loss, expected.loss) << schedule.name;
  } else {
    EXPECT_EQ(program.results.loss, 0);
  }
}

Schedule Made(const std::string& name, const ScheduleShape& shape) {
  return MakeSchedule(name, shape).value();
}

TEST(Executor, GpipeAnd1F1BAccumulateTheSameAsOneRank) {
  // Small tensors may be sent without waiting for the receiver, large ones not.
  for (int64_t n : {5, 5000}) {
    for (int ranks : {1, 2, 3, 4}) {
      RunRanks(ranks, [&](Communicator& world) {
        for (int microbatches : {1, 2, 3, 9}) {
          for (const std::string& name : ScheduleNames()) {
            const Schedule schedule = Made(name, {.ranks = ranks, .microbatches = microbatches});
            AffineStages program(schedule, world.rank(), n);
            RunSchedule(schedule, world.rank(), world, program, nullptr);
            ExpectReference(schedule, program, world.rank(), n);
          }
        }
      });
    }
  }
}

TEST(Executor, SeveralChunksARankHandOverLocallyAndAroundTheLoop) {
  for (int ranks : {1, 2, 3}) {
    RunRanks(ranks, [&](Communicator& world) {
      const Schedule schedule = Made("gpipe", {.ranks = ranks, .microbatches = 4, .chunks = 3});
      AffineStages program(schedule, world.rank(), 3000);
      ExecutorStats stats;
      RunSchedule(schedule, world.rank(), world, program, &stats);
      ExpectReference(schedule, program, world.rank(), 3000);
      if (ranks == 1) {
        EXPECT_EQ(stats.sends + stats.receives, 0);
        EXPECT_EQ(program.most_buffers, 0);
      }
    });
  }
}

TEST(Executor, UnevenRanksChangeNothing) {
  RunRanks(4, [&](Communicator& world) {
    for (const std::string& name : ScheduleNames()) {
      const Schedule schedule = Made(name, {.ranks = 4, .microbatches = 12});
      AffineStages program(schedule, world.rank(), 4096);
      program.jitter = true;
      RunSchedule(schedule, world.rank(), world, program, nullptr);
      ExpectReference(schedule, program, world.rank(), 4096);
    }
  });
}

TEST(Executor, ReceivesAreBoundedAndCounted) {
  RunRanks(3, [&](Communicator& world) {
    for (const std::string& name : ScheduleNames()) {
      const Schedule schedule = Made(name, {.ranks = 3, .microbatches = 16});
      AffineStages program(schedule, world.rank(), 64);
      ExecutorStats stats;
      RunSchedule(schedule, world.rank(), world, program, &stats);
      EXPECT_LE(program.most_buffers, 2) << name;
      const int64_t neighbours = world.rank() == 1 ? 2 : 1;
      EXPECT_EQ(stats.sends, 16 * neighbours);
      EXPECT_EQ(stats.receives, 16 * neighbours);
      EXPECT_GT(stats.forward_seconds, 0);
      EXPECT_GT(stats.backward_seconds, 0);
    }
  });
}

TEST(Executor, ForwardOnlyEvaluates) {
  for (int ranks : {1, 2, 4}) {
    RunRanks(ranks, [&](Communicator& world) {
      for (int chunks : {1, 2}) {
        const Schedule schedule = ForwardOnly(ranks, 6, chunks);
        AffineStages program(schedule, world.rank(), 4000);
        ExecutorStats stats;
        RunSchedule(schedule, world.rank(), world, program, &stats);
        ExpectReference(schedule, program, world.rank(), 4000);
        EXPECT_EQ(stats.backward_seconds, 0);
      }
    });
  }
}

TEST(Executor, RunsSplitBackwardsWhereTheProgramCan) {
  RunRanks(2, [&](Communicator& world) {
    const Schedule compute = ParseSchedule(
                                 "0UNSHARD,0F0,0F1,0I0,0F2,0I1,0W0,0I2,0W1,0W2,0REDUCE_GRAD,0RESHARD\n"
                                 "1UNSHARD,1F0,1I0,1F1,1I1,1W0,1F2,1I2,1W1,1W2,1REDUCE_GRAD,1RESHARD\n",
                                 "split")
                                 .value();
    ASSERT_TRUE(ValidateCompute(compute).ok()) << ValidateCompute(compute);
    const Schedule schedule = Lower(compute).value();
    AffineStages program(schedule, world.rank(), 5000);
    program.split_backward = true;
    RunSchedule(schedule, world.rank(), world, program, nullptr);
    ExpectReference(schedule, program, world.rank(), 5000);
    EXPECT_EQ(program.reductions, 1);
    EXPECT_EQ(program.gathers, 0);
  });
}

std::string Refusal(const Schedule& schedule, int rank, Communicator& world) {
  AffineStages program(schedule, rank, 4);
  try {
    RunSchedule(schedule, rank, world, program, nullptr);
  } catch (const std::invalid_argument& error) {
    EXPECT_TRUE(program.results.gradients.empty()) << "something ran";
    return error.what();
  }
  return "it ran";
}

TEST(Executor, RefusesBeforeTheFirstActionWhatItCannotRun) {
  RunRanks(1, [&](Communicator& world) {
    EXPECT_THAT(
        Refusal(ParseSchedule("0F0,0I0,0W0\n", "split").value(), 0, world),
        HasSubstr("pipeline schedule split: 0I0 on rank 0 is of a kind that this model's stages cannot run"));
    EXPECT_THAT(Refusal(ParseSchedule("0F0,0B0,0REDUCE_GRAD\n", "reduce").value(), 0, world),
                HasSubstr("0REDUCE_GRAD"));
    EXPECT_THAT(Refusal(Made("1f1b", {.ranks = 2, .microbatches = 2}), 0, world), HasSubstr("a group of 1"));
  });
  RunRanks(2, [&](Communicator& world) {
    EXPECT_THAT(
        Refusal(GenerateSchedule("1f1b", {.ranks = 2, .microbatches = 2}).value(), world.rank(), world),
        HasSubstr("it was not lowered"));
  });
}

class ForgetfulStages : public StageProgram {
 public:
  at::Tensor Forward(int, int, const at::Tensor&) override { return {}; }
  at::Tensor Backward(int, int, const at::Tensor&) override { return {}; }
  at::Tensor NewActivation(int, int) override { return at::empty({1}); }
};

TEST(Executor, AResultThatAnotherStageNeedsMustBeThere) {
  RunRanks(1, [&](Communicator& world) {
    const Schedule schedule = Made("gpipe", {.ranks = 1, .microbatches = 1, .chunks = 2});
    ForgetfulStages program;
    EXPECT_THROW(RunSchedule(schedule, 0, world, program, nullptr), std::invalid_argument);
  });
}

}  // namespace
}  // namespace orthant
