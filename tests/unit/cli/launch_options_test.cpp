#include "cli/launch_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "orthant/core/status.h"
#include "orthant/device/device.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SplitWords, AsAShellParts) {
  EXPECT_THAT(*SplitWords("--mca btl tcp,self"), ElementsAre("--mca", "btl", "tcp,self"));
  EXPECT_THAT(*SplitWords("  a 'b c'  \"d e\" f\\ g '' x'y'z "),
              ElementsAre("a", "b c", "d e", "f g", "", "xyz"));
  EXPECT_THAT(*SplitWords(R"("a \" b" 'c \ d')"), ElementsAre("a \" b", "c \\ d"));
  EXPECT_THAT(*SplitWords(" "), IsEmpty());
  EXPECT_EQ(ExitCodeOf(SplitWords("a 'b").status()), ExitCode::kConfiguration);
}

class RequestTest : public ::testing::Test {
 protected:
  LaunchRequest Of(std::vector<std::string> words) {
    words.insert(words.begin(), "orthant");
    const auto request = RequestOf(options, words, FindTrain(words, "orthant"));
    EXPECT_TRUE(request.ok()) << request.status();
    return request.value_or(LaunchRequest());
  }
  Folder folder;
  LaunchOptions options;
  std::string run = folder.Write("run.yaml",
                                 "model: {layers: 2, heads: 4, hidden: 16, context: 16}\n"
                                 "parallel: {data: 2, tensor: 2}\n");
};

TEST_F(RequestTest, TakesTheMeshOfTheRun) {
  EXPECT_EQ(Of({"train", run, "parallel.data=4"}).mesh_ranks, 8);
  EXPECT_FALSE(Of({"train", run}).one_process);
  EXPECT_FALSE(Of({"train", run}).processes);
  EXPECT_TRUE(Of({"train", run, "comm.backend=mpi"}).processes);
  EXPECT_TRUE(Of({"train", run, "comm.backend=local"}).one_process);
  EXPECT_TRUE(Of({"train", run, "train.device=cuda"}).processes) << "a rank on a GPU is a process";
}

TEST_F(RequestTest, AnAutomaticLayoutTakesTheRanksThatThereAreToBe) {
  EXPECT_EQ(Of({"train", run, "parallel=auto"}).mesh_ranks, 0) << "as many as the hosts take";
  EXPECT_EQ(Of({"train", run, "parallel=auto", "plan.ranks=6"}).mesh_ranks, 6);
  options.ranks = 8;
  EXPECT_EQ(Of({"train", run, "parallel=auto", "plan.ranks=6"}).mesh_ranks, 8) << "--ranks comes first";
}

TEST_F(RequestTest, HandsTheClusterOnToAnAutomaticLayout) {
  options.cluster = "polaris";
  const std::vector<std::string> handed = {"orthant", "train", "--cluster", "polaris", run, "parallel=auto"};
  EXPECT_EQ(Of({"train", run, "parallel=auto"}).command, handed);
  const std::vector<std::string> own = {"orthant", "train", "--cluster=x", run, "parallel=auto"};
  EXPECT_EQ(Of({"train", "--cluster=x", run, "parallel=auto"}).command, own) << "it names one itself";
  const std::vector<std::string> written = {"orthant", "train", run};
  EXPECT_EQ(Of({"train", run}).command, written) << "a written layout wants no cluster";
  EXPECT_EQ(FindTrain(handed, "orthant")->run.path, run) << "the option's word is not the run";
}

TEST_F(RequestTest, CountsDevicesWhereRanksUseThem) {
  EXPECT_EQ(Of({"train", run}).use_devices, BuiltWithCuda());
  EXPECT_FALSE(Of({"train", run, "train.device=cpu"}).use_devices);
  options.device = "gpu";
  EXPECT_TRUE(Of({"train", run, "train.device=cpu"}).use_devices);
  options.device = "cpu";
  EXPECT_FALSE(Of({"train", run}).use_devices);
}

TEST_F(RequestTest, KnowsWhichCommandsAreRanks) {
  EXPECT_FALSE(Of({"doctor"}).one_process);
  EXPECT_EQ(Of({"bench", "comm", "--mesh", "data=2,tensor=4"}).mesh_ranks, 8);
  EXPECT_EQ(Of({"bench", "comm", "--mesh=data=3"}).mesh_ranks, 3);
  EXPECT_EQ(Of({"bench", "comm", "--mesh", "data=x"}).mesh_ranks, 0) << "bench itself says what is wrong";
  EXPECT_TRUE(Of({"verify", run}).one_process);
  EXPECT_TRUE(Of({"data", "prepare"}).one_process);
  options.ranks = 2;
  EXPECT_FALSE(Of({"checkpoint", "verify", "x"}).one_process) << "asked for";
}

}  // namespace
}  // namespace orthant::testing
