// Names of element types as the program's users write them, sizes of those in safetensors files (whose names
// are StoredName's, manifest_json.h), and how a shape is written out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "c10/core/ScalarType.h"

namespace orthant {

// "fp64", "fp32", "bf16", "fp16": the types that a run keeps state in.
std::string StateDtypeName(at::ScalarType type);
std::optional<at::ScalarType> DtypeOfName(std::string_view name);

// Of any type that the safetensors format has; 0: unknown.
int64_t ArchiveElementBytes(std::string_view name);

inline int64_t BytesOf(at::ScalarType type) {
  return static_cast<int64_t>(c10::elementSize(type));
}

// "[3, 384, 384]"
std::string ShapeText(const std::vector<int64_t>& shape);
// 1 for no dims.
int64_t ElementsOf(const std::vector<int64_t>& shape);

}  // namespace orthant
