// Checks of program, hosts, machine and folder.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "unit/doctor/healthy_survey.h"

namespace orthant::doctor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Judge, AllIsWell) {
  for (const auto& [hosts, ranks] : {std::pair{1, 1}, {1, 4}, {2, 2}, {4, 2}, {20, 1}}) {
    EXPECT_EQ(NotOkBeside(HealthySurvey(hosts, ranks), {}), "") << hosts << " x " << ranks;
  }
  for (const Check& check : Judge(HealthySurvey(4, 2))) {
    EXPECT_FALSE(check.text.empty()) << check.name;
    EXPECT_EQ(check.remedy, "") << check.name;
  }
}

TEST(Judge, TwoOpenMpRuntimes) {
  Survey survey = HealthySurvey(2, 2);
  survey.ranks[3].program.openmp_files.push_back("/usr/lib/libgomp.so.1");
  const Check two = CheckNamed(survey, "OpenMP runtime");
  EXPECT_EQ(two.state, State::kFail) << "the same library twice";
  EXPECT_THAT(two.text, HasSubstr("2 are loaded on h2: /opt/torch/libgomp-1.so.1, /usr/lib/libgomp.so.1"));
  EXPECT_THAT(two.remedy, HasSubstr("LD_LIBRARY_PATH"));
  survey.ranks[3].program.openmp_files[1] = "/opt/intel/libiomp5.so";
  EXPECT_EQ(CheckNamed(survey, "OpenMP runtime").state, State::kWarn) << "two kinds";
  EXPECT_EQ(NotOkBeside(survey, {"OpenMP runtime"}), "");
}

TEST(Judge, TwoMpis) {
  Survey survey = HealthySurvey(1, 2);
  survey.ranks[1].program.mpi_files.push_back("/opt/mpich/libmpich.so.12");
  const Check check = CheckNamed(survey, "MPI library");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("/usr/lib/libmpi.so.40, /opt/mpich/libmpich.so.12"));
}

TEST(Judge, AnotherVersionOnOneHost) {
  Survey survey = HealthySurvey(3, 1);
  survey.ranks[2].program.versions["LibTorch"] = "2.5.0";
  const Check check = CheckNamed(survey, "libraries");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("'2.11.0' on h1, h2, '2.5.0' on h3"));
}

TEST(Judge, MpiWithoutThreads) {
  Survey survey = HealthySurvey(2, 1);
  survey.ranks[0].program.mpi_thread_level = "funneled";
  EXPECT_EQ(CheckNamed(survey, "MPI threads").state, State::kFail);
  survey.launched = false;
  EXPECT_EQ(CheckNamed(survey, "MPI threads").state, State::kOk);
}

TEST(Judge, FastNetworkThatMpiDoesNotUse) {
  Survey survey = HealthySurvey(2, 1);
  survey.ranks[1].machine.fabric = {"mlx5_0"};
  survey.ranks[0].machine.fabric = {"mlx5_0"};
  survey.ranks[0].machine.memlock = survey.ranks[1].machine.memlock = 8 << 20;
  EXPECT_THAT(CheckNamed(survey, "MPI transports").text, HasSubstr("h1 has mlx5_0, but MPI goes over TCP"));
  EXPECT_EQ(CheckNamed(survey, "limits").state, State::kWarn) << "locked memory";
  EXPECT_EQ(NotOkBeside(survey, {"MPI transports", "limits"}), "");
  survey.ranks[0].program.mpi_components.push_back("pml/ucx");
  EXPECT_EQ(CheckNamed(survey, "MPI transports").state, State::kOk);
}

TEST(Judge, ACudaBuildWithoutAGpuFails) {
  Survey survey = HealthySurvey(2, 1);
  EXPECT_EQ(CheckNamed(survey, "devices").text, "none: this is a CPU build");
  for (RankFacts& rank : survey.ranks) {
    rank.devices = {.cuda_build = true,
                    .cuda = "13.0",
                    .nccl = "2.28.9",
                    .error = "",
                    .devices = {{"a GPU", 80}},
                    .peers = {{}}};
  }
  EXPECT_EQ(CheckNamed(survey, "devices").state, State::kOk);
  EXPECT_THAT(CheckNamed(survey, "devices").text, HasSubstr("CUDA 13.0, NCCL 2.28.9: 1 x a GPU on h1"));
  survey.ranks[1].devices.devices.clear();
  survey.ranks[1].devices.error = "no driver";
  const Check check = CheckNamed(survey, "devices");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("this is a CUDA build, and there is no GPU on h2 (no driver)"));
}

