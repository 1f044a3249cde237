// How a mesh prints itself.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "mesh/map_cells.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

std::string MapHeading(const Mesh& mesh) {
  std::vector<std::string> order;
  for (Axis axis : mesh.order())
    order.push_back(absl::StrCat(std::string(AxisName(axis)), "=", mesh.degrees()[axis]));
  return absl::StrCat(mesh.world(), mesh.world() == 1 ? " rank: " : " ranks: ", absl::StrJoin(order, " > "),
                      " (outermost first)\n");
}

MapCells::MapCells(const Mesh& mesh, int64_t shown) : mesh_(mesh) {
  if (shown == 0) shown = mesh.world();
  rank_width_ = static_cast<int>(absl::StrCat(shown - 1).size());
  for (int64_t rank = 0; rank < shown; ++rank)
    width_ = std::max(width_, static_cast<int>(Position(rank).size()));
}

// "P0 D1 T3": the axes that have more than one position, outermost first.
std::string MapCells::Position(int64_t rank) const {
  const Coordinate at = mesh_.CoordinateOf(rank);
  std::vector<std::string> parts;
  for (Axis axis : mesh_.order()) {
    if (mesh_.degrees()[axis] > 1) parts.push_back(absl::StrFormat("%c%d", AxisLetter(axis), at[axis]));
  }
  return absl::StrJoin(parts, " ");
}

std::string MapCells::Of(int64_t rank) const {
  return absl::StrFormat("%*d %-*s", rank_width_, rank, width_, Position(rank));
}

void AppendMapRow(const std::string& title, const std::vector<std::string>& cells, std::string* map) {
  const std::string row = absl::StrCat(title, absl::StrJoin(cells, " | "));
  absl::StrAppend(map, row.substr(0, row.find_last_not_of(' ') + 1), "\n");
}

std::string Mesh::Describe(int64_t rank) const {
  const Coordinate at = CoordinateOf(rank);
  return absl::StrFormat("D%d-T%d-P%d-S%d rank %d", at.data, at.tensor, at.pipeline, at.sequence, rank);
}

std::string Mesh::Map(int ranks_per_host, int64_t max_ranks) const {
  const bool hosts = ranks_per_host > 0;
  // Without hosts a row is one group of the innermost axis: the ranks that stand nearest to one another.
  const int64_t per_row = hosts ? ranks_per_host : degrees_[order_.back()];
  const int64_t shown = std::clamp<int64_t>(max_ranks, 1, world_);
  const MapCells cells(*this, shown);

  std::string map = MapHeading(*this);
  const int row_width = static_cast<int>(absl::StrCat((shown - 1) / per_row).size());
  for (int64_t first = 0; first < shown; first += per_row) {
    std::vector<std::string> row;
    for (int64_t rank = first; rank < std::min(first + per_row, shown); ++rank) row.push_back(cells.Of(rank));
    AppendMapRow(hosts ? absl::StrFormat("host %*d | ", row_width, first / per_row) : "", row, &map);
  }
  if (shown < world_) {
    absl::StrAppend(&map, "... and ", world_ - shown, " more ranks");
    if (hosts) absl::StrAppend(&map, ", on ", (world_ + per_row - 1) / per_row, " hosts in all");
    absl::StrAppend(&map, "\n");
  }
  return map;
}

}  // namespace orthant
