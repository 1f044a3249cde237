// What is told of groups that cross hosts, and the picture of ranks on hosts.
#include <algorithm>
#include <map>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "mesh/map_cells.h"
#include "orthant/mesh/placement.h"

namespace orthant {
namespace {

// Ranks on each host, by its number.
std::vector<int64_t> CountByHost(const std::vector<int>& hosts) {
  std::vector<int64_t> counts(static_cast<size_t>(*std::max_element(hosts.begin(), hosts.end())) + 1, 0);
  for (const int host : hosts) ++counts[static_cast<size_t>(host)];
  return counts;
}

bool Crosses(const Mesh& mesh, const std::vector<int>& hosts, Axis axis) {
  return FindCrossings(mesh, hosts)[static_cast<size_t>(axis)].crossing > 0;
}

// The largest degree of `axis` whose groups (tensor x sequence together, for sequence) fit every host evenly.
int64_t FittingDegree(const Degrees& degrees, Axis axis, int64_t common) {
  if (axis == Axis::kTensor) return std::gcd(int64_t{degrees.tensor}, common);
  return common % degrees.tensor != 0 ? 1 : std::gcd(int64_t{degrees.sequence}, common / degrees.tensor);
}

std::string Remedy(const Mesh& mesh, const std::vector<int>& hosts, Axis axis, bool by_host) {
  if (!by_host) {
    std::vector<int> placed;
    for (const int rank : PlaceByHost(mesh, hosts)) placed.push_back(hosts[static_cast<size_t>(rank)]);
    if (!Crosses(mesh, placed, axis)) return "parallel.placement=by_host avoids it";
    const Mesh usual(mesh.degrees());
    if (!Crosses(usual, hosts, axis)) return "the default parallel.order avoids it";
  }
  const std::vector<int64_t> counts = CountByHost(hosts);
  int64_t common = 0;
  for (const int64_t count : counts) common = std::gcd(common, count);
  const Degrees& degrees = mesh.degrees();
  const int64_t fits = FittingDegree(degrees, axis, common);
  const std::string name(AxisName(axis));
  const bool even = std::adjacent_find(counts.begin(), counts.end(), std::not_equal_to<>()) == counts.end();
  const std::string ranks =
      even ? absl::StrCat("hosts of ", counts.front(), counts.front() == 1 ? " rank" : " ranks")
           : absl::StrCat("hosts of ", *std::min_element(counts.begin(), counts.end()), " to ",
                          *std::max_element(counts.begin(), counts.end()), " ranks");
  return absl::StrCat(
      ranks, " hold no more than parallel.", name, "=", fits,
      ", with parallel.pipeline=", degrees.pipeline * (degrees[axis] / fits),
      " or parallel.data=", degrees.data * (degrees[axis] / fits), "; or put ",
      axis == Axis::kTensor ? int64_t{degrees.tensor} : int64_t{degrees.tensor} * degrees.sequence,
      " ranks on each host");
}

}  // namespace

std::vector<std::string> PlacementNotes(const Mesh& mesh, const std::vector<std::string>& hosts,
                                        bool by_host) {
  const std::vector<int> numbers = NumberHosts(hosts);
  const std::array<Crossing, kAxisCount> crossings = FindCrossings(mesh, numbers);
  std::vector<std::string> notes;
  for (const Axis axis : {Axis::kTensor, Axis::kSequence}) {
    const Crossing& found = crossings[static_cast<size_t>(axis)];
    if (found.crossing == 0) continue;
    std::vector<std::string> members;
    const Group group = mesh.GroupOf(found.example, {axis});
    for (int64_t i = 0; i < std::min<int64_t>(group.size(), 4); ++i) {
      members.push_back(
          absl::StrCat("rank ", group.rank(i), " on ", hosts[static_cast<size_t>(group.rank(i))]));
    }
    if (group.size() > 4) members.push_back("...");
    notes.push_back(absl::StrCat(found.crossing, " of ", found.groups, " ", std::string(AxisName(axis)),
                                 " groups cross hosts (", absl::StrJoin(members, ", "),
                                 "): every layer waits for the network; ",
                                 Remedy(mesh, numbers, axis, by_host)));
  }
  return notes;
}

std::string HostMap(const Mesh& mesh, const std::vector<std::string>& hosts, int64_t max_ranks) {
  constexpr size_t kPerRow = 8;
  const std::vector<int> numbers = NumberHosts(hosts);
  std::vector<std::vector<int64_t>> ranks_of(CountByHost(numbers).size());
  size_t name_width = 0;
  for (size_t rank = 0; rank < numbers.size(); ++rank) {
    ranks_of[static_cast<size_t>(numbers[rank])].push_back(static_cast<int64_t>(rank));
    name_width = std::max(name_width, hosts[rank].size());
  }
  const MapCells cells(mesh);
  std::string map = MapHeading(mesh);
  int64_t shown = 0;
  size_t host = 0;
  for (; host < ranks_of.size() && shown < max_ranks; ++host) {
    const std::vector<int64_t>& ranks = ranks_of[host];
    for (size_t from = 0; from < ranks.size() && shown < max_ranks; from += kPerRow) {
      std::vector<std::string> row;
      for (size_t i = from; i < std::min(from + kPerRow, ranks.size()) && shown < max_ranks; ++i, ++shown)
        row.push_back(cells.Of(ranks[i]));
      const std::string& name = hosts[static_cast<size_t>(ranks.front())];
      AppendMapRow(absl::StrFormat("%-*s | ", static_cast<int>(name_width), from == 0 ? name : ""), row,
                   &map);
    }
  }
  if (shown < mesh.world()) {
    absl::StrAppend(&map, "... and ", mesh.world() - shown, " more ranks, on ", ranks_of.size(),
                    " hosts in all\n");
  }
  return map;
}

}  // namespace orthant
