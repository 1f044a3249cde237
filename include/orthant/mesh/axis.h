// The four axes of the mesh. "Axis" names a mesh axis; "dim" is for tensors.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace orthant {

enum class Axis : int { kData = 0, kTensor = 1, kPipeline = 2, kSequence = 3 };
inline constexpr int kAxisCount = 4;
inline constexpr std::array<Axis, kAxisCount> kAxes = {Axis::kData, Axis::kTensor, Axis::kPipeline,
                                                       Axis::kSequence};

// "data", "tensor", "pipeline", "sequence"
std::string_view AxisName(Axis axis);
// The axis of that name, if there is one.
std::optional<Axis> AxisNamed(std::string_view name);
// 'D', 'T', 'P', 'S': the short form of maps and coordinates.
char AxisLetter(Axis axis);

}  // namespace orthant
