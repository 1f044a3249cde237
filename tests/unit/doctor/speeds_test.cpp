// The odd one out among hosts and links, as a user is told.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orthant/core/status.h"
#include "unit/doctor/healthy_survey.h"

namespace orthant::doctor {
namespace {

using ::testing::HasSubstr;

// Adds `seconds` to every link of a node.
Survey WithDelay(Survey survey, int node, double seconds) {
  for (Link& link : survey.links) {
    if (link.a != node && link.b != node) continue;
    link.latency += seconds;
    link.median_latency += seconds;
  }
  return survey;
}

TEST(Speeds, AHostBehindASlowLink) {
  for (const int hosts : {3, 4, 12, 40}) {
    const Survey survey = WithDelay(HealthySurvey(hosts, 2), 2, 5e-3);
    const Check check = CheckNamed(survey, "link latency");
    EXPECT_EQ(check.state, State::kFail) << hosts;
    EXPECT_THAT(check.text, HasSubstr("host h3 (5.02 ms) is the slow one; between the others: ")) << hosts;
    EXPECT_THAT(check.remedy, HasSubstr("cable"));
    EXPECT_EQ(NotOkBeside(survey, {"link latency"}), "") << hosts;
  }
}

TEST(Speeds, TwoHostsBehindSlowLinks) {
  const Check check = CheckNamed(WithDelay(WithDelay(HealthySurvey(6, 1), 1, 5e-3), 4, 9e-3), "link latency");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("2 hosts are slow: h5 (9.02 ms), h2 (5.02 ms)"));
}

TEST(Speeds, OneSlowLink) {
  Survey survey = HealthySurvey(5, 1);
  for (Link& link : survey.links) {
    if (link.a == 1 && link.b == 3) link.latency = 4e-3;
  }
  const Check check = CheckNamed(survey, "link latency");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("a slow link: h2 - h4 (4 ms)"));
  EXPECT_THAT(check.remedy, HasSubstr("these two hosts"));
}

TEST(Speeds, ASmallExcessIsNoFinding) {
  EXPECT_EQ(CheckNamed(WithDelay(HealthySurvey(6, 2), 0, 15e-6), "link latency").state, State::kOk);
}

TEST(Speeds, CrowdedMachinesNeedMore) {
  // Eight ranks on two cores of one machine, as in tests: half a millisecond may be the scheduler's.
  Survey survey = HealthySurvey(4, 2);
  for (RankFacts& rank : survey.ranks) rank.machine.boot = "one machine";
  EXPECT_EQ(CheckNamed(WithDelay(survey, 3, 0.5e-3), "link latency").state, State::kOk);
  EXPECT_EQ(CheckNamed(WithDelay(survey, 3, 5e-3), "link latency").state, State::kFail);
}

TEST(Speeds, TwoHostsFarApartOrAllOfThem) {
  const Check two = CheckNamed(WithDelay(HealthySurvey(2, 1), 1, 5e-3), "link latency");
  EXPECT_EQ(two.state, State::kWarn);
  EXPECT_THAT(two.text, HasSubstr("no network for training"));
  Survey survey = HealthySurvey(4, 1);
  for (Link& link : survey.links) link.latency = 5e-3;
  EXPECT_EQ(CheckNamed(survey, "link latency").state, State::kWarn);
}

TEST(Speeds, ANarrowLink) {
  Survey survey = HealthySurvey(4, 1);
  for (Link& link : survey.links) {
    if (link.a == 0 || link.b == 0) link.bandwidth = 1e8;
  }
  const Check check = CheckNamed(survey, "link bandwidth");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("host h1 (100.0 MB/s) is the slow one; between the others: 10.0 GB/s"));
  EXPECT_EQ(NotOkBeside(survey, {"link bandwidth"}), "");
}

