// How a mesh prints itself.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "orthant/mesh/mesh.h"

namespace orthant {
namespace {

// "P0 D1 T3": the axes that have more than one position, outermost first.
std::string Cell(const Mesh& mesh, int64_t rank) {
  const Coordinate at = mesh.CoordinateOf(rank);
  std::vector<std::string> parts;
  for (Axis axis : mesh.order()) {
    if (mesh.degrees()[axis] > 1) parts.push_back(absl::StrFormat("%c%d", AxisLetter(axis), at[axis]));
  }
  return absl::StrJoin(parts, " ");
}

std::string Heading(const Mesh& mesh) {
  std::vector<std::string> order;
  for (Axis axis : mesh.order())
    order.push_back(absl::StrCat(std::string(AxisName(axis)), "=", mesh.degrees()[axis]));
  return absl::StrCat(mesh.world(), mesh.world() == 1 ? " rank: " : " ranks: ", absl::StrJoin(order, " > "),
                      " (outermost first)\n");
}

}  // namespace

std::string Mesh::Describe(int64_t rank) const {
  const Coordinate at = CoordinateOf(rank);
  return absl::StrFormat("D%d-T%d-P%d-S%d rank %d", at.data, at.tensor, at.pipeline, at.sequence, rank);
}

std::string Mesh::Map(int ranks_per_host, int64_t max_ranks) const {
  const bool hosts = ranks_per_host > 0;
  // Without hosts a row is one group of the innermost axis: the ranks that stand nearest to one another.
  const int64_t per_row = hosts ? ranks_per_host : degrees_[order_.back()];
  const int64_t shown = std::clamp<int64_t>(max_ranks, 1, world_);
  const int rank_width = static_cast<int>(absl::StrCat(shown - 1).size());
  size_t cell_width = 0;
  for (int64_t rank = 0; rank < shown; ++rank) cell_width = std::max(cell_width, Cell(*this, rank).size());

  std::string map = Heading(*this);
  const int row_width = static_cast<int>(absl::StrCat((shown - 1) / per_row).size());
  for (int64_t first = 0; first < shown; first += per_row) {
    std::vector<std::string> cells;
    for (int64_t rank = first; rank < std::min(first + per_row, shown); ++rank) {
      cells.push_back(
          absl::StrFormat("%*d %-*s", rank_width, rank, static_cast<int>(cell_width), Cell(*this, rank)));
    }
    const std::string row = absl::StrCat(
        hosts ? absl::StrFormat("host %*d | ", row_width, first / per_row) : "", absl::StrJoin(cells, " | "));
    absl::StrAppend(&map, row.substr(0, row.find_last_not_of(' ') + 1), "\n");
  }
  if (shown < world_) {
    absl::StrAppend(&map, "... and ", world_ - shown, " more ranks");
    if (hosts) absl::StrAppend(&map, ", on ", (world_ + per_row - 1) / per_row, " hosts in all");
    absl::StrAppend(&map, "\n");
  }
  return map;
}

}  // namespace orthant
