// Golden lines: what `orthant launch` runs in recorded environments.
#include "orthant/launch/launch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "orthant/core/status.h"
#include "unit/launch/recorded.h"

namespace orthant::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two SLURM nodes of 16 cores without GPUs; OpenMPI and srun with PMIx.
Recorded Slurm() {
  Recorded machine;
  machine.host = "n001";
  machine.AddCores(2, 8, 2);
  machine.variables = {{"SLURM_JOB_ID", "4711"},
                       {"SLURM_JOB_NODELIST", "n[001-002]"},
                       {"SLURM_NTASKS_PER_NODE", "8"},
                       {"SLURM_CPUS_ON_NODE", "32"}};
  machine.programs = {{"srun", "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\n"},
                      {"mpirun", kOpenMpiVersion},
                      {"mpiexec", kOpenMpiVersion}};
  return machine;
}

// Two nodes of Polaris' kind: four GPUs, on NUMA nodes 3 to 0, and PALS.
Recorded PbsWithPals() {
  Recorded machine;
  machine.host = "x3005c0s13b1n0";
  machine.AddCores(4, 8, 2);
  machine.AddGpu("0000:07:00.0", 3);
  machine.AddGpu("0000:46:00.0", 2);
  machine.AddGpu("0000:85:00.0", 1);
  machine.AddGpu("0000:c7:00.0", 0);
  machine.variables = {{"PBS_JOBID", "9.polaris"}, {"PBS_NODEFILE", "/var/spool/pbs/aux/9"}};
  machine.files["/var/spool/pbs/aux/9"] = "x3005c0s13b1n0\nx3006c0s1b0n0\n";
  machine.programs = {{"mpiexec", kPalsVersion}};
  return machine;
}

LaunchRequest Train(int64_t mesh_ranks) {
  LaunchRequest request;
  request.command = {"orthant", "train", "run.yaml"};
  request.mesh_ranks = mesh_ranks;
  return request;
}

LaunchPlan Plan(const Recorded& machine, const LaunchRequest& request, const ClusterConfig& cluster = {}) {
  const auto plan = PlanLaunch(request, cluster, machine.See());
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.value_or(LaunchPlan());
}
std::string Line(const LaunchPlan& plan) {
  return absl::StrJoin(plan.command, " ");
}

std::string Failure(const Recorded& machine, const LaunchRequest& request, ExitCode code,
                    const ClusterConfig& cluster = {}) {
  const auto plan = PlanLaunch(request, cluster, machine.See());
  EXPECT_FALSE(plan.ok());
  EXPECT_EQ(ExitCodeOf(plan.status()), code) << plan.status();
  return std::string(plan.status().message());
}

TEST(LaunchLine, Slurm) {
  const LaunchPlan plan = Plan(Slurm(), Train(16));
  EXPECT_EQ(Line(plan),
            "srun --nodes=2 --ntasks=16 --ntasks-per-node=8 --distribution=block --mpi=pmix "
            "--cpu-bind=mask_cpu:0x3,0xc,0x30,0xc0,0x300,0xc00,0x3000,0xc000 --export=ALL --label "
            "orthant train run.yaml");
  EXPECT_THAT(plan.environment, ElementsAre("OMP_NUM_THREADS=2"));
  EXPECT_THAT(plan.hosts, ElementsAre("n001", "n002"));
  EXPECT_EQ(plan.allocation.job, "4711");
  EXPECT_EQ(plan.HostOf(7), "n001");
  EXPECT_EQ(plan.HostOf(8), "n002");
}

TEST(LaunchLine, SlurmWithMoreRanksThanCores) {
  Recorded machine = Slurm();
  machine.AddCores(1, 2);
  machine.variables["SLURM_CPUS_ON_NODE"] = "2";
  EXPECT_EQ(Line(Plan(machine, Train(16))),
            "srun --nodes=2 --ntasks=16 --ntasks-per-node=8 --distribution=block --mpi=pmix --cpu-bind=none "
            "--overcommit --export=ALL --label orthant train run.yaml");
}

