// The mesh: which rank stands where, and which ranks form a group. Arithmetic only: no communicator, no
// allocation per rank, O(1) a query, so a million ranks cost as much as one.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/mesh/axis.h"

namespace orthant {

// Degrees along each axis, indexed by Axis.
struct Degrees {
  int data = 1, tensor = 1, pipeline = 1, sequence = 1;
  int operator[](Axis axis) const;
  int64_t world() const { return int64_t{1} * data * tensor * pipeline * sequence; }
  friend bool operator==(const Degrees&, const Degrees&) = default;
};
// "data=2 tensor=2 pipeline=1 sequence=4"
std::string ToString(const Degrees& degrees);

// Position along each axis.
struct Coordinate {
  int data = 0, tensor = 0, pipeline = 0, sequence = 0;
  int operator[](Axis axis) const;
  int& operator[](Axis axis);
  friend bool operator==(const Coordinate&, const Coordinate&) = default;
};

// A set of axes, as Axes{Axis::kData, Axis::kSequence}.
class Axes {
 public:
  Axes(std::initializer_list<Axis> axes);
  bool Has(Axis axis) const { return (bits_ >> static_cast<int>(axis)) & 1; }

 private:
  unsigned bits_ = 0;
};

// Rank order, outermost first; the default keeps tensor groups on neighbouring ranks.
using AxisOrder = std::array<Axis, kAxisCount>;
inline constexpr AxisOrder kDefaultOrder = {Axis::kPipeline, Axis::kData, Axis::kSequence, Axis::kTensor};

// The ranks that differ from a given rank only along some axes, as arithmetic: no list is stored.
class Group {
 public:
  int64_t size() const;
  int64_t self() const;               // index of the rank that asked
  int64_t rank(int64_t index) const;  // world rank of the index-th member; ascending
  std::vector<int> ranks() const;     // the members, written out

 private:
  friend class Mesh;
  Group() = default;

  // The axes along which members differ, outermost in rank order first: a member's index is a mixed-radix
  // number of these degrees, its rank is base_ plus the digits times the strides.
  int axes_ = 0;
  std::array<int64_t, kAxisCount> degree_ = {};
  std::array<int64_t, kAxisCount> stride_ = {};
  int64_t base_ = 0, self_ = 0, size_ = 1;
};

class Mesh {
 public:
  // Throws std::invalid_argument when a degree is below 1 or `order` is not a permutation of the axes: values
  // from a user go through MakeMesh (parallel_config.h), which says so in the user's words.
  explicit Mesh(const Degrees& degrees, const AxisOrder& order = kDefaultOrder);

  int64_t world() const;
  const Degrees& degrees() const;
  const AxisOrder& order() const { return order_; }
  // A rank outside 0 .. world()-1 or a coordinate outside the degrees throws std::out_of_range, here and
  // below.
  Coordinate CoordinateOf(int64_t rank) const;
  int64_t RankAt(const Coordinate& coordinate) const;
  // All ranks that share `rank`'s position on every axis not named.
  Group GroupOf(int64_t rank, Axes axes) const;
  // First and last stage at `rank`'s place: where tied embeddings live. Size 1 when there is one stage;
  // defined for every rank, but only ranks of the first and last stage are members.
  bool InEmbeddingPair(int64_t rank) const;
  std::vector<int> EmbeddingPair(int64_t rank) const;
  // "D1-T0-P1-S0 rank 12"
  std::string Describe(int64_t rank) const;
  // A picture of the ranks, hosts as rows when ranks_per_host > 0; elided beyond max_ranks.
  std::string Map(int ranks_per_host, int64_t max_ranks = 64) const;

 private:
  int64_t StrideOf(Axis axis) const { return stride_[static_cast<int>(axis)]; }
  void CheckRank(int64_t rank) const;

  Degrees degrees_;
  AxisOrder order_;
  int64_t world_ = 1;
  std::array<int64_t, kAxisCount> stride_ =
      {};  // distance in ranks between neighbours along an axis, by Axis
};

}  // namespace orthant
