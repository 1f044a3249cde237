// What the pictures of a mesh are made of: a heading, and a cell for each rank.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "orthant/mesh/mesh.h"

namespace orthant {

// "16 ranks: pipeline=2 > data=2 > sequence=2 > tensor=2 (outermost first)", with its line end.
std::string MapHeading(const Mesh& mesh);

// "12 P1 D1 S0 T0": rank and position along the axes that have more than one, outermost first; all of one
// width.
class MapCells {
 public:
  // For ranks below `shown`; all of the mesh's when it is 0.
  explicit MapCells(const Mesh& mesh, int64_t shown = 0);
  std::string Of(int64_t rank) const;

 private:
  std::string Position(int64_t rank) const;

  const Mesh& mesh_;
  int rank_width_ = 1, width_ = 0;
};

// Adds a row, its cells apart by bars, without trailing blanks.
void AppendMapRow(const std::string& title, const std::vector<std::string>& cells, std::string* map);

}  // namespace orthant