TEST(LaunchLine, SlurmFromALoginNode) {
  Recorded machine = Slurm();
  machine.host = "login1";  // where salloc has left the user
  machine.AddCores(1, 64);
  machine.variables.erase("SLURM_CPUS_ON_NODE");
  machine.variables["SLURM_JOB_CPUS_PER_NODE"] = "16(x2)";
  const LaunchPlan plan = Plan(machine, Train(16));
  EXPECT_EQ(
      Line(plan),
      "srun --nodes=2 --ntasks=16 --ntasks-per-node=8 --distribution=block --mpi=pmix --export=ALL --label "
      "orthant train run.yaml");
  EXPECT_THAT(plan.environment, ElementsAre("OMP_NUM_THREADS=2"));
  EXPECT_THAT(plan.notes, ElementsAre(HasSubstr("login1 is none of the job's hosts")));
  machine.variables["SLURMD_NODENAME"] = "n001";  // a node by another name
  EXPECT_THAT(Line(Plan(machine, Train(16))), HasSubstr(" --cpu-bind=mask_cpu:0xff,"));
}

TEST(LaunchLine, SlurmOnFewerNodesThanItGot) {
  const LaunchPlan plan = Plan(Slurm(), Train(8));
  EXPECT_THAT(Line(plan),
              HasSubstr("--nodes=1 --ntasks=8 --ntasks-per-node=8 --distribution=block --nodelist=n001 "));
  EXPECT_THAT(plan.spares, ElementsAre("n002"));
}

TEST(LaunchLine, SlurmOnACray) {
  Recorded machine = Slurm();
  machine.programs["srun"] = "MPI plugin types are...\n\tnone\n\tcray_shasta\n\tpmi2\n";
  EXPECT_THAT(Line(Plan(machine, Train(16))), HasSubstr(" --mpi=cray_shasta "));
  machine.programs["srun"] = "\tcray_shasta\n\tpmix\n";
  EXPECT_THAT(Line(Plan(machine, Train(16))), HasSubstr(" --mpi=pmix "));
  machine.variables["CRAY_MPICH_VERSION"] = "8.1.28";
  EXPECT_THAT(Line(Plan(machine, Train(16))), HasSubstr(" --mpi=cray_shasta "));
}

TEST(LaunchLine, SlurmWithMpirun) {
  LaunchRequest request = Train(16);
  request.launcher = "openmpi";
  EXPECT_EQ(Line(Plan(Slurm(), request)),
            "mpirun -n 16 --host n001:8,n002:8 --map-by ppr:8:node:PE=2 --bind-to core --tag-output "
            "-x OMP_NUM_THREADS -x ORTHANT_ATTEMPT orthant train run.yaml");
}

TEST(LaunchLine, PbsWithPals) {
  const LaunchPlan plan = Plan(PbsWithPals(), Train(8));
  EXPECT_EQ(
      Line(plan),
      "mpiexec -n 8 --ppn 4 --hostfile /var/spool/pbs/aux/9 --cpu-bind=list:24-31:16-23:8-15:0-7 --label "
      "orthant train run.yaml");
  EXPECT_EQ(plan.ranks_per_host, 4);
  EXPECT_EQ(plan.ranks_source, "4 devices a host");
  EXPECT_THAT(plan.environment, ElementsAre("OMP_NUM_THREADS=8"));
}

TEST(LaunchLine, PbsWithPalsAndAClustersFile) {
  Recorded machine = PbsWithPals();
  machine.AddCores(1, 2);  // where it is asked: a login node, say
  ClusterConfig cluster;
  cluster.name = "polaris";
  cluster.node.gpus = 4;
  cluster.node.gpu = "NVIDIA A100";
  cluster.node.cores = 32;
  cluster.node.device_cores = {"24-31", "16-23", "8-15", "0-7"};
  cluster.launch.launcher = "pals";
  cluster.launch.environment = {"NCCL_NET=AWS Libfabric", "NCCL_DEBUG=WARN"};
  cluster.launch.arguments = {"--rmode=block"};
  machine.variables["NCCL_DEBUG"] = "INFO";
  const LaunchPlan plan = Plan(machine, Train(8), cluster);
  EXPECT_EQ(
      Line(plan),
      "mpiexec -n 8 --ppn 4 --hostfile /var/spool/pbs/aux/9 --cpu-bind=list:24-31:16-23:8-15:0-7 --label "
      "--rmode=block orthant train run.yaml");
  EXPECT_THAT(plan.environment, ElementsAre("OMP_NUM_THREADS=8", "NCCL_NET=AWS Libfabric"))
      << "what the user has set stays";
}

