#include "orthant/launch/label.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "orthant/launch/lost_hosts.h"

namespace orthant::testing {
namespace {

// "RANK|text" of each line that comes of one line.
std::string Read(RankStarter starter, const std::string& line) {
  LabelReader reader(starter);
  std::string all;
  for (const RankLine& read : reader.Take(1, line)) {
    all += (all.empty() ? "" : "; ") + std::to_string(read.rank) + "|" + read.text;
  }
  return all;
}

TEST(LabelReader, OfEachLauncher) {
  EXPECT_EQ(Read(RankStarter::kOpenMpi, "[1,3]<stdout>:step=1 loss=2"), "3|step=1 loss=2");
  EXPECT_EQ(Read(RankStarter::kOpenMpi, "[1,12]<stderr>:"), "12|");
  EXPECT_EQ(Read(RankStarter::kSrun, " 3: step=1"), "3|step=1");
  EXPECT_EQ(Read(RankStarter::kSrun, "12:"), "12|");
  EXPECT_EQ(Read(RankStarter::kPals, "x3005c0s13b1n0 3: step=1"), "3|step=1");
  EXPECT_EQ(Read(RankStarter::kPals, "3: step=1"), "3|step=1");
  EXPECT_EQ(Read(RankStarter::kMpich, "[3] step=1"), "3|step=1");
}

TEST(LabelReader, LeavesOtherLinesAlone) {
  EXPECT_EQ(Read(RankStarter::kOpenMpi, "mpirun has exited"), "-1|mpirun has exited");
  EXPECT_EQ(Read(RankStarter::kOpenMpi, ""), "-1|");
  EXPECT_EQ(Read(RankStarter::kOpenMpi, "[n1:1234] 3 more processes"), "-1|[n1:1234] 3 more processes");
  EXPECT_EQ(Read(RankStarter::kSrun, "srun: error: n2: task 3: Killed"),
            "-1|srun: error: n2: task 3: Killed");
  EXPECT_EQ(Read(RankStarter::kPals, "error: no"), "-1|error: no");
  EXPECT_EQ(Read(RankStarter::kMpich, "[mpiexec@n1] control"), "-1|[mpiexec@n1] control");
  EXPECT_EQ(Read(RankStarter::kNone, "3: text"), "-1|3: text");
}

TEST(LabelReader, PutsPiecesTogether) {
  EXPECT_EQ(Read(RankStarter::kOpenMpi, "[1,0]<stdout>:eps: 1e-08 [1,0]<stdout>:# default"),
            "0|eps: 1e-08 # default");
  LabelReader reader(RankStarter::kOpenMpi);
  using Lines = std::vector<RankLine>;
  EXPECT_EQ(reader.Take(1, "[1,0]<stdout>:par[1,1]<stdout>:whole"), Lines({{1, "whole"}}));
  EXPECT_EQ(reader.Take(2, "[1,0]<stderr>:other stream"), Lines({{0, "other stream"}}));
  EXPECT_EQ(reader.Take(1, "[1,0]<stdout>:ameters: none"), Lines({{0, "parameters: none"}}));
  EXPECT_EQ(reader.Take(1, "text of mpirun's[1,2]<stdout>:x"), Lines({{-1, "text of mpirun's"}, {2, "x"}}));
  EXPECT_EQ(reader.Take(1, "[1,3]<stdout>:no end[1,2]<stdout>:y"), Lines({{2, "y"}}));
  EXPECT_EQ(reader.Rest(2), Lines());
  EXPECT_EQ(reader.Rest(1), Lines({{3, "no end"}}));
  EXPECT_EQ(reader.Rest(1), Lines());
}

LaunchPlan FourRanksOnTwoHosts() {
  LaunchPlan plan;
  plan.starter = RankStarter::kSrun;
  plan.hosts = {"n1", "n2"};
  plan.world = 4;
  plan.ranks_per_host = 2;
  return plan;
}

TEST(Relabelled, KeepsTheFirstRanksLines) {
  const LaunchPlan plan = FourRanksOnTwoHosts();
  EXPECT_EQ(Relabelled(plan, {0, "step=1"}), "step=1");
  EXPECT_EQ(Relabelled(plan, {3, "warning"}), "[rank 3 n2] warning");
  EXPECT_EQ(Relabelled(plan, {-1, "srun: error"}), "srun: error");
}

TEST(HostInMessage, KnowsTheLaunchersWords) {
  EXPECT_EQ(HostInMessage("  Remote daemon: [[63383,0],1] on node n2"), "n2");
  EXPECT_EQ(HostInMessage("  HNP daemon   : [[63383,0],0] on node n1"), "");
  EXPECT_EQ(HostInMessage("srun: error: Node failure on n2"), "n2");
  EXPECT_EQ(HostInMessage("srun: error: Task launch for StepId=1.0 failed on node n2: Timeout"), "n2");
  EXPECT_EQ(HostInMessage("srun: error: n2: task 3: Killed"), "");
  EXPECT_EQ(HostInMessage("ssh: connect to host n2 port 22: No route to host"), "n2");
  EXPECT_EQ(HostInMessage("ssh: Could not resolve hostname n2: Name or service not known"), "n2");
  EXPECT_EQ(HostInMessage("step=1 on node n2"), "");
}

TEST(LostHosts, AreReportedOrMute) {
  const LaunchPlan plan = FourRanksOnTwoHosts();
  EXPECT_EQ(LostHosts(plan, {"n2"}, {}), std::vector<std::string>({"n2"}));
  EXPECT_EQ(LostHosts(plan, {"n2.site.org"}, {}), std::vector<std::string>({"n2"})) << "the long name";
  EXPECT_EQ(LostHosts(plan, {"n3"}, {}), std::vector<std::string>()) << "none of ours";
  EXPECT_EQ(LostHosts(plan, {}, {2, 3}), std::vector<std::string>({"n2"}));
  EXPECT_EQ(LostHosts(plan, {}, {3}), std::vector<std::string>()) << "the other rank there has answered";
  EXPECT_EQ(LostHosts(plan, {}, {0, 1, 2, 3}), std::vector<std::string>()) << "who would say so?";
}

}  // namespace
}  // namespace orthant::testing