TEST(Judge, NcclVariables) {
  Survey survey = HealthySurvey(3, 1);
  EXPECT_THAT(CheckNamed(survey, "NCCL network").text, HasSubstr("no NCCL_* variable is set"));
  for (RankFacts& rank : survey.ranks) rank.program.environment["NCCL_SOCKET_IFNAME"] = "eth";
  EXPECT_EQ(CheckNamed(survey, "NCCL network").state, State::kOk);
  for (const char* other : {"^eth", "eth0,ib0", "=eth0"}) {
    for (RankFacts& rank : survey.ranks) rank.program.environment["NCCL_SOCKET_IFNAME"] = other;
    EXPECT_EQ(CheckNamed(survey, "NCCL network").state, State::kOk) << other;
  }
  for (RankFacts& rank : survey.ranks) rank.program.environment["NCCL_SOCKET_IFNAME"] = "=eth";
  EXPECT_EQ(CheckNamed(survey, "NCCL network").state, State::kFail);
  for (RankFacts& rank : survey.ranks) rank.program.environment = {{"NCCL_DEBUG", "INFO"}};
  survey.ranks[1].program.environment.clear();
  EXPECT_THAT(CheckNamed(survey, "NCCL network").text, HasSubstr("'nothing' on h2"));
  for (RankFacts& rank : survey.ranks) {
    rank.program.environment = {{"NCCL_IB_DISABLE", "1"}};
    rank.machine.fabric = {"mlx5_0"};
  }
  EXPECT_EQ(CheckNamed(survey, "NCCL network").state, State::kWarn);
}

TEST(Judge, HostNames) {
  Survey survey = HealthySurvey(3, 1);
  survey.ranks[1].machine.addresses.clear();
  EXPECT_THAT(CheckNamed(survey, "host names").text, HasSubstr("not resolved on the host itself: h2"));
  survey.ranks[1].machine.addresses = {"127.0.1.1"};
  EXPECT_THAT(CheckNamed(survey, "host names").text, HasSubstr("loopback address: h2"));
  EXPECT_EQ(NotOkBeside(survey, {"host names"}), "");
}

TEST(Judge, TwoMachinesOfOneName) {
  Survey survey = HealthySurvey(3, 2);
  for (const size_t rank : {4, 5}) survey.ranks[rank].machine.host = "h1";
  survey.hosts = GroupHosts(survey.ranks);
  ASSERT_EQ(survey.hosts.size(), 3u);
  EXPECT_EQ(survey.hosts[2].name, "h1 (2)");
  const Check check = CheckNamed(survey, "host names");
  EXPECT_EQ(check.state, State::kFail);
  EXPECT_THAT(check.text, HasSubstr("2 machines are called h1"));
}

TEST(Judge, AClockThatIsOff) {
  Survey survey = HealthySurvey(4, 1);
  for (Link& link : survey.links) {
    if (link.b == 2) link.clock_offset += 7.5;
    if (link.a == 2) link.clock_offset -= 7.5;
  }
  const Check check = CheckNamed(survey, "host clocks");
  EXPECT_EQ(check.state, State::kWarn);
  EXPECT_THAT(check.text, HasSubstr("h3 by +7.5 s"));
  EXPECT_THAT(check.text, Not(HasSubstr("h2")));
  EXPECT_THAT(CheckNamed(HealthySurvey(4, 1), "host clocks").text, HasSubstr("within "));
}

TEST(Judge, HostsThatAreNotAlike) {
  Survey survey = HealthySurvey(4, 1);
  survey.ranks[3].machine.cpu = "an older processor";
  survey.ranks[2].machine.memory_total = int64_t{32} << 30;
  const Check check = CheckNamed(survey, "hosts alike");
  EXPECT_EQ(check.state, State::kWarn);
  EXPECT_THAT(check.text, HasSubstr("processor: 'a processor' on h1, h2, h3, 'an older processor' on h4"));
  EXPECT_THAT(check.text, HasSubstr("GiB of memory: '64' on h1, h2, h4, '32' on h3"));
}

