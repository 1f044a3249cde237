#include "orthant/train/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orthant/core/status.h"

namespace orthant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunConfig Legal() {
  RunConfig c;
  c.model.layers = 5;
  c.model.heads = 8;
  c.model.hidden = 64;
  c.model.context = 32;
  c.train.global_batch = 16;
  c.train.micro_batch = 2;
  return c;
}

// The message of a broken rule; "" when there is none.
std::string Message(const RunConfig& config, const OriginOf& origin = nullptr) {
  const absl::Status status = ValidateRun(config, origin);
  EXPECT_TRUE(status.ok() || ExitCodeOf(status) == ExitCode::kConfiguration) << status;
  return std::string(status.message());
}

TEST(ValidateRun, TakesWhatIsLegal) {
  EXPECT_EQ(Message(RunConfig{}), "");
  RunConfig c = Legal();
  c.parallel.tensor = 4;
  c.parallel.sequence = 2;
  c.parallel.pipeline = 5;
  c.parallel.data = 8;
  c.parallel.tensor_sequence = true;
  EXPECT_EQ(Message(c), "");
}

TEST(ValidateRun, TheBackendCarriesWhatTheDeviceHolds) {
  RunConfig c = Legal();
  c.comm.backend = "nccl";
  EXPECT_EQ(Message(c), "");
  c.train.device = "cpu";
  EXPECT_THAT(Message(c), HasSubstr("comm.backend = nccl carries tensors on GPUs, and train.device = cpu"));
  c.comm.backend = "mpi";
  EXPECT_EQ(Message(c), "");
  c.train.device = "cuda";
  EXPECT_THAT(Message(c), HasSubstr("comm.backend = mpi carries tensors in main memory"));
}

TEST(ValidateRun, TracedStepsAreStepsOfTheRun) {
  RunConfig c = Legal();
  c.train.steps = 10;
  c.log.trace.steps = {1, 10};
  EXPECT_EQ(Message(c), "");
  c.log.trace.steps = {5, 11};
  EXPECT_EQ(Message(c), "log.trace.steps = 11 must be at most train.steps = 10; nearest legal: 10");
}

TEST(ValidateRun, HeadsDivideHidden) {
  RunConfig c = Legal();
  c.model.heads = 6;
  EXPECT_EQ(Message(c), "model.heads = 6 must divide model.hidden = 64; nearest legal: 4 or 8");
}

TEST(ValidateRun, TensorDividesHeads) {
  RunConfig c = Legal();
  c.parallel.tensor = 3;
  EXPECT_EQ(Message(c), "parallel.tensor = 3 must divide model.heads = 8; nearest legal: 2 or 4");
  c.parallel.tensor = 16;
  EXPECT_EQ(Message(c), "parallel.tensor = 16 must divide model.heads = 8; nearest legal: 8");
}

TEST(ValidateRun, SequenceDividesTheHeadsOfATensorRank) {
  RunConfig c = Legal();
  c.parallel.tensor = 4;
  c.parallel.sequence = 4;
  EXPECT_EQ(Message(c),
            "parallel.sequence = 4 must divide model.heads / parallel.tensor = 2; nearest legal: 2");
}

TEST(ValidateRun, SequenceDividesContext) {
  RunConfig c = Legal();
  c.model.context = 36;
  c.parallel.sequence = 8;
  EXPECT_EQ(Message(c), "parallel.sequence = 8 must divide model.context = 36; nearest legal: 6 or 9");
}

TEST(ValidateRun, TensorSequenceSplitsTheTokensOnceMore) {
  RunConfig c = Legal();
  c.model.context = 12;
  c.parallel.tensor = 4;
  c.parallel.sequence = 2;
  EXPECT_EQ(Message(c), "");
  c.parallel.tensor_sequence = true;
  EXPECT_EQ(Message(c),
            "parallel.tensor = 4 must divide model.context / parallel.sequence (parallel.tensor_sequence is "
            "on) = 6; "
            "nearest legal: 3 or 6");
}