TEST(Speeds, RanksOfOneHostAreWarnedOf) {
  const Check check = CheckNamed(WithDelay(HealthySurvey(1, 6), 5, 2e-3), "link latency");
  EXPECT_EQ(check.state, State::kWarn) << "one host: nothing to leave out";
  EXPECT_THAT(check.text, HasSubstr("rank 5 (2.0"));
}

TEST(Speeds, OneRankHasNoLinks) {
  EXPECT_THAT(CheckNamed(HealthySurvey(1, 1), "link latency").text, HasSubstr("there is no link"));
  EXPECT_THAT(CheckNamed(HealthySurvey(1, 1), "link bandwidth").text, HasSubstr("there is no link"));
}

TEST(Speeds, SlowCoresAndSlowMemory) {
  Survey survey = HealthySurvey(5, 2);
  for (const size_t rank : {4, 5}) {
    survey.ranks[rank].core_flops /= 1.7;
    survey.ranks[rank].copy_bytes /= 5;
  }
  const Check core = CheckNamed(survey, "core speed");
  EXPECT_EQ(core.state, State::kWarn);
  EXPECT_THAT(core.text, HasSubstr("h3 has 59.1 GFLOP/s in fp32 on one core, most hosts 100"));
  EXPECT_EQ(CheckNamed(survey, "memory speed").state, State::kFail);
  EXPECT_THAT(CheckNamed(survey, "memory speed").text, HasSubstr("h3 has 1.61 GB/s"));
  EXPECT_EQ(NotOkBeside(survey, {"core speed", "memory speed"}), "");
}

TEST(Speeds, AJobBesideOurs) {
  Survey survey = HealthySurvey(3, 2);
  for (const size_t rank : {2, 3}) survey.ranks[rank].core_share = 0.4;
  const Check check = CheckNamed(survey, "other load");
  EXPECT_EQ(check.state, State::kWarn);
  EXPECT_THAT(check.text, HasSubstr("for a part of the time on h2 (40 %)"));
  for (RankFacts& rank : survey.ranks) rank.machine.boot = "one machine";
  EXPECT_EQ(CheckNamed(survey, "other load").state, State::kOk) << "our own ranks take the cores";
}

TEST(Report, TextAndJsonAndOutcome) {
  const Report good{"two hosts", {{"memory", State::kOk, "60 GiB free", ""}}, {{"hosts", 2}}};
  EXPECT_EQ(ToText(good, 80), "two hosts\nok    memory  60 GiB free\n1 check: 0 warnings, 0 failures\n");
  EXPECT_TRUE(Outcome(good).ok());
  Report bad = good;
  bad.checks.push_back({"link latency", State::kFail, "host h3 is slow", "look at its cable"});
  bad.checks.push_back({"disk", State::kWarn, "slow", "use scratch"});
  EXPECT_EQ(ToText(bad, 80),
            "two hosts\n"
            "ok    memory        60 GiB free\n"
            "fail  link latency  host h3 is slow\n"
            "                    -> look at its cable\n"
            "warn  disk          slow\n"
            "                    -> use scratch\n"
            "3 checks: 1 warning, 1 failure\n");
  EXPECT_EQ(Outcome(bad).message(), "doctor: 1 check failed: link latency");
  EXPECT_EQ(ExitCodeOf(Outcome(bad)), ExitCode::kEnvironment);
  const auto json = ToJson(bad);
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["warnings"], 1);
  EXPECT_EQ(json["checks"][1]["state"], "fail");
  EXPECT_EQ(json["checks"][1]["remedy"], "look at its cable");
  EXPECT_FALSE(json["checks"][0].contains("remedy"));
  EXPECT_EQ(json["hosts"], 2);
}

TEST(Report, LongTextsAreWrapped) {
  const Report report{
      "h", {{"name", State::kOk, "words that do not fit on one line of sixty columns at all", ""}}, {}};
  EXPECT_EQ(ToText(report, 60),
            "h\nok    name  words that do not fit on one line of sixty\n            columns at all\n"
            "1 check: 0 warnings, 0 failures\n");
}

}  // namespace
}  // namespace orthant::doctor
