// The whole examination on several ranks, with hosts that only bear other names.
#include "orthant/doctor/examine.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/doctor/measure.h"
#include "support/ranks.h"

namespace orthant::testing {
namespace {

using doctor::ExamineOptions;
using doctor::Report;

std::string Folder() {
  return ::testing::TempDir();
}

TEST(Doctor, EveryRankHostAndLinkIsThere) {
  for (const int ranks : {1, 2, 4}) {
    if (ranks > MaxRanks()) continue;
    RunRanks(ranks, [&](Communicator& world) {
      ExamineOptions options;
      options.folder = Folder();
      options.host = world.rank() < 2 ? "left" : "right";
      const Report report = doctor::Examine(world, options);
      if (world.rank() != 0) {
        EXPECT_TRUE(report.checks.empty());
        return;
      }
      EXPECT_GE(report.checks.size(), 20u);
      std::set<std::string> names;
      for (const doctor::Check& check : report.checks) {
        EXPECT_TRUE(names.insert(check.name).second) << check.name;
        EXPECT_FALSE(check.text.empty()) << check.name;
        EXPECT_EQ(check.state == doctor::State::kOk, check.remedy.empty()) << check.name;
      }
      EXPECT_EQ(report.facts["ranks"].size(), static_cast<size_t>(ranks));
      EXPECT_EQ(report.facts["hosts"].size(), ranks > 2 ? 2u : 1u);
      EXPECT_EQ(report.facts["links"].size(), ranks == 1 ? 0u : 1u) << "two ranks, or two hosts";
      for (const auto& rank : report.facts["ranks"]) {
        EXPECT_GT(rank["core_flops"].get<double>(), 1e8);
        EXPECT_GT(rank["copy_bytes"].get<double>(), 1e7);
      }
      for (const auto& link : report.facts["links"]) {
        EXPECT_GT(link["latency"].get<double>(), 0);
        EXPECT_LE(link["latency"].get<double>(), link["median_latency"].get<double>());
        EXPECT_GT(link["bandwidth"].get<double>(), 1e6);
        // One clock: the estimate is not further off than it says.
        EXPECT_LE(std::abs(link["clock_offset"].get<double>()), link["clock_error"].get<double>() + 1e-4);
      }
      for (const auto& disk : report.facts["disks"]) EXPECT_GT(disk["write"].get<double>(), 0) << disk;
    });
  }
}

TEST(Doctor, LinksOfAllPairsAreMeasuredOnce) {
  const int ranks = std::min(5, MaxRanks());
  RunRanks(ranks, [&](Communicator& world) {
    std::vector<int> nodes;
    for (int rank = ranks - 1; rank >= 0; --rank) nodes.push_back(rank);  // any order
    const std::vector<doctor::Link> links = doctor::MeasureLinks(world, nodes);
    for (const doctor::Link& link : links) {
      EXPECT_LT(link.a, link.b);
      EXPECT_EQ(nodes[static_cast<size_t>(link.a)], world.rank());
    }
    // The node that stands at place i asks all that stand behind it.
    EXPECT_EQ(links.size(), static_cast<size_t>(world.rank()));
  });
}

TEST(Doctor, NothingIsLeftInTheFolder) {
  const std::string folder = Folder() + "orthant_doctor_folder_" + std::to_string(MaxRanks());
  RunRanks(std::min(2, MaxRanks()), [&](Communicator& world) {
    if (world.rank() == 0) std::filesystem::create_directories(folder);
    world.Barrier("made");
    ExamineOptions options;
    options.folder = folder + "/not/there/yet";
    const Report report = doctor::Examine(world, options);
    world.Barrier("examined");
    if (world.rank() != 0) return;
    EXPECT_EQ(report.facts["folder"], folder) << "the nearest that is there";
    EXPECT_TRUE(std::filesystem::is_empty(folder));
    std::filesystem::remove_all(folder);
  });
}

TEST(Doctor, AFolderThatCannotBeWrittenFails) {
  RunRanks(1, [&](Communicator& world) {
    ExamineOptions options;
    options.folder = "/proc";
    const Report report = doctor::Examine(world, options);
    if (world.rank() != 0) return;
    EXPECT_FALSE(doctor::Outcome(report).ok());
  });
}

}  // namespace
}  // namespace orthant::testing
