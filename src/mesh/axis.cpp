#include "orthant/mesh/axis.h"

namespace orthant {

std::string_view AxisName(Axis axis) {
  switch (axis) {
    case Axis::kData:
      return "data";
    case Axis::kTensor:
      return "tensor";
    case Axis::kPipeline:
      return "pipeline";
    case Axis::kSequence:
      return "sequence";
  }
  return "?";
}

std::optional<Axis> AxisNamed(std::string_view name) {
  for (Axis axis : kAxes) {
    if (AxisName(axis) == name) return axis;
  }
  return std::nullopt;
}

char AxisLetter(Axis axis) {
  return "DTPS"[static_cast<int>(axis)];
}

}  // namespace orthant
