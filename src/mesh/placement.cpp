#include "orthant/mesh/placement.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

// The axes in the order in which they should be near: nearest first.
std::vector<Axis> Nearness(const Mesh& mesh) {
  std::vector<Axis> axes = {Axis::kTensor, Axis::kSequence};
  for (auto axis = mesh.order().rbegin(); axis != mesh.order().rend(); ++axis) {
    if (*axis != Axis::kTensor && *axis != Axis::kSequence) axes.push_back(*axis);
  }
  return axes;
}

// The ranks of the mesh with the nearest axes running fastest.
std::vector<int> RanksByNearness(const Mesh& mesh) {
  const std::vector<Axis> axes = Nearness(mesh);
  std::vector<int> ranks(static_cast<size_t>(mesh.world()));
  for (int64_t i = 0; i < mesh.world(); ++i) {
    Coordinate at;
    int64_t rest = i;
    for (const Axis axis : axes) {
      at[axis] = static_cast<int>(rest % mesh.degrees()[axis]);
      rest /= mesh.degrees()[axis];
    }
    ranks[static_cast<size_t>(i)] = static_cast<int>(mesh.RankAt(at));
  }
  return ranks;
}

// Processes that have no rank yet, by host.
class Free {
 public:
  explicit Free(const std::vector<int>& host_of_process) {
    std::map<int, size_t> known;
    for (size_t process = 0; process < host_of_process.size(); ++process) {
      const auto [at, added] = known.emplace(host_of_process[process], hosts_.size());
      if (added) hosts_.emplace_back();
      hosts_[at->second].push_back(static_cast<int>(process));
    }
    taken_.assign(hosts_.size(), 0);
  }

  // Takes `count` processes of one host, the first that has as many, for places[from ...]; false: none has.
  // Asked for the same count again and again, it looks at each host once.
  bool Take(size_t count, size_t from, std::vector<int>* places) {
    if (count != count_) host_ = 0;
    count_ = count;
    while (host_ < hosts_.size() && hosts_[host_].size() - taken_[host_] < count) ++host_;
    if (host_ == hosts_.size()) return false;
    for (size_t i = 0; i < count; ++i) (*places)[from + i] = hosts_[host_][taken_[host_]++];
    return true;
  }

 private:
  std::vector<std::vector<int>> hosts_;
  std::vector<size_t> taken_;
  size_t host_ = 0, count_ = 0;
};

// Exchanges blocks of `size` places, the one that holds place `a` and the one that holds `b`.
void SwapBlocks(std::vector<int>* places, size_t size, size_t a, size_t b) {
  a = a / size * size;
  b = b / size * size;
  if (a == b) return;
  std::swap_ranges(places->begin() + static_cast<std::ptrdiff_t>(a),
                   places->begin() + static_cast<std::ptrdiff_t>(a + size),
                   places->begin() + static_cast<std::ptrdiff_t>(b));
}

// Moves process 0 to place 0 by exchanging whole blocks of tensor x sequence ranks, then whole tensor groups,
// then positions in all tensor groups of the block alike, so that no group gains or loses a host.
void PutFirstFirst(size_t tensor, size_t sequence, std::vector<int>* places) {
  const auto where = [&] {
    return static_cast<size_t>(std::find(places->begin(), places->end(), 0) - places->begin());
  };
  SwapBlocks(places, tensor * sequence, where(), 0);
  SwapBlocks(places, tensor, where(), 0);
  const size_t column = where();
  for (size_t row = 0; row < sequence; ++row)
    std::swap((*places)[row * tensor], (*places)[row * tensor + column]);
}

std::vector<int> Arrange(const Mesh& mesh, const std::vector<int>& host_of_process) {
  const auto tensor = static_cast<size_t>(mesh.degrees().tensor);
  const auto sequence = static_cast<size_t>(mesh.degrees().sequence);
  std::vector<int> places(host_of_process.size(), -1);
  Free free(host_of_process);
  for (const size_t size : {tensor * sequence, tensor, size_t{1}}) {
    for (size_t from = 0; from < places.size(); from += size) {
      if (places[from] < 0 && !free.Take(size, from, &places)) break;
    }
  }
  PutFirstFirst(tensor, sequence, &places);
  std::vector<int> process_of_rank(places.size());
  const std::vector<int> ranks = RanksByNearness(mesh);
  for (size_t i = 0; i < places.size(); ++i) process_of_rank[static_cast<size_t>(ranks[i])] = places[i];
  return process_of_rank;
}

// Links that cross hosts, of the nearest axis first.
std::vector<int64_t> Costs(const Mesh& mesh, const std::vector<int>& process_of_rank,
                           const std::vector<int>& host_of_process) {
  std::vector<int> hosts;
  for (const int process : process_of_rank) hosts.push_back(host_of_process[static_cast<size_t>(process)]);
  const std::array<Crossing, kAxisCount> crossings = FindCrossings(mesh, hosts);
  std::vector<int64_t> costs;
  for (const Axis axis : Nearness(mesh)) costs.push_back(crossings[static_cast<size_t>(axis)].links);
  return costs;
}

}  // namespace

std::array<Crossing, kAxisCount> FindCrossings(const Mesh& mesh, const std::vector<int>& host_of_rank) {
  if (static_cast<int64_t>(host_of_rank.size()) != mesh.world()) {
    throw std::invalid_argument(
        absl::StrCat(host_of_rank.size(), " hosts for the ", mesh.world(), " ranks of a mesh"));
  }
  const auto host = [&](int64_t rank) { return host_of_rank[static_cast<size_t>(rank)]; };
  std::array<Crossing, kAxisCount> result;
  for (const Axis axis : kAxes) {
    Crossing& found = result[static_cast<size_t>(axis)];
    if (mesh.degrees()[axis] == 1) continue;
    for (int64_t rank = 0; rank < mesh.world(); ++rank) {
      if (mesh.CoordinateOf(rank)[axis] != 0) continue;
      const Group group = mesh.GroupOf(rank, {axis});
      ++found.groups;
      bool crosses = false;
      for (int64_t i = 1; i < group.size(); ++i) {
        if (host(group.rank(i)) != host(group.rank(i - 1))) ++found.links;
        crosses = crosses || host(group.rank(i)) != host(rank);
      }
      if (!crosses) continue;
      ++found.crossing;
      if (found.example < 0) found.example = rank;
    }
  }
  return result;
}

std::vector<int> NumberHosts(const std::vector<std::string>& hosts) {
  std::map<std::string, int> known;
  std::vector<int> numbers;
  for (const std::string& host : hosts)
    numbers.push_back(known.emplace(host, static_cast<int>(known.size())).first->second);
  return numbers;
}

std::vector<int> PlaceByHost(const Mesh& mesh, const std::vector<int>& host_of_process) {
  std::vector<int> launched(host_of_process.size());
  std::iota(launched.begin(), launched.end(), 0);
  if (std::adjacent_find(host_of_process.begin(), host_of_process.end(), std::not_equal_to<>()) ==
      host_of_process.end()) {
    return launched;
  }
  std::vector<int> arranged = Arrange(mesh, host_of_process);
  return Costs(mesh, arranged, host_of_process) < Costs(mesh, launched, host_of_process) ? arranged
                                                                                         : launched;
}

}  // namespace orthant
