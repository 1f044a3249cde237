// How the parts of manifest.json look as JSON, shared by the file itself and by what ranks tell each other.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/checkpoint/manifest.h"

namespace orthant {

// Names of the safetensors format: "F64", "F32", "BF16", "F16", "I64". Null: not stored.
const char* StoredName(at::ScalarType dtype);
std::optional<at::ScalarType> StoredType(std::string_view name);
std::optional<StateKind> KindNamed(std::string_view name);

// What is wrong with a field, as a sentence.
class BadField : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A member of an object; BadField when it is not there.
const nlohmann::ordered_json& Member(const nlohmann::ordered_json& object, const char* key);
// A whole number in [low, high]; BadField otherwise. `what` names it.
int64_t Whole(const nlohmann::ordered_json& value, const char* what, int64_t low, int64_t high);

// Numbers that follow those of the slice: [begin, end], and [shard_dim, shard_begin, shard_length,
// local_length, row_begin, rows] unless the local tensor is the logical one.
void AppendPortion(const Portion& portion, nlohmann::ordered_json* array);
// Checked against the logical shape: afterwards RunsOf stays within it. BadField.
Portion ReadPortion(const nlohmann::ordered_json& array, size_t first, const std::vector<int64_t>& shape);

// BadField where a dimension is negative or their product overflows.
std::vector<int64_t> ReadShape(const nlohmann::ordered_json& value);
StateKind ReadKind(const nlohmann::ordered_json& value);
at::ScalarType ReadDtype(const nlohmann::ordered_json& value);

// "run `orthant checkpoint verify FOLDER`, ..."
std::string VerifyHint(const std::string& step_folder);

}  // namespace orthant
