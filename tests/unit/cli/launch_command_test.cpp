#include "cli/launch_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Words(const std::string& text) {
  return absl::StrSplit(text, ' ');
}
std::string Text(const std::vector<std::string>& words) {
  return CommandText(words);
}

TEST(FindTrain, ReadsTheRunBehindTheWord) {
  const auto train =
      FindTrain(Words("mpirun -n 16 ./build/orthant train --format json run.yaml a.b=1 --format=json c=2"),
                "/bin/self");
  ASSERT_TRUE(train.has_value());
  EXPECT_EQ(train->word, 4u);
  EXPECT_EQ(train->run.path, "run.yaml");
  EXPECT_THAT(train->run.overrides, ElementsAre("a.b=1", "c=2"));
}

TEST(FindTrain, KnowsThisProgramByWhateverName) {
  EXPECT_TRUE(FindTrain(Words("/opt/trainer train run.yaml"), "/opt/trainer").has_value());
  EXPECT_TRUE(FindTrain(Words("srun orthant-0.1 train run.yaml"), "/opt/trainer").has_value());
}

TEST(FindTrain, LeavesOtherCommandsAlone) {
  for (const char* command : {"sleep 5", "orthant verify run.yaml", "python train run.yaml", "orthant train",
                              "train run.yaml", "sh -c 'orthant train run.yaml'"}) {
    EXPECT_FALSE(FindTrain(Words(command), "/bin/self").has_value()) << command;
  }
}

TEST(WithRanks, ReplacesWhatTheLauncherWasTold) {
  const auto changed = [](const std::string& command) {
    const std::vector<std::string> words = Words(command);
    return Text(WithRanks(words, FindTrain(words, "")->word, 3));
  };
  EXPECT_EQ(changed("mpirun -n 16 orthant train r.yaml -n 5"), "mpirun -n 3 orthant train r.yaml -n 5");
  EXPECT_EQ(changed("mpirun -np 16 --mca a 1 orthant train r.yaml"),
            "mpirun -np 3 --mca a 1 orthant train r.yaml");
  EXPECT_EQ(changed("srun -N 2 --ntasks=16 orthant train r.yaml"),
            "srun -N 2 --ntasks=3 orthant train r.yaml");
  EXPECT_EQ(changed("/usr/bin/srun --ntasks 16 orthant train r.yaml"),
            "/usr/bin/srun --ntasks 3 orthant train r.yaml");
  EXPECT_EQ(changed("srun -n16 orthant train r.yaml"), "srun -n3 orthant train r.yaml");
  EXPECT_EQ(changed("nice -n 5 mpirun.openmpi orthant train r.yaml"),
            "nice -n 5 mpirun.openmpi -n 3 orthant train r.yaml")
      << "a number before the launcher is not its";
  EXPECT_EQ(changed("mpiexec -n 4 nice -n 5 orthant train r.yaml"),
            "mpiexec -n 3 nice -n 5 orthant train r.yaml");
  EXPECT_EQ(changed("nice -n 5 orthant train r.yaml"), "nice -n 5 orthant train r.yaml")
      << "ranks are threads";
}

TEST(RankLauncher, IsKnownByItsName) {
  for (const char* word : {"mpirun", "/opt/mpi/bin/mpiexec", "mpiexec.hydra", "orterun", "prterun"}) {
    EXPECT_TRUE(IsRankLauncher(word) && IsMpirun(word)) << word;
  }
  EXPECT_TRUE(IsRankLauncher("srun"));
  EXPECT_FALSE(IsMpirun("srun"));
  EXPECT_FALSE(IsRankLauncher("orthant"));
}

TEST(CommandText, QuotesWhatAShellWouldChange) {
  EXPECT_EQ(CommandText({"a-b_c=1,2", "", "x y", "don't", "$HOME"}),
            R"(a-b_c=1,2 '' 'x y' 'don'\''t' '$HOME')");
  EXPECT_EQ(CommandText({}), "");
}

// The words that Shrink adds or changes, or "none".
std::string Shrunk(const std::string& command) {
  const auto smaller = Shrink(Words(command), "");
  return smaller.has_value() ? Text(smaller->command) : "none";
}

class ShrinkTest : public ::testing::Test {
 protected:
  Folder folder;
  std::string run = folder.Write("run.yaml",
                                 "model: {layers: 2, heads: 4, hidden: 16, context: 16}\n"
                                 "parallel: {data: 6, tensor: 2}\n"
                                 "train: {global_batch: 24, micro_batch: 2}\n");
};

TEST_F(ShrinkTest, TakesTheNextLegalDataDegree) {
  const auto smaller = Shrink(Words("mpirun -n 12 orthant train " + run), "");
  ASSERT_TRUE(smaller.has_value());
  EXPECT_EQ(Text(smaller->command), "mpirun -n 8 orthant train " + run + " parallel.data=4");
  EXPECT_EQ(smaller->data, 4) << "5 does not divide 12 microbatches";
  EXPECT_EQ(smaller->ranks, 8);
  EXPECT_EQ(smaller->data_before, 6);
  EXPECT_EQ(smaller->ranks_before, 12);
  EXPECT_EQ(smaller->global_batch, 24);
}

TEST_F(ShrinkTest, GoesOnFromWhatItMade) {
  std::vector<std::string> command = Words("orthant train " + run + " parallel.data=12");
  std::vector<int64_t> degrees;
  while (const auto smaller = Shrink(command, "")) {
    degrees.push_back(smaller->data);
    command = smaller->command;
  }
  EXPECT_THAT(degrees, ElementsAre(6, 4, 3, 2, 1));
}

TEST_F(ShrinkTest, KeepsTheRulesOfSharding) {
  EXPECT_EQ(Shrunk("orthant train " + run + " zero.shard_ranks=3"),
            "orthant train " + run + " zero.shard_ranks=3 parallel.data=3");
  EXPECT_EQ(Shrunk("orthant train " + run + " zero.shard_ranks=6"), "none");
}

TEST_F(ShrinkTest, StopsAtOneDataRankAndAtWhatItCannotRead) {
  EXPECT_EQ(Shrunk("orthant train " + run + " parallel.data=1"), "none");
  EXPECT_EQ(Shrunk("orthant train " + run + ".gone"), "none");
  EXPECT_EQ(Shrunk("sleep 5"), "none");
}

}  // namespace
}  // namespace orthant::testing
