#include "checkpoint/manifest_json.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<at::ScalarType, const char*>, 5> kTypes = {{{at::kDouble, "F64"},
                                                                           {at::kFloat, "F32"},
                                                                           {at::kBFloat16, "BF16"},
                                                                           {at::kHalf, "F16"},
                                                                           {at::kLong, "I64"}}};
constexpr int64_t kMostElements = int64_t{1} << 58;

// a * b, at most kMostElements.
int64_t Product(int64_t a, int64_t b) {
  if (a != 0 && b > kMostElements / a) throw BadField("the shape has more elements than a file can hold");
  return a * b;
}

const std::string& Text(const Json& value, const char* what) {
  if (!value.is_string()) throw BadField(absl::StrCat(what, " must be a text"));
  return value.get_ref<const std::string&>();
}

}  // namespace

const char* StoredName(at::ScalarType dtype) {
  for (const auto& [type, name] : kTypes) {
    if (type == dtype) return name;
  }
  return nullptr;
}

std::optional<at::ScalarType> StoredType(std::string_view name) {
  for (const auto& [type, stored] : kTypes) {
    if (name == stored) return type;
  }
  return std::nullopt;
}

std::optional<StateKind> KindNamed(std::string_view name) {
  for (int k = 0; k < kStateKinds; ++k) {
    if (name == ToString(static_cast<StateKind>(k))) return static_cast<StateKind>(k);
  }
  return std::nullopt;
}

const Json& Member(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end()) throw BadField(absl::StrCat("\"", key, "\" is missing"));
  return *found;
}

int64_t Whole(const Json& value, const char* what, int64_t low, int64_t high) {
  const bool fits =
      value.is_number_unsigned() ? value.get<uint64_t>() <= uint64_t{INT64_MAX} : value.is_number_integer();
  const int64_t number = fits ? value.get<int64_t>() : -1;
  if (!fits || number < low || number > high) {
    throw BadField(absl::StrCat(what, " must be a whole number from ", low, " to ", high));
  }
  return number;
}

void AppendPortion(const Portion& p, Json* array) {
  array->push_back(p.begin);
  array->push_back(p.end);
  if (p.shard_dim < 0 && p.rows < 0) return;
  for (const int64_t number :
       {int64_t{p.shard_dim}, p.shard_begin, p.shard_length, p.local_length, p.row_begin, p.rows}) {
    array->push_back(number);
  }
}

Portion ReadPortion(const Json& array, size_t first, const std::vector<int64_t>& shape) {
  Portion p;
  if (array.size() != first + 2 && array.size() != first + 8) {
    throw BadField("a slice has too many or too few numbers");
  }
  int64_t elements = WholeOf(shape).end;  // of the local tensor
  if (array.size() == first + 8) {
    if (shape.empty()) throw BadField("a tensor without dimensions cannot be split");
    const auto last = static_cast<int64_t>(shape.size()) - 1;
    p.shard_dim = static_cast<int>(Whole(array[first + 2], "the dimension of a split", -1, last));
    const bool split = p.shard_dim >= 0;
    const int64_t length = split ? shape[static_cast<size_t>(p.shard_dim)] : kMostElements;
    p.shard_begin = Whole(array[first + 3], "the begin of a split", 0, length);
    p.shard_length = Whole(array[first + 4], "the length of a split", 0, length - p.shard_begin);
    p.local_length = Whole(array[first + 5], "the local length", p.shard_length, kMostElements);
    std::vector<int64_t> local = shape;
    if (split) local[static_cast<size_t>(p.shard_dim)] = p.local_length;
    elements = 1;
    for (const int64_t d : local) elements = Product(elements, d);
    const int64_t rows = local.back() == 0 ? 0 : elements / local.back();
    p.row_begin = Whole(array[first + 6], "the first row of a tile", 0, rows);
    p.rows = Whole(array[first + 7], "the rows of a tile", -1, rows - p.row_begin);
    if (p.rows >= 0) elements = p.rows * local.back();
  }
  p.begin = Whole(array[first], "the first element of a slice", 0, elements);
  p.end = Whole(array[first + 1], "the end of a slice", p.begin, elements);
  return p;
}

std::vector<int64_t> ReadShape(const Json& value) {
  if (!value.is_array() || value.size() > 16) throw BadField("a shape must be a list of at most 16 numbers");
  std::vector<int64_t> shape;
  int64_t elements = 1;
  for (const Json& d : value) {
    shape.push_back(Whole(d, "a dimension of a shape", 0, kMostElements));
    elements = Product(elements, std::max<int64_t>(shape.back(), 1));
  }
  return shape;
}

StateKind ReadKind(const Json& value) {
  const std::optional<StateKind> kind = KindNamed(Text(value, "\"kind\""));
  if (!kind.has_value()) throw BadField(absl::StrCat("the kind ", value.dump(), " is not known"));
  return *kind;
}

at::ScalarType ReadDtype(const Json& value) {
  const std::optional<at::ScalarType> dtype = StoredType(Text(value, "\"dtype\""));
  if (!dtype.has_value()) throw BadField(absl::StrCat("the dtype ", value.dump(), " is not known"));
  return *dtype;
}

std::string VerifyHint(const std::string& step_folder) {
  return absl::StrCat("run `orthant checkpoint verify ", step_folder,
                      "`: it lists what is hurt and says whether another kept step is whole");
}

}  // namespace orthant
