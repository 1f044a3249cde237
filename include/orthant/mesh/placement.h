// Ranks on hosts: which groups cross hosts, and which process had better be which rank. Pure; linear in the
// number of ranks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "orthant/mesh/mesh.h"

namespace orthant {

// Of one axis: how many of its groups have members on several hosts, and how many neighbours along it are on
// different ones.
struct Crossing {
  int64_t groups = 0;    // of the axis; 0 when its degree is 1
  int64_t crossing = 0;  // of these, on more than one host
  int64_t links = 0;     // pairs of members next to each other in a group, on different hosts
  int64_t example = -1;  // the lowest rank of the first group that crosses; -1: none does
};

// By axis. host_of_rank: for each rank of the mesh anything that says which host it is on, equal for equal
// hosts.
std::array<Crossing, kAxisCount> FindCrossings(const Mesh& mesh, const std::vector<int>& host_of_rank);

// Numbers for names: equal for equal names, from 0 in the order in which they first appear.
std::vector<int> NumberHosts(const std::vector<std::string>& hosts);

// For each rank of the mesh the process that had better be it, when process i runs on host_of_process[i]:
// tensor groups lie within a host wherever they fit, then sequence groups, then the other axes, the innermost
// of the mesh's order first. Hosts may have different numbers of processes. Process 0 stays rank 0. As
// launched (0, 1, 2, ...) when nothing is gained.
std::vector<int> PlaceByHost(const Mesh& mesh, const std::vector<int>& host_of_process);

// What to tell of tensor and sequence groups that cross hosts, a line each, with what would avoid it: another
// placement, rank order or degrees. `hosts`: the name of each rank's host; `by_host`: ranks were placed by
// PlaceByHost. Nothing when no such group crosses.
std::vector<std::string> PlacementNotes(const Mesh& mesh, const std::vector<std::string>& hosts,
                                        bool by_host);

// A picture of the ranks with a row, or several, for each host; elided beyond max_ranks. `hosts` as above.
std::string HostMap(const Mesh& mesh, const std::vector<std::string>& hosts, int64_t max_ranks = 64);

}  // namespace orthant
