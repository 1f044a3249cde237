// Survey: everything that was gathered and measured on all ranks, on the one that judges it.
#pragma once

#include <string>
#include <vector>

#include "orthant/doctor/check.h"
#include "orthant/doctor/facts.h"
#include "orthant/doctor/links.h"

namespace orthant::doctor {

struct HostGroup {
  std::string name;        // of the host; "node7 (2)" when another machine has the same name
  std::vector<int> ranks;  // ascending
};

struct Survey {
  std::vector<RankFacts> ranks;
  std::vector<HostGroup> hosts;  // by their first rank
  bool launched = false;         // by mpirun, srun, ...: MPI runs

  // Links between hosts when there are several, else between ranks.
  std::vector<Link> links;
  std::vector<std::string> nodes;  // names of their ends

  std::string folder;            // in which files were written
  std::vector<DiskSpeed> disks;  // of that folder, by host
  std::vector<int> blind;        // ranks that did not see rank 0's file there

  bool between_hosts() const { return hosts.size() > 1; }
  const RankFacts& FirstOf(const HostGroup& host) const {
    return ranks[static_cast<size_t>(host.ranks.front())];
  }
};

// Ranks by host: a host is its name and the machine that runs it.
std::vector<HostGroup> GroupHosts(const std::vector<RankFacts>& ranks);

// "h1, h2, h3 and 5 more"; "none" of none.
std::string ListNames(const std::vector<std::string>& names, size_t most = 6);

// Every check of a survey, in the order of docs/doctor.md. Pure.
std::vector<Check> Judge(const Survey& survey);
// Its parts.
void JudgeProgram(const Survey& survey, std::vector<Check>* checks);  // libraries, MPI, devices, NCCL
void JudgeHosts(const Survey& survey, std::vector<Check>* checks);    // names, clocks, what differs
void JudgeMachine(const Survey& survey, std::vector<Check>* checks);  // cores, threads, memory, limits
void JudgeSpeeds(const Survey& survey, std::vector<Check>* checks);   // cores, memory, links: the odd one out
void JudgeFolder(const Survey& survey, std::vector<Check>* checks);   // disk, visibility

nlohmann::ordered_json FactsJson(const Survey& survey);

}  // namespace orthant::doctor
