// A survey in which all is well: tests spoil one thing at a time.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "orthant/doctor/survey.h"

namespace orthant::doctor {

inline Survey HealthySurvey(int hosts, int ranks_per_host) {
  Survey survey;
  survey.launched = true;
  survey.folder = "/scratch/run";
  for (int i = 0; i < hosts * ranks_per_host; ++i) {
    const int host = i / ranks_per_host;
    RankFacts rank;
    rank.rank = i;
    rank.pid = 100 + i;
    rank.program.versions = {{"Orthant", "0.1.0"}, {"LibTorch", "2.11.0"}, {"kernel", "6.1"}};
    rank.program.mpi = "Open MPI v4.1.4";
    rank.program.mpi_thread_level = "multiple";
    rank.program.mpi_components = {"btl/self", "btl/tcp", "pml/ob1"};
    rank.program.openmp_files = {"/opt/torch/libgomp-1.so.1"};
    rank.program.mpi_files = {"/usr/lib/libmpi.so.40"};
    MachineFacts& machine = rank.machine;
    machine.host = "h" + std::to_string(host + 1);
    machine.boot = "boot" + std::to_string(host);
    machine.addresses = {"10.0.0." + std::to_string(host + 1)};
    machine.interfaces = {"eth0"};
    machine.cpu = "a processor";
    machine.cores = ranks_per_host;
    for (int core = 0; core < ranks_per_host; ++core) machine.cores_allowed.push_back(core);
    machine.huge_pages = "madvise";
    machine.memory_total = int64_t{64} << 30;
    machine.memory_available = int64_t{60} << 30;
    machine.shm_free = int64_t{32} << 30;
    machine.open_files = 1 << 20;
    rank.core_flops = 100e9 + 1e8 * i;
    rank.core_share = 0.99;
    rank.copy_bytes = 8e9 + 1e7 * i;
    survey.ranks.push_back(std::move(rank));
  }
  survey.hosts = GroupHosts(survey.ranks);
  const int nodes = hosts > 1 ? hosts : ranks_per_host;
  for (int node = 0; node < nodes; ++node)
    survey.nodes.push_back(hosts > 1 ? survey.hosts[static_cast<size_t>(node)].name
                                     : "rank " + std::to_string(node));
  for (const auto& round : PairRounds(nodes)) {
    for (const auto& [a, b] : round) {
      survey.links.push_back({.a = a,
                              .b = b,
                              .latency = 20e-6 + 1e-6 * (a + b),
                              .median_latency = 30e-6,
                              .bandwidth = 10e9,
                              .clock_offset = 1e-4 * (b - a),
                              .clock_error = 2e-5});
    }
  }
  for (int host = 0; host < hosts; ++host)
    survey.disks.push_back({.write = 1e9, .read = 2e9, .direct = true, .error = ""});
  return survey;
}

inline Check CheckNamed(const Survey& survey, const std::string& name) {
  for (const Check& check : Judge(survey)) {
    if (check.name == name) return check;
  }
  return {"there is no check " + name, State::kFail, "", ""};
}

// Every check but the named ones is ok.
inline std::string NotOkBeside(const Survey& survey, const std::vector<std::string>& names) {
  std::string text;
  for (const Check& check : Judge(survey)) {
    if (check.state != State::kOk && std::find(names.begin(), names.end(), check.name) == names.end())
      text += check.name + ": " + check.text + "\n";
  }
  return text;
}

}  // namespace orthant::doctor
