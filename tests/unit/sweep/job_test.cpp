// A case as a batch job, with an imitated squeue and qstat on PATH.
#include "orthant/sweep/job.h"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "unit/sweep/sweep_folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

class SweepJob : public SweepFolder {
 protected:
  void SetUp() override {
    SweepFolder::SetUp();
    path_ = std::getenv("PATH");
    ::setenv("PATH", (dir_ + "/bin:/bin:/usr/bin").c_str(), 1);
  }
  void TearDown() override {
    ::setenv("PATH", path_.c_str(), 1);
    SweepFolder::TearDown();
  }

  // A program that prints this and ends with `code`; what it was asked goes to NAME.asked.
  void Program(const std::string& name, const std::string& output, int code = 0) {
    Write("bin/" + name, "#!/bin/sh\necho \"$@\" >'" + dir_ + "/" + name + ".asked'\nprintf '" + output +
                             "'\nexit " + std::to_string(code) + "\n");
    std::filesystem::permissions(dir_ + "/bin/" + name, std::filesystem::perms::owner_all);
  }

  // FOLDER/starts.json: a start for each, "" without an end.
  void Starts(const std::vector<std::string>& ends) {
    std::string text;
    for (const std::string& end : ends)
      text += (text.empty() ? "" : ",") + (end.empty() ? std::string("{}") : "{\"end\":" + end + "}");
    Write("run/starts.json", "{\"format\":1,\"starts\":[" + text + "]}");
  }

  CaseRecord Look(int earlier_starts = 0, const std::string& job = "4711") {
    CaseRecord record;
    record.what.name = "run";
    record.state = CaseState::kSubmitted;
    record.job = job;
    record.earlier_starts = earlier_starts;
    LookAfterJob(dir_ + "/run", &record);
    return record;
  }

  std::string path_;
};

const std::string kDone = R"({"outcome":"done","exit_code":0,"message":""})";
const std::string kStopped = R"({"outcome":"stopped","exit_code":7,"message":"stopped by SIGUSR1"})";
const std::string kFailed = R"({"outcome":"failed","exit_code":6,"message":"loss nan"})";

TEST_F(SweepJob, TheSchedulerIsAsked) {
  Program("squeue", "RUNNING\\n");
  EXPECT_EQ(AskForJob("4711").state, JobState::kThere);
  EXPECT_EQ(*ReadFile(dir_ + "/squeue.asked"), "-h -j 4711 -o %T\n");
  Program("squeue", "");
  EXPECT_EQ(AskForJob("4711").state, JobState::kGone);
  Program("squeue", "CANCELLED\\n");
  EXPECT_EQ(AskForJob("4711").state, JobState::kGone);
  Program("squeue", "slurm_load_jobs error: Invalid job id specified\\n", 1);
  EXPECT_EQ(AskForJob("4711").state, JobState::kGone);
  Program("squeue", "slurm_load_jobs error: Unable to contact slurm controller\\n", 1);
  EXPECT_EQ(AskForJob("4711").state, JobState::kUnknown);
  EXPECT_THAT(AskForJob("4711").text, HasSubstr("squeue ended with 1: slurm_load_jobs error: Unable"));
}

TEST_F(SweepJob, PbsIsAskedByQstat) {
  Program("squeue", "RUNNING\\n");  // not of PBS
  Program("qstat", "Job Id: 12.node\\n    job_state = Q\\n");
  EXPECT_EQ(AskForJob("12.node").state, JobState::kThere);
  EXPECT_EQ(*ReadFile(dir_ + "/qstat.asked"), "-f 12.node\n");
  Program("qstat", "Job Id: 12.node\\n    job_state = F\\n");
  EXPECT_EQ(AskForJob("12.node").state, JobState::kGone);
  Program("qstat", "qstat: 12.node Job has finished, use -x or -H\\n", 35);
  EXPECT_EQ(AskForJob("12.node").state, JobState::kGone);
  Program("qstat", "qstat: Unknown Job Id 12.node\\n", 153);
  EXPECT_EQ(AskForJob("12.node").state, JobState::kGone);
  Program("qstat", "pbs_connect: Connection refused\\n", 111);
  EXPECT_EQ(AskForJob("12.node").state, JobState::kUnknown);
}

