#include "orthant/launch/cluster_config.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/launch/queue.h"

namespace orthant {
namespace {

constexpr const char* kClusters = "configs/clusters";

void DescribeNode(Fields& f, ClusterConfig::Node& n) {
  f.Integer("gpus", &n.gpus).AtLeast(0).Doc("Devices of a node; each is one rank's, unless told otherwise.");
  f.Text("gpu", &n.gpu).Doc("What they are.");
  f.Bytes("gpu_memory", &n.gpu_memory).Doc("Memory of one device.");
  f.Integer("cores", &n.cores).AtLeast(0).Doc("Cores of a node, hardware threads not counted; 0: as found.");
  f.Integer("threads_per_core", &n.threads_per_core).AtLeast(1).Doc("Hardware threads of a core.");
  f.Bytes("memory", &n.memory).Doc("Memory of a node.");
  f.Texts("device_cores", &n.device_cores)
      .Doc("The cores near each device, in the devices' order, as \"24-31\"; empty: as found in /sys.");
  f.Integer("nics", &n.nics).AtLeast(0).Doc("Network adapters of a node.");
  f.Text("nic", &n.nic).Doc("What they are.");
}

void DescribeLaunch(Fields& f, ClusterConfig::Launch& l) {
  f.Choice("launcher", &l.launcher, {"auto", "srun", "openmpi", "pals", "mpich", "none"})
      .Doc("What starts the ranks; `auto`: by the scheduler and what is on PATH.");
  f.Text("program", &l.program).Doc("The launcher's program; empty: srun, mpirun or mpiexec.");
  f.Text("mpi", &l.mpi).Doc("`srun --mpi=`; empty: pmix or cray_shasta, whichever `srun --mpi=list` has.");
  f.Bool("bind", &l.bind).Doc("Whether ranks are bound to cores.");
  f.Texts("arguments", &l.arguments).Doc("Further arguments of the launcher, in front of the program.");
  f.Texts("environment", &l.environment)
      .Doc("NAME=VALUE for every rank; a variable that the user has set already stays.");
}

void DescribeSubmit(Fields& f, ClusterConfig::Submit& s) {
  f.Text("account", &s.account).Doc("The project that is charged; most users give --account.");
  f.Text("queue", &s.queue).Doc("Queue (PBS), partition (SLURM).");
  f.Text("select", &s.select)
      .Doc("PBS: further parts of a chunk of `-l select`, as \"system=polaris\" or \"ncpus=32:ngpus=4\".");
  f.Texts("options", &s.options)
      .Doc("Further lines of the batch script's head, without #SBATCH or #PBS, as \"--constraint=gpu\".");
  f.Texts("setup", &s.setup).Doc("Shell lines before the work, as \"module load cray-mpich\".");
  f.Texts("queues", &s.queues)
      .Doc(
          "Limits that are checked before a job is submitted, as \"debug nodes=1-2 time=1:00:00\"; the last "
          "part "
          "is the most.");
}

void DescribePerformance(Fields& f, ClusterConfig::Performance& p) {
  f.Real("peak_tflops", &p.peak_tflops)
      .AtLeast(0)
      .Unit("TFLOP/s")
      .Doc("Most that a device can do, in dense 16-bit products.");
  f.Integer("multiprocessors", &p.multiprocessors)
      .AtLeast(0)
      .Doc("Parts of a device that each take a tile of a product; 0: tiles are not counted.");
  f.Real("memory_bandwidth", &p.memory_bandwidth).AtLeast(0).Unit("GB/s").Doc("Of a device's memory.");
  f.Real("node_bandwidth", &p.node_bandwidth)
      .AtLeast(0)
      .Unit("GB/s")
      .Doc("Between a device and the others of its node, one way.");
  f.Real("network_bandwidth", &p.network_bandwidth)
      .AtLeast(0)
      .Unit("GB/s")
      .Doc("Between a node and the others, all adapters, one way.");
  f.Real("host_bandwidth", &p.host_bandwidth)
      .AtLeast(0)
      .Unit("GB/s")
      .Doc("Between a device and its host's memory, one way: what offload has.");
  f.Text("calibration", &p.calibration)
      .Doc(
          "What was measured of the software, for `orthant plan`: a name in configs/calibrations, or a "
          "path.");
  f.Texts("related", &p.related)
      .Doc(
          "Further clusters, for measured rows (tests/benchmarks) that this one's facts do not fit: of one "
          "node, "
          "of another device.");
}

absl::Status Wrong(const std::string& key, const std::string& value, const std::string& rule) {
  return ConfigurationError(absl::StrCat(key, ": '", value, "' ", rule));
}

}  // namespace

void Describe(Fields& fields, ClusterConfig& c) {
  fields.Section("cluster", "Which machine it is.", [&c](Fields& f) {
    f.Text("name", &c.name).Required().Doc("The cluster's name.");
    f.Choice("scheduler", &c.scheduler, {"auto", "slurm", "pbs", "none"})
        .Doc("What hands out the nodes; `auto`: by the environment (and sbatch for `orthant submit`).");
    f.Bool("tried", &c.tried)
        .Doc("Whether this file has been used on the machine itself; if not, `orthant launch` says so.");
  });
  fields.Section("node", "What a node has.", [&c](Fields& f) { DescribeNode(f, c.node); });
  fields.Section("launch", "How ranks are started.", [&c](Fields& f) { DescribeLaunch(f, c.launch); });
  fields.Section("submit", "What a batch script needs.", [&c](Fields& f) { DescribeSubmit(f, c.submit); });
  fields.Section("performance", "How fast it is, for `orthant plan`; 0: not known.",
                 [&c](Fields& f) { DescribePerformance(f, c.performance); });
}

std::vector<Cores> ClusterConfig::DeviceCores() const {
  std::vector<Cores> all;
  for (const std::string& text : node.device_cores) all.push_back(ParseCores(text).value_or(Cores()));
  return all;
}

absl::Status CheckCluster(const ClusterConfig& config) {
  for (const std::string& text : config.node.device_cores) {
    if (!ParseCores(text).ok())
      return Wrong("node.device_cores", text, "is not a set of cores, as 0-7 or 0-3,8");
  }
  const size_t listed = config.node.device_cores.size();
  if (listed > 0 && listed != static_cast<size_t>(config.node.gpus)) {
    return Wrong("node.device_cores", absl::StrCat(listed, " entries"),
                 absl::StrCat("must be one for each of node.gpus = ", config.node.gpus));
  }
  for (const std::string& text : config.launch.environment) {
    if (text.find('=') == std::string::npos || text[0] == '=') {
      return Wrong("launch.environment", text, "is not NAME=VALUE");
    }
  }
  for (const std::string& text : config.submit.queues) {
    const absl::StatusOr<QueueLimit> limit = ParseQueueLimit(text);
    if (!limit.ok()) return Annotate(limit.status(), "submit.queues");
  }
  return absl::OkStatus();
}

absl::StatusOr<ClusterConfig> LoadCluster(const std::string& path) {
  ClusterConfig config;
  const absl::StatusOr<LoadedConfig> loaded =
      LoadConfig(path, {}, [&config](Fields& fields) { Describe(fields, config); });
  if (!loaded.ok()) return loaded.status();
  if (const absl::Status checked = CheckCluster(config); !checked.ok()) return Annotate(checked, path);
  return config;
}

std::string ClusterReference() {
  ClusterConfig config;
  const std::string reference = ConfigReference([&config](Fields& fields) { Describe(fields, config); });
  // The sections, without the page's head, which is about a run's YAML.
  return absl::StrCat(
      "# Cluster files\n\n"
      "Generated by `orthant config reference --clusters`; do not edit.\n\n"
      "Every key of `configs/clusters/NAME.yaml`, which `orthant launch --cluster NAME` and `orthant submit "
      "--cluster NAME`\nread ([cluster.md](cluster.md)), and `orthant plan` ([planning.md](planning.md)). "
      "Unknown and duplicate keys are errors; `include: "
      "[FILE, ...]` reads other files first.\n\n",
      reference.substr(reference.find("## ")));
}

std::vector<std::string> SharedFolders(const std::string& below, const std::string& self) {
  const std::filesystem::path binary = std::filesystem::path(self).parent_path();
  std::vector<std::string> folders;
  // As given; build/PRESET/orthant of a source tree; bin/orthant of an installation.
  for (const std::filesystem::path& top :
       {std::filesystem::path(), binary / "../..", binary / "../share/orthant"}) {
    const std::string folder = (top / below).lexically_normal().string();
    if (IsFolder(folder)) folders.push_back(folder);
  }
  return folders;
}

std::string FindShared(const std::string& below, const std::string& self) {
  const std::filesystem::path path(below);
  for (const std::string& folder : SharedFolders(path.parent_path().string(), self)) {
    const std::string file = (std::filesystem::path(folder) / path.filename()).string();
    if (FileExists(file)) return file;
  }
  return "";
}

absl::StatusOr<std::string> FindCluster(const std::string& name, const std::string& self,
                                        const std::string& given) {
  if (absl::StrContains(name, '/') || absl::EndsWith(name, ".yaml")) {
    if (FileExists(name)) return name;
    return ConfigurationError(absl::StrCat(given, name, ": there is no such file"));
  }
  const std::string found = FindShared(absl::StrCat(kClusters, "/", name, ".yaml"), self);
  if (!found.empty()) return found;
  std::set<std::string> known;
  for (const std::string& folder : SharedFolders(kClusters, self)) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->path().extension() == ".yaml") known.insert(entry->path().stem().string());
    }
  }
  const std::vector<std::string> names(known.begin(), known.end());
  const std::optional<std::string> meant = ClosestMatch(name, names);
  return ConfigurationError(absl::StrCat(
      given, name, ": no such cluster; ",
      meant.has_value() ? absl::StrCat("did you mean ", *meant, "? ") : "",
      names.empty() ? absl::StrCat("there is no folder ", kClusters, " here; give the path of a file")
                    : absl::StrCat("there are: ", JoinWords(names), "; or give the path of a file")));
}

}  // namespace orthant