TEST(Judge, RanksAndCores) {
  Survey survey = HealthySurvey(2, 4);
  for (RankFacts& rank : survey.ranks) rank.machine.cores_allowed = {0};
  const Check bound = CheckNamed(survey, "ranks per core");
  EXPECT_EQ(bound.state, State::kWarn);
  EXPECT_THAT(bound.text, HasSubstr("4 ranks share 1 usable cores of h1 (it has 4)"));
  survey = HealthySurvey(2, 4);
  for (RankFacts& rank : survey.ranks) rank.machine.core_quota = 1.5;
  EXPECT_THAT(CheckNamed(survey, "ranks per core").text, HasSubstr("4 ranks share 1.5 usable cores of h1"));
  survey = HealthySurvey(2, 4);
  for (RankFacts& rank : survey.ranks) rank.machine.boot = "one machine";
  EXPECT_THAT(CheckNamed(survey, "ranks per core").text,
              HasSubstr("8 ranks of several hosts share the 4 cores of one machine"));
  survey = HealthySurvey(2, 2);
  for (RankFacts& rank : survey.ranks) rank.machine.cores_allowed = {rank.rank % 2};
  EXPECT_EQ(CheckNamed(survey, "ranks per core").state, State::kOk) << "bound, each to its own";
}

TEST(Judge, ThreadsNumaPagesFrequency) {
  Survey survey = HealthySurvey(1, 4);
  for (RankFacts& rank : survey.ranks) rank.program.environment["OMP_NUM_THREADS"] = "2";
  EXPECT_THAT(CheckNamed(survey, "threads").text,
              HasSubstr("OMP_NUM_THREADS=2 x 4 ranks = 8 threads on the 4"));
  EXPECT_THAT(CheckNamed(survey, "threads").remedy, HasSubstr("OMP_NUM_THREADS=1"));
  for (RankFacts& rank : survey.ranks) {
    rank.machine.numa_nodes = rank.machine.numa_nodes_allowed = 2;
    rank.machine.huge_pages = "never";
    rank.machine.governor = "powersave";
    rank.machine.frequency_driver = "acpi-cpufreq";
  }
  for (const char* name : {"NUMA", "huge pages", "CPU frequency"})
    EXPECT_EQ(CheckNamed(survey, name).state, State::kWarn) << name;
  for (RankFacts& rank : survey.ranks) rank.machine.frequency_driver = "intel_pstate";
  EXPECT_EQ(CheckNamed(survey, "CPU frequency").state, State::kOk);
  EXPECT_EQ(NotOkBeside(survey, {"threads", "NUMA", "huge pages"}), "");
}

TEST(Judge, MemoryAndLimits) {
  Survey survey = HealthySurvey(2, 2);
  for (const size_t rank : {2, 3}) {
    survey.ranks[rank].machine.memory_limit = int64_t{1} << 30;
    survey.ranks[rank].machine.memory_limit_used = int64_t{400} << 20;
  }
  const Check memory = CheckNamed(survey, "memory");
  EXPECT_EQ(memory.state, State::kWarn);
  EXPECT_THAT(memory.text,
              HasSubstr("free on h2, limited to 1.0 GiB by its control group; 312.0 MiB a rank"));
  survey.ranks[2].machine.shm_free = 64 << 20;
  EXPECT_THAT(CheckNamed(survey, "shared memory").text,
              HasSubstr("64.0 MiB free in /dev/shm of h2 for 2 ranks"));
  survey.ranks[0].machine.open_files = 256;
  EXPECT_THAT(CheckNamed(survey, "limits").text, HasSubstr("open files are limited to 256 on h1"));
}

TEST(Judge, Folders) {
  Survey survey = HealthySurvey(4, 2);
  survey.blind = {6, 7};
  survey.disks[3] = {};
  const Check shared = CheckNamed(survey, "shared folder");
  EXPECT_EQ(shared.state, State::kFail);
  EXPECT_EQ(shared.text, "/scratch/run: what rank 0 writes is not seen on h4");
  EXPECT_EQ(NotOkBeside(survey, {"shared folder"}), "");
  survey = HealthySurvey(4, 1);
  survey.disks[1].write = 1e8;
  EXPECT_THAT(CheckNamed(survey, "disk").text, HasSubstr("slow on h2 (100.0 MB/s)"));
  for (DiskSpeed& disk : survey.disks) disk.write = 1e7;
  EXPECT_EQ(CheckNamed(survey, "disk").state, State::kWarn);
  survey.disks[2].error = "/scratch/run: Read-only file system";
  EXPECT_EQ(CheckNamed(survey, "disk").state, State::kFail);
}

}  // namespace
}  // namespace orthant::doctor