TEST_F(SweepJob, WithoutASchedulerNothingIsKnown) {
  ::setenv("PATH", (dir_ + "/bin").c_str(), 1);
  EXPECT_THAT(AskForJob("4711").text, HasSubstr("neither squeue nor qstat"));
  EXPECT_EQ(AskForJob("").state, JobState::kUnknown);
  const CaseRecord record = Look();
  EXPECT_EQ(record.state, CaseState::kSubmitted);
  EXPECT_THAT(record.error, HasSubstr("neither squeue nor qstat"));
}

TEST_F(SweepJob, CancelledBeforeItsRunBeganIsFailed) {
  Program("squeue", "PENDING\\n");
  EXPECT_EQ(Look().state, CaseState::kSubmitted);
  Program("squeue", "");
  const CaseRecord record = Look();
  EXPECT_EQ(record.state, CaseState::kFailed);
  EXPECT_EQ(record.exit_code, 1);
  EXPECT_THAT(record.error, HasSubstr("job 4711 is gone, and its run never began"));
}

TEST_F(SweepJob, KilledIsFailed) {
  Starts({""});
  Program("squeue", "RUNNING\\n");
  EXPECT_EQ(Look().state, CaseState::kSubmitted);
  Program("squeue", "");
  EXPECT_EQ(Look().state, CaseState::kFailed);
  EXPECT_THAT(Look().error, HasSubstr("wrote no end"));
}

TEST_F(SweepJob, EndsAreTheRunsOwn) {
  Program("squeue", "");
  Starts({kDone});
  EXPECT_EQ(Look().state, CaseState::kDone);
  Starts({kStopped});
  CaseRecord record = Look();
  EXPECT_EQ(record.state, CaseState::kInterrupted);
  EXPECT_EQ(record.exit_code, 7);
  EXPECT_EQ(record.error, "stopped by SIGUSR1");
  Starts({kStopped, kFailed});
  record = Look();
  EXPECT_EQ(record.state, CaseState::kFailed);
  EXPECT_EQ(record.exit_code, 6);
  EXPECT_EQ(record.error, "loss nan");
}

// Queued again near its time limit, or between two attempts of orthant launch.
TEST_F(SweepJob, AJobThatGoesOnIsStillSubmitted) {
  Program("squeue", "PENDING\\n");
  Starts({kStopped});
  EXPECT_EQ(Look().state, CaseState::kSubmitted);
}

TEST_F(SweepJob, EndsBeforeTheJobSayNothingOfIt) {
  Starts({kFailed});
  EXPECT_EQ(StartsIn(dir_ + "/run"), 1);
  EXPECT_EQ(StartsIn(dir_ + "/none"), 0);
  Program("squeue", "PENDING\\n");
  EXPECT_EQ(Look(1).state, CaseState::kSubmitted);
  Program("squeue", "");
  EXPECT_THAT(Look(1).error, HasSubstr("never began"));
  Starts({kFailed, kDone});
  EXPECT_EQ(Look(1).state, CaseState::kDone);
  Starts({kDone});  // begun anew, since it could not be read
  EXPECT_EQ(Look(2).state, CaseState::kDone);
}

// A shared file system may show an end after the scheduler has forgotten the job.
TEST_F(SweepJob, AnEndThatComesToLightSettlesAFailedCase) {
  Program("squeue", "");
  CaseRecord record = Look();
  ASSERT_EQ(record.state, CaseState::kFailed);
  LookAfterJob(dir_ + "/run", &record);
  EXPECT_EQ(record.state, CaseState::kFailed);
  Starts({kDone});
  LookAfterJob(dir_ + "/run", &record);
  EXPECT_EQ(record.state, CaseState::kDone);
  EXPECT_EQ(record.error, "");
}

TEST(SweepJobNumber, StandsInWhatSubmitPrints) {
  EXPECT_EQ(JobIn("the job is checked\njob 4711: d/x.batch\n"), "4711");
  EXPECT_EQ(JobIn("job 12.node: d/job 7: x.batch\n"), "12.node");
  EXPECT_EQ(JobIn("{\n  \"submitted\": true,\n  \"job\": \"4711\",\n"), "4711");
  EXPECT_EQ(JobIn("error: no scheduler\n"), "");
}

}  // namespace
}  // namespace orthant::testing
