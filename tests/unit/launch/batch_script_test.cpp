#include "orthant/launch/batch_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/launch/queue.h"

namespace orthant::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(FillTemplate, PutsValuesIn) {
  const std::map<std::string, std::string> values = {
      {"NAME", "x y"}, {"QUEUE", ""}, {"WARN", "120"}, {"SETUP", ""}};
  EXPECT_EQ(
      *FillTemplate(
          "#SBATCH -J @NAME@\n#SBATCH -p @QUEUE@\n#SBATCH --signal=B:USR1@@WARN@\n@SETUP@\nmail a@b @x\necho "
          "'@QUEUE@'\n",
          values, "t"),
      "#SBATCH -J x y\n#SBATCH --signal=B:USR1@120\nmail a@b @x\necho ''\n");
  const auto unknown = FillTemplate("a\n@NAMES@\n", values, "t.sh");
  EXPECT_EQ(unknown.status().message(), "t.sh:2: unknown placeholder @NAMES@; did you mean @NAME@?");
  EXPECT_EQ(ExitCodeOf(unknown.status()), ExitCode::kConfiguration);
}

BatchJob Job(const std::string& scheduler) {
  BatchJob job;
  job.scheduler = scheduler;
  job.name = "tiny";
  job.folder = "/home/me/my runs";
  job.script = "/home/me/tiny.job";
  job.nodes = 2;
  job.ranks_per_host = 4;
  job.seconds = 3600;
  job.command = {"/bin/orthant", "launch", "--", "train", "run.yaml", "evaluate.prompt=the king"};
  return job;
}

std::string Script(const BatchJob& job, const ClusterConfig& cluster, const std::string& file) {
  const auto text = ReadFile(std::string(ORTHANT_SOURCE_DIR "/launch/") + file);
  EXPECT_TRUE(text.ok()) << text.status();
  const auto script = FillTemplate(*text, TemplateValues(job, cluster), file);
  EXPECT_TRUE(script.ok()) << script.status();
  return script.value_or("");
}

TEST(BatchScript, Slurm) {
  ClusterConfig cluster;
  cluster.submit.options = {"--constraint=gpu"};
  cluster.submit.setup = {"module load cray-mpich"};
  BatchJob job = Job("slurm");
  job.output = "tiny-%j.out";
  job.account = "m1";
  const std::string script = Script(job, cluster, "slurm.sbatch");
  EXPECT_THAT(
      script,
      AllOf(HasSubstr("#SBATCH --job-name=tiny\n#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=4\n"
                      "#SBATCH --time=01:00:00\n#SBATCH --account=m1\n#SBATCH --output=tiny-%j.out\n"),
            HasSubstr("#SBATCH --signal=B:USR1@120\n#SBATCH --requeue\n#SBATCH --constraint=gpu\n"),
            HasSubstr("cd '/home/me/my runs' || exit 3\nmodule load cray-mpich\n"),
            HasSubstr("\n/bin/orthant launch -- train run.yaml 'evaluate.prompt=the king' &\n")));
  EXPECT_THAT(script, AllOf(Not(HasSubstr("--partition")), Not(HasSubstr("--gpus-per-node"))));
  job.requeue = false;
  job.queue = "debug";
  cluster.node.gpus = 4;
  EXPECT_THAT(Script(job, cluster, "slurm.sbatch"),
              AllOf(HasSubstr("#SBATCH --no-requeue\n"), HasSubstr("#SBATCH --partition=debug\n"),
                    HasSubstr("#SBATCH --gpus-per-node=4\n")));
}

TEST(BatchScript, Pbs) {
  ClusterConfig cluster;
  cluster.submit.select = "system=polaris";
  cluster.submit.options = {"-l place=scatter"};
  BatchJob job = Job("pbs");
  job.resubmit = true;
  EXPECT_THAT(
      Script(job, cluster, "pbs.sh"),
      AllOf(HasSubstr("#PBS -N tiny\n#PBS -l select=2:system=polaris:mpiprocs=4\n#PBS -l walltime=01:00:00\n"
                      "#PBS -j oe\n#PBS -r y\n#PBS -l place=scatter\n"),
            HasSubstr("resubmit=1 warn_after=3480\n"), HasSubstr("qsub /home/me/tiny.job\n")));
}

TEST(CheckJob, BeforeAnythingIsSubmitted) {
  ClusterConfig cluster;
  cluster.submit.queues = {"debug nodes=1-2 time=1:00:00", "prod nodes=1-8 time=3:00:00", "prod nodes=9-99"};
  BatchJob job = Job("slurm");
  EXPECT_TRUE(CheckJob(job, cluster).ok());
  job.queue = "debug";
  job.nodes = 3;
  EXPECT_EQ(CheckJob(job, cluster).message(),
            "queue debug takes 1 to 2 nodes, not 3 (submit.queues of the cluster file)");
  job.queue = "prod";
  job.seconds = 7 * 3600;
  EXPECT_EQ(CheckJob(job, cluster).message(),
            "queue prod takes jobs of up to 03:00:00 on 3 nodes, not of 07:00:00; queue prod takes 9 to 99 "
            "nodes, not 3 "
            "(submit.queues of the cluster file)");
  job.nodes = 20;
  EXPECT_TRUE(CheckJob(job, cluster).ok());
  job.queue = "mine";  // not listed
  EXPECT_TRUE(CheckJob(job, cluster).ok());
  job.seconds = 60;
  EXPECT_THAT(std::string(CheckJob(job, cluster).message()),
              HasSubstr("--time 00:01:00 must be more than --warn 120"));
}

TEST(WallTime, AsSbatchReadsIt) {
  EXPECT_EQ(*ParseWallTime("30"), 1800);
  EXPECT_EQ(*ParseWallTime("10:30"), 630);
  EXPECT_EQ(*ParseWallTime("1:30:00"), 5400);
  EXPECT_EQ(*ParseWallTime("2-00:00:00"), 172800);
  EXPECT_EQ(*ParseWallTime("1-12"), 129600);
  for (const char* text : {"", "x", "1:2:3:4", "-5", "0", "1h"})
    EXPECT_FALSE(ParseWallTime(text).ok()) << text;
  EXPECT_EQ(FormatWallTime(172800 + 61), "48:01:01");
}

TEST(JobNumber, IsReadFromWhatWasPrinted) {
  EXPECT_EQ(JobNumber("slurm", "sbatch: note\nSubmitted batch job 42 on cluster c\n"), "42");
  EXPECT_EQ(JobNumber("pbs", "42.polaris-pbs-01\n"), "42.polaris-pbs-01");
  EXPECT_EQ(JobNumber("slurm", "nothing"), "");
}

TEST(ShellLine, QuotesWhatAShellWouldChange) {
  EXPECT_EQ(ShellLine({"a=1", "x y", "don't", ""}), R"(a=1 'x y' 'don'\''t' '')");
}

}  // namespace
}  // namespace orthant::testing
