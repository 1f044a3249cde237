// What is read of a machine, from files made for it.
#include "orthant/doctor/facts.h"

#include <filesystem>
#include <fstream>

#include "doctor/system_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace orthant::doctor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A folder that stands for "/".
class Root {
 public:
  Root() : path_(::testing::TempDir() + "orthant_doctor_root") { std::filesystem::remove_all(path_); }
  ~Root() { std::filesystem::remove_all(path_); }
  void Write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + file).parent_path());
    std::ofstream(path_ + file) << text;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Facts, MappedLibraries) {
  const std::string maps =
      "7f00-7f10 r-xp 00000000 08:01 12 /opt/torch/lib/libgomp-1a2b.so.1\n"
      "7f10-7f20 r--p 00010000 08:01 12 /opt/torch/lib/libgomp-1a2b.so.1\n"
      "7f20-7f30 r-xp 00000000 08:01 13 /usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0\n"
      "7f30-7f40 r-xp 00000000 08:01 14 /usr/lib/libmpi_cxx.so.40\n"
      "7f40-7f50 r-xp 00000000 08:01 15 /usr/lib/libmpi.so.40.30.4\n"
      "7f50-7f60 rw-p 00000000 00:00 0 [heap]\n";
  EXPECT_THAT(MappedLibraries(maps, {"libgomp", "libiomp5"}),
              ElementsAre("/opt/torch/lib/libgomp-1a2b.so.1", "/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0"));
  EXPECT_THAT(MappedLibraries(maps, {"libmpi"}), ElementsAre("/usr/lib/libmpi.so.40.30.4"))
      << "the C++ bindings are no second MPI";
  EXPECT_THAT(MappedLibraries("", {"libmpi"}), IsEmpty());
}

TEST(Facts, MpiComponents) {
  const std::string maps =
      "7f r-xp 0 08:01 1 /usr/lib/openmpi/mca_pml_ob1.so\n7f r-xp 0 08:01 2 /usr/lib/openmpi/mca_btl_tcp.so\n"
      "7f r--p 0 08:01 2 /usr/lib/openmpi/mca_btl_tcp.so\n7f r-xp 0 08:01 3 "
      "/usr/lib/openmpi/mca_coll_tuned.so\n";
  EXPECT_THAT(MpiComponents(maps, {"pml", "btl", "mtl"}), ElementsAre("btl/tcp", "pml/ob1"));
  EXPECT_THAT(MpiComponents("7f r-xp /usr/lib/libc.so.6\n", {"pml"}), IsEmpty());
}

TEST(Facts, CpuLists) {
  EXPECT_THAT(ParseCpuList("0-3,8,10-11"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
  EXPECT_THAT(ParseCpuList("0"), ElementsAre(0));
  EXPECT_THAT(ParseCpuList(""), IsEmpty());
}

TEST(Facts, NumbersOfMeminfo) {
  const std::string text = "MemTotal:       24684092 kB\nHugePages_Total:       3\n";
  EXPECT_EQ(NumberAfter(text, "MemTotal"), 24684092LL * 1024);
  EXPECT_EQ(NumberAfter(text, "HugePages_Total"), 3);
  EXPECT_EQ(NumberAfter(text, "MemFree"), -1);
}

TEST(Facts, OfAMachineWithControlGroups2) {
  const Root root;
  root.Write("/proc/self/cgroup", "0::/user/job\n");
  root.Write("/sys/fs/cgroup/user/memory.max", "8589934592\n");
  root.Write("/sys/fs/cgroup/user/memory.current", "1073741824\n");
  root.Write("/sys/fs/cgroup/user/job/memory.max", "max\n");
  root.Write("/sys/fs/cgroup/user/job/cpu.max", "150000 100000\n");
  root.Write("/sys/fs/cgroup/user/cpu.max", "max 100000\n");
  root.Write("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n");
  root.Write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  root.Write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  root.Write("/sys/devices/system/node/online", "0-1\n");
  root.Write("/sys/devices/system/node/node0/cpulist", "0-1023\n");
  root.Write("/sys/devices/system/node/node1/cpulist", "5000\n");
  root.Write("/sys/class/net/eth7/operstate", "up\n");
  root.Write("/sys/class/net/lo/operstate", "unknown\n");
  root.Write("/sys/class/net/eth8/operstate", "down\n");
  root.Write("/sys/class/infiniband/mlx5_0/node_desc", "x\n");
  root.Write("/proc/cpuinfo", "processor : 0\nmodel name\t: A Processor 9000\n");
  root.Write("/proc/loadavg", "1.50 1.00 0.50 1/100 42\n");
  const MachineFacts facts = GatherMachineFacts(root.path());
  EXPECT_FALSE(facts.host.empty());
  EXPECT_EQ(facts.memory_limit, int64_t{8} << 30) << "the parent's";
  EXPECT_EQ(facts.memory_limit_used, int64_t{1} << 30);
  EXPECT_EQ(facts.core_quota, 1.5);
  EXPECT_EQ(facts.memory_total, 100 * 1024);
  EXPECT_EQ(facts.memory_available, 50 * 1024);
  EXPECT_EQ(facts.swap_used, 6 * 1024);
  EXPECT_EQ(facts.huge_pages, "never");
  EXPECT_EQ(facts.governor, "powersave");
  EXPECT_EQ(facts.numa_nodes, 2);
  EXPECT_EQ(facts.numa_nodes_allowed, 1);
  EXPECT_THAT(facts.interfaces, ElementsAre("eth7"));
  EXPECT_THAT(facts.fabric, ElementsAre("mlx5_0"));
  EXPECT_EQ(facts.cpu, "A Processor 9000");
  EXPECT_EQ(facts.load, 1.5);
  EXPECT_EQ(facts.shm_free, -1);
}

TEST(Facts, OfAMachineWithControlGroups1) {
  const Root root;
  root.Write("/proc/self/cgroup", "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n");
  root.Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.Write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "4294967296\n");
  root.Write("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "4096\n");
  root.Write("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "400000\n");
  root.Write("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  root.Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  const MachineFacts facts = GatherMachineFacts(root.path());
  EXPECT_EQ(facts.memory_limit, int64_t{4} << 30);
  EXPECT_EQ(facts.memory_limit_used, 4096);
  EXPECT_EQ(facts.core_quota, 4);
}

TEST(Facts, OfAnEmptyMachine) {
  const Root root;
  const MachineFacts facts = GatherMachineFacts(root.path());
  EXPECT_EQ(facts.memory_limit, 0);
  EXPECT_EQ(facts.core_quota, 0);
  EXPECT_EQ(facts.numa_nodes, 1);
  EXPECT_GE(facts.cores, 1);
}

TEST(Facts, TravelAsJson) {
  RankFacts facts;
  facts.rank = 3;
  facts.program = GatherProgramFacts();
  facts.machine = GatherMachineFacts();
  facts.core_flops = 1e11;
  const nlohmann::json json = facts;
  EXPECT_EQ(nlohmann::json(json.get<RankFacts>()), json);
  EXPECT_EQ(facts.program.versions.count("LibTorch"), 1u);
  EXPECT_EQ(facts.program.openmp_files.size(), 1u) << "one OpenMP runtime in this very program";
  EXPECT_EQ(facts.program.mpi_thread_level, "") << "MPI is not started";
}

}  // namespace
}  // namespace orthant::doctor
