#include "orthant/mesh/mesh.h"

#include <stdexcept>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

// The member of Degrees or Coordinate that belongs to an axis.
template <typename PerAxis>
auto& AlongAxis(PerAxis& value, Axis axis) {
  switch (axis) {
    case Axis::kData:
      return value.data;
    case Axis::kTensor:
      return value.tensor;
    case Axis::kPipeline:
      return value.pipeline;
    case Axis::kSequence:
      return value.sequence;
  }
  throw std::out_of_range("no such axis");
}

}  // namespace

int Degrees::operator[](Axis axis) const {
  return AlongAxis(*this, axis);
}

std::string ToString(const Degrees& degrees) {
  return absl::StrCat("data=", degrees.data, " tensor=", degrees.tensor, " pipeline=", degrees.pipeline,
                      " sequence=", degrees.sequence);
}

int Coordinate::operator[](Axis axis) const {
  return AlongAxis(*this, axis);
}

int& Coordinate::operator[](Axis axis) {
  return AlongAxis(*this, axis);
}

Axes::Axes(std::initializer_list<Axis> axes) {
  for (Axis axis : axes) bits_ |= 1u << static_cast<int>(axis);
}

int64_t Group::size() const {
  return size_;
}

int64_t Group::self() const {
  return self_;
}

int64_t Group::rank(int64_t index) const {
  if (index < 0 || index >= size_) {
    throw std::out_of_range(absl::StrCat("member ", index, " of a group of ", size_, " ranks"));
  }
  int64_t rank = base_;
  for (int i = axes_ - 1; i >= 0; --i) {
    rank += index % degree_[i] * stride_[i];
    index /= degree_[i];
  }
  return rank;
}

std::vector<int> Group::ranks() const {
  std::vector<int> result(size_);
  for (int64_t i = 0; i < size_; ++i) result[i] = static_cast<int>(rank(i));
  return result;
}

Mesh::Mesh(const Degrees& degrees, const AxisOrder& order) : degrees_(degrees), order_(order) {
  for (int i = kAxisCount - 1; i >= 0; --i) {
    const Axis axis = order[i];
    // A stride is never 0 once set.
    if (StrideOf(axis) != 0) throw std::invalid_argument("the rank order names an axis twice");
    if (degrees[axis] < 1) {
      throw std::invalid_argument(
          absl::StrCat("degree ", degrees[axis], " of axis ", std::string(AxisName(axis))));
    }
    stride_[static_cast<int>(axis)] = world_;
    world_ *= degrees[axis];
  }
}

int64_t Mesh::world() const {
  return world_;
}

const Degrees& Mesh::degrees() const {
  return degrees_;
}

void Mesh::CheckRank(int64_t rank) const {
  if (rank < 0 || rank >= world_) {
    throw std::out_of_range(absl::StrCat("rank ", rank, " in a mesh of ", world_, " ranks"));
  }
}

Coordinate Mesh::CoordinateOf(int64_t rank) const {
  CheckRank(rank);
  Coordinate result;
  for (Axis axis : kAxes) result[axis] = static_cast<int>(rank / StrideOf(axis) % degrees_[axis]);
  return result;
}

int64_t Mesh::RankAt(const Coordinate& coordinate) const {
  int64_t rank = 0;
  for (Axis axis : kAxes) {
    if (coordinate[axis] < 0 || coordinate[axis] >= degrees_[axis]) {
      throw std::out_of_range(
          absl::StrCat(std::string(AxisName(axis)), " position ", coordinate[axis], " of ", degrees_[axis]));
    }
    rank += coordinate[axis] * StrideOf(axis);
  }
  return rank;
}

Group Mesh::GroupOf(int64_t rank, Axes axes) const {
  CheckRank(rank);
  Group group;
  group.base_ = rank;
  for (Axis axis : order_) {
    if (!axes.Has(axis)) continue;
    const int64_t position = rank / StrideOf(axis) % degrees_[axis];
    group.degree_[group.axes_] = degrees_[axis];
    group.stride_[group.axes_] = StrideOf(axis);
    ++group.axes_;
    group.base_ -= position * StrideOf(axis);
    group.self_ = group.self_ * degrees_[axis] + position;
    group.size_ *= degrees_[axis];
  }
  return group;
}

bool Mesh::InEmbeddingPair(int64_t rank) const {
  const int stage = CoordinateOf(rank).pipeline;
  return stage == 0 || stage == degrees_.pipeline - 1;
}

std::vector<int> Mesh::EmbeddingPair(int64_t rank) const {
  Coordinate at = CoordinateOf(rank);
  at.pipeline = 0;
  std::vector<int> pair = {static_cast<int>(RankAt(at))};
  if (degrees_.pipeline > 1) {
    at.pipeline = degrees_.pipeline - 1;
    pair.push_back(static_cast<int>(RankAt(at)));
  }
  return pair;
}

}  // namespace orthant