TEST(LaunchLine, PbsWithOpenMpi) {
  Recorded machine = PbsWithPals();
  machine.programs = {{"mpirun", kOpenMpiVersion}, {"mpiexec", kOpenMpiVersion}};
  machine.variables["NCCL_DEBUG"] = "INFO";
  const LaunchPlan plan = Plan(machine, Train(8));
  EXPECT_EQ(
      Line(plan),
      "mpirun -n 8 --host x3005c0s13b1n0:4,x3006c0s1b0n0:4 --rankfile RANKFILE --tag-output -x NCCL_DEBUG "
      "-x OMP_NUM_THREADS -x ORTHANT_ATTEMPT orthant train run.yaml");
  EXPECT_EQ(plan.rank_file,
            "rank 0=x3005c0s13b1n0 slot=24-31\nrank 1=x3005c0s13b1n0 slot=16-23\n"
            "rank 2=x3005c0s13b1n0 slot=8-15\nrank 3=x3005c0s13b1n0 slot=0-7\n"
            "rank 4=x3006c0s1b0n0 slot=24-31\nrank 5=x3006c0s1b0n0 slot=16-23\n"
            "rank 6=x3006c0s1b0n0 slot=8-15\nrank 7=x3006c0s1b0n0 slot=0-7\n");
}

TEST(LaunchLine, PbsSaysHowManyRanks) {
  Recorded machine = PbsWithPals();
  machine.files["/var/spool/pbs/aux/9"] = "a\na\nb\nb\n";  // mpiprocs=2
  const LaunchPlan plan = Plan(machine, Train(4));
  EXPECT_EQ(plan.ranks_per_host, 2);
  EXPECT_EQ(plan.ranks_source, "lines of PBS_NODEFILE");
}

TEST(LaunchLine, HostFile) {
  Recorded machine;
  machine.host = "ws1";
  machine.AddCores(1, 4);
  machine.files["hosts"] = "ws1 slots=4\nws2 slots=4\n";
  machine.programs = {{"mpirun", kOpenMpiVersion}, {"mpiexec", kOpenMpiVersion}};
  machine.variables["LD_LIBRARY_PATH"] = "/opt/lib";
  LaunchRequest request = Train(8);
  request.allocation.host_file = "hosts";
  request.launcher_arguments = {"--mca", "plm_rsh_agent", "my_ssh"};
  const LaunchPlan plan = Plan(machine, request);
  EXPECT_EQ(Line(plan),
            "mpirun -n 8 --host ws1:4,ws2:4 --map-by ppr:4:node:PE=1 --bind-to core --tag-output -x "
            "LD_LIBRARY_PATH "
            "-x OMP_NUM_THREADS -x ORTHANT_ATTEMPT --mca plm_rsh_agent my_ssh orthant train run.yaml");
  EXPECT_EQ(ToString(plan.allocation.scheduler), "host file");
  request.bind = false;
  EXPECT_EQ(
      Line(Plan(machine, request)),
      "mpirun -n 8 --host ws1:4,ws2:4 --map-by ppr:4:node:OVERSUBSCRIBE --bind-to none --mca "
      "mpi_yield_when_idle 1 --tag-output -x LD_LIBRARY_PATH -x OMP_NUM_THREADS -x ORTHANT_ATTEMPT --mca "
      "plm_rsh_agent my_ssh orthant train run.yaml");
  machine.programs = {{"mpiexec", "HYDRA build details:\n    Version: 4.1.1\n"}};
  request.launcher_arguments.clear();
  EXPECT_EQ(Line(Plan(machine, request)),
            "mpiexec -n 8 -ppn 4 -hosts ws1,ws2 -bind-to none -genvall -prepend-rank orthant train run.yaml");
}

TEST(LaunchLine, HostFileFromTheEnvironment) {
  Recorded machine;
  machine.AddCores(1, 4);
  machine.files["/tmp/hosts"] = "a\nb\n";
  machine.variables["ORTHANT_HOSTFILE"] = "/tmp/hosts";
  machine.programs = {{"mpirun", kOpenMpiVersion}, {"mpiexec", kOpenMpiVersion}};
  const LaunchPlan plan = Plan(machine, Train(4));
  EXPECT_THAT(Line(plan), HasSubstr("--host a:2,b:2 "));
  EXPECT_EQ(plan.allocation.source, "ORTHANT_HOSTFILE = /tmp/hosts");
}

Recorded Laptop() {
  Recorded machine;
  machine.host = "laptop";
  machine.AddCores(1, 4, 2);
  machine.programs = {{"mpirun", kOpenMpiVersion}, {"mpiexec", kOpenMpiVersion}, {"srun", ""}};
  return machine;
}

TEST(LaunchLine, Laptop) {
  const LaunchPlan plan = Plan(Laptop(), Train(16));
  EXPECT_EQ(Line(plan), "orthant train run.yaml");
  EXPECT_EQ(plan.starter, RankStarter::kNone);
  EXPECT_EQ(plan.world, 16);
  EXPECT_EQ(plan.ranks_source, "threads of one process");
  EXPECT_THAT(plan.environment, IsEmpty());
}