TEST(ValidateRun, EveryStageHasALayer) {
  RunConfig c = Legal();
  c.parallel.pipeline = 6;
  EXPECT_EQ(Message(c), "parallel.pipeline = 6 must be at most model.layers = 5; nearest legal: 5");
}

TEST(ValidateRun, BatchIsWholeMicrobatches) {
  RunConfig c = Legal();
  c.parallel.data = 3;
  EXPECT_EQ(Message(c),
            "train.global_batch = 16 must be a multiple of parallel.data x train.micro_batch = 6; nearest "
            "legal: 12 or "
            "18");
  c.parallel.data = 16;  // 16 x 2 is more than the batch
  EXPECT_THAT(Message(c), HasSubstr("nearest legal: 32"));
}

TEST(ValidateRun, StagesSumToTheLayers) {
  RunConfig c = Legal();
  c.parallel.pipeline = 2;
  c.parallel.stages = {2, 3};
  EXPECT_EQ(Message(c), "");
  c.parallel.stages = {2, 2};
  EXPECT_EQ(Message(c), "parallel.stages = [2, 2] holds 4 layers, but model.layers = 5; legal: [2, 3]");
  c.parallel.stages = {1, 2, 2};
  EXPECT_THAT(Message(c), HasSubstr("lists 3 stages, but parallel.pipeline = 2"));
}

TEST(ValidateRun, LearningRatesAreInOrder) {
  RunConfig c = Legal();
  c.optimizer.lr = 1e-4;
  c.optimizer.min_lr = 1e-3;
  EXPECT_THAT(Message(c), HasSubstr("optimizer.min_lr = 0.001 must be at most optimizer.lr = 0.0001"));
  EXPECT_THAT(Message(c), HasSubstr("nearest legal: 0.0001"));
  c.optimizer.decay = "constant";  // never falls: min_lr has no say
  EXPECT_EQ(Message(c), "");
}

TEST(ValidateRun, ShardingGroupsDivideDataTimesSequence) {
  RunConfig c = Legal();
  c.parallel.data = 4;
  c.parallel.sequence = 2;
  c.parallel.zero = 3;
  for (const int64_t ranks : {0, 1, 2, 4, 8}) {
    c.zero.shard_ranks = ranks;
    EXPECT_EQ(Message(c), "") << ranks;
  }
  c.zero.shard_ranks = 3;
  EXPECT_EQ(Message(c),
            "zero.shard_ranks = 3 must divide parallel.data x parallel.sequence = 8; nearest legal: 2 or 4");
  c.zero.shard_ranks = 16;
  EXPECT_THAT(Message(c), HasSubstr("nearest legal: 8"));
}

TEST(ValidateRun, OffloadWantsAStageThatSharesOut) {
  RunConfig c = Legal();
  c.zero.offload.optimizer = "host";
  EXPECT_EQ(
      Message(c),
      "zero.offload.optimizer = host needs parallel.zero = 1, 2 or 3, and it is 0; set parallel.zero=1, "
      "or zero.offload.optimizer=none");
  c.parallel.zero = 1;
  EXPECT_EQ(Message(c), "");
  c.zero.offload.parameters = "nvme";
  for (const int stage : {1, 2}) {
    c.parallel.zero = stage;
    EXPECT_THAT(Message(c), HasSubstr("zero.offload.parameters = nvme needs parallel.zero = 3, and it is " +
                                      std::to_string(stage)));
  }
  c.parallel.zero = 3;
  EXPECT_EQ(Message(c), "");
}

TEST(ValidateRun, TheSmallestLossScaleIsNotAboveTheFirst) {
  RunConfig c = Legal();
  c.train.loss_scale.initial = c.train.loss_scale.smallest = 4;
  EXPECT_EQ(Message(c), "");
  c.train.loss_scale.smallest = 8;
  EXPECT_EQ(Message(c),
            "train.loss_scale.smallest = 8 must be at most train.loss_scale.initial = 4; nearest legal: 4");
}

