#include "orthant/plan/machine.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr const char* kCalibrations = "configs/calibrations";
constexpr double kGiga = 1e9;

// A name in configs/calibrations, or a path beside the cluster's file.
absl::StatusOr<std::string> FindCalibration(const std::string& value, const std::string& cluster_path,
                                            const std::string& self) {
  std::string found;
  if (absl::EndsWith(value, ".yaml")) {
    const std::string path = (std::filesystem::path(cluster_path).parent_path() / value).string();
    if (FileExists(path)) found = path;
  } else {
    found = FindShared(absl::StrCat(kCalibrations, "/", value, ".yaml"), self);
  }
  if (!found.empty()) return found;
  return ConfigurationError(
      absl::StrCat(cluster_path, ": performance.calibration = ", value, ": there is no such file in ",
                   kCalibrations, " or beside the cluster's file; `orthant bench calibrate` makes one"));
}

absl::Status CheckFacts(const ClusterConfig& c, const std::string& path) {
  const ClusterConfig::Performance& p = c.performance;
  std::vector<std::string> missing;
  if (c.node.gpus == 0) missing.push_back("node.gpus");
  if (p.peak_tflops == 0) missing.push_back("performance.peak_tflops");
  if (p.memory_bandwidth == 0) missing.push_back("performance.memory_bandwidth");
  if (p.node_bandwidth == 0 && c.node.gpus > 1) missing.push_back("performance.node_bandwidth");
  if (p.calibration.empty()) missing.push_back("performance.calibration");
  if (missing.empty()) return absl::OkStatus();
  return ConfigurationError(absl::StrCat(path, ": a plan needs ", absl::StrJoin(missing, ", "),
                                         ", which this cluster's file does not say; fill in what is known "
                                         "of the machine (docs/planning.md), or measure this one with "
                                         "`orthant bench calibrate --output FILE.yaml`"));
}

}  // namespace

absl::StatusOr<Machine> LoadMachine(const std::string& name, const std::string& self,
                                    const std::string& given) {
  const absl::StatusOr<std::string> path = FindCluster(name, self, given);
  if (!path.ok()) return path.status();
  const absl::StatusOr<ClusterConfig> cluster = LoadCluster(*path);
  if (!cluster.ok()) return cluster.status();
  if (const absl::Status facts = CheckFacts(*cluster, *path); !facts.ok()) return facts;
  const absl::StatusOr<std::string> file = FindCalibration(cluster->performance.calibration, *path, self);
  if (!file.ok()) return file.status();
  absl::StatusOr<Calibration> calibration = LoadCalibration(*file);
  if (!calibration.ok()) return calibration.status();

  const ClusterConfig::Performance& p = cluster->performance;
  Machine m;
  m.name = cluster->name;
  m.device = cluster->node.gpu;
  m.node_ranks = cluster->node.gpus;
  m.peak = p.peak_tflops * 1e12;
  m.multiprocessors = p.multiprocessors;
  m.memory_bytes = static_cast<double>(cluster->node.gpu_memory);
  m.memory_bandwidth = p.memory_bandwidth * kGiga;
  m.node_bandwidth = p.node_bandwidth * kGiga;
  m.network_bandwidth = p.network_bandwidth * kGiga;
  m.host_bandwidth = p.host_bandwidth * kGiga;
  m.calibration = *std::move(calibration);
  return m;
}

}  // namespace orthant