TEST(LaunchLine, LaptopWithProcesses) {
  LaunchRequest request = Train(16);
  request.ranks = 16;
  const std::string line =
      "mpirun -n 16 --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 --tag-output -x "
      "OMP_NUM_THREADS -x "
      "ORTHANT_ATTEMPT orthant train run.yaml";
  EXPECT_EQ(Line(Plan(Laptop(), request)), line);
  request.ranks = 0;
  request.processes = true;
  EXPECT_EQ(Line(Plan(Laptop(), request)), line) << "comm.backend wants them";
}

TEST(LaunchLine, WorkstationWithOneGpu) {
  Recorded machine = Laptop();
  machine.AddGpu("0000:01:00.0", 0);
  LaunchRequest request = Train(4);
  request.ranks = 4;
  const LaunchPlan plan = Plan(machine, request);
  EXPECT_EQ(plan.world, 4) << "as many as were asked for, on one device or none";
  EXPECT_EQ(plan.ranks_per_host, 4);
}

TEST(LaunchLine, OneProcessWhereverItIs) {
  LaunchRequest request;
  request.command = {"orthant", "verify", "run.yaml"};
  request.one_process = true;
  EXPECT_EQ(Line(Plan(Slurm(), request)), "orthant verify run.yaml");
}

TEST(LaunchLine, LostHostsAreLeftOut) {
  Recorded machine = Slurm();
  machine.variables["SLURM_JOB_NODELIST"] = "n[001-003]";
  LaunchRequest request = Train(16);
  request.without = {"n002"};
  const LaunchPlan plan = Plan(machine, request);
  EXPECT_THAT(Line(plan), HasSubstr("--nodes=2 --ntasks=16 --ntasks-per-node=8 --distribution=block "
                                    "--nodelist=n001,n003 "));
  EXPECT_THAT(plan.lost, ElementsAre("n002"));
  request.without = {"n002", "n003"};
  EXPECT_THAT(Failure(machine, request, ExitCode::kConfiguration), HasSubstr("not enough hosts"));
}

TEST(LaunchFailures, AreSaidWithWhatWouldDo) {
  LaunchRequest request = Train(32);
  EXPECT_EQ(
      Failure(Slurm(), request, ExitCode::kConfiguration),
      "not enough hosts: 32 ranks with 8 a host (SLURM_NTASKS_PER_NODE) need 4 hosts, and there are 2 hosts");
  request = Train(16);
  request.ranks_per_host = 5;
  EXPECT_EQ(Failure(Slurm(), request, ExitCode::kConfiguration),
            "16 ranks do not divide over hosts with 5 each; nearest legal: 2 or 4 (--ranks-per-host)");
  request = Train(16);
  request.ranks = 8;
  EXPECT_THAT(Failure(Slurm(), request, ExitCode::kConfiguration),
              HasSubstr("--ranks 8: the mesh has 16 ranks"));
  request = Train(16);
  request.allocation.host_file = "gone";
  EXPECT_EQ(Failure(Slurm(), request, ExitCode::kConfiguration), "--hostfile: gone: there is no such file");
  request = Train(16);
  request.allocation.scheduler = "pbs";
  EXPECT_THAT(Failure(Slurm(), request, ExitCode::kEnvironment), HasSubstr("PBS_NODEFILE is not set"));
  request.allocation.scheduler = "slurm";
  EXPECT_THAT(Failure(Laptop(), request, ExitCode::kEnvironment), HasSubstr("SLURM_JOB_NODELIST is not set"));
  Recorded machine = Slurm();
  machine.programs.clear();
  EXPECT_THAT(Failure(machine, Train(16), ExitCode::kEnvironment), HasSubstr("no launcher was found"));
  request = Train(16);
  request.launcher = "srun";
  EXPECT_THAT(Failure(machine, request, ExitCode::kEnvironment),
              HasSubstr("launcher srun: srun is not on PATH"));
  request.launcher = "none";
  EXPECT_THAT(Failure(machine, request, ExitCode::kConfiguration),
              HasSubstr("--launcher none starts one process"));
  machine = PbsWithPals();
  machine.files["/var/spool/pbs/aux/9"] = "";
  EXPECT_EQ(Failure(machine, Train(8), ExitCode::kConfiguration),
            "/var/spool/pbs/aux/9: holds no host; a line is NAME or NAME slots=4");
}

}  // namespace
}  // namespace orthant::testing