TEST(ValidateRun, OrderNamesEachAxisOnce) {
  RunConfig c = Legal();
  c.parallel.order = {"pipeline", "data", "sequence"};
  EXPECT_THAT(Message(c), HasSubstr("parallel.order is [pipeline, data, sequence]"));
}

TEST(ValidateRun, TellsEveryBrokenRuleWithItsPlace) {
  RunConfig c = Legal();
  c.model.heads = 6;
  c.parallel.pipeline = 9;
  c.parallel.data = 3;
  const std::string text = Message(
      c, [](const std::string& key) { return key == "parallel.pipeline" ? "command line" : "run.yaml:7"; });
  EXPECT_EQ(text,
            "run.yaml:7: model.heads = 6 must divide model.hidden = 64; nearest legal: 4 or 8\n"
            "command line: parallel.pipeline = 9 must be at most model.layers = 5; nearest legal: 5\n"
            "run.yaml:7: train.global_batch = 16 must be a multiple of parallel.data x train.micro_batch = "
            "6; nearest "
            "legal: 12 or 18");
}

TEST(RunNotes, NothingToTell) {
  RunConfig c = Legal();
  EXPECT_THAT(RunNotes(c, 65), IsEmpty());
  c.parallel.tensor = 4;
  c.parallel.tensor_sequence = true;
  c.parallel.data = 2;
  c.parallel.zero = 1;
  EXPECT_THAT(RunNotes(c, 64), IsEmpty());
}

TEST(RunNotes, PaddedVocabulary) {
  RunConfig c = Legal();
  c.parallel.tensor = 4;
  EXPECT_THAT(RunNotes(c, 65),
              ElementsAre("vocabulary of 65 classes padded to 68 so that parallel.tensor = 4 divides "
                          "it; padded classes take no part"));
}

TEST(RunNotes, SettingsWithoutEffect) {
  RunConfig c = Legal();
  c.parallel.tensor_sequence = true;
  c.parallel.zero = 1;
  EXPECT_THAT(RunNotes(c, 65),
              ElementsAre("parallel.tensor_sequence has no effect: parallel.tensor is 1",
                          "parallel.zero saves nothing by itself: parallel.data x parallel.sequence is 1"));
  c.parallel.sequence = 2;
  EXPECT_THAT(RunNotes(c, 65), ElementsAre("parallel.tensor_sequence has no effect: parallel.tensor is 1"));
}

TEST(RunNotes, TilesThatStay) {
  RunConfig c = Legal();
  c.zero.tile_bytes = 1024;
  EXPECT_THAT(RunNotes(c, 64),
              ElementsAre(HasSubstr("zero.tile_bytes saves no memory below parallel.zero = 3")));
  c.parallel.zero = 3;
  c.parallel.data = 2;
  EXPECT_THAT(RunNotes(c, 64), IsEmpty());
}

TEST(ResolveVocabulary, TakesTheDatasUnlessSet) {
  RunConfig c;
  EXPECT_EQ(ResolveVocabulary(c, 65, nullptr).value(), 65);
  c.model.vocab = 65;
  EXPECT_EQ(ResolveVocabulary(c, 65, nullptr).value(), 65);
  c.model.vocab = 128;
  EXPECT_EQ(ResolveVocabulary(c, 65, nullptr).value(), 128);
}

TEST(ResolveVocabulary, RefusesOneThatIsTooSmall) {
  RunConfig c;
  c.model.vocab = 64;
  const auto vocab = ResolveVocabulary(c, 65, [](const std::string& key) { return key + " at run.yaml:3"; });
  EXPECT_EQ(ExitCodeOf(vocab.status()), ExitCode::kConfiguration);
  EXPECT_EQ(vocab.status().message(),
            "model.vocab at run.yaml:3: model.vocab = 64 is smaller than the data's vocabulary of 65 "
            "classes; nearest "
            "legal: 65, or 0 to take the data's");
}

}  // namespace
}  // namespace orthant
