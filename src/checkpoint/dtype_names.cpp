#include "checkpoint/dtype_names.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace orthant {
namespace {

struct TypeNames {
  at::ScalarType type;
  const char* name;
};
constexpr std::array<TypeNames, 5> kTypes = {{{at::kDouble, "fp64"},
                                              {at::kFloat, "fp32"},
                                              {at::kBFloat16, "bf16"},
                                              {at::kHalf, "fp16"},
                                              {at::kLong, "int64"}}};

}  // namespace

std::string StateDtypeName(at::ScalarType type) {
  for (const TypeNames& t : kTypes) {
    if (t.type == type) return t.name;
  }
  return c10::toString(type);
}

std::optional<at::ScalarType> DtypeOfName(std::string_view name) {
  for (const TypeNames& t : kTypes) {
    if (t.name == name) return t.type;
  }
  return std::nullopt;
}

int64_t ArchiveElementBytes(std::string_view name) {
  struct Size {
    const char* name;
    int64_t bytes;
  };
  static constexpr std::array<Size, 15> kSizes = {{{"F64", 8},
                                                   {"F32", 4},
                                                   {"F16", 2},
                                                   {"BF16", 2},
                                                   {"I64", 8},
                                                   {"I32", 4},
                                                   {"I16", 2},
                                                   {"I8", 1},
                                                   {"U64", 8},
                                                   {"U32", 4},
                                                   {"U16", 2},
                                                   {"U8", 1},
                                                   {"BOOL", 1},
                                                   {"F8_E4M3", 1},
                                                   {"F8_E5M2", 1}}};
  for (const Size& size : kSizes) {
    if (size.name == name) return size.bytes;
  }
  return 0;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

int64_t ElementsOf(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t d : shape) count *= d;
  return count;
}

}  // namespace orthant
