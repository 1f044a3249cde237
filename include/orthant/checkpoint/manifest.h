// manifest.json of one checkpoint: every logical tensor of the training state, and which bytes of which file
// hold which of its elements. Nothing in it depends on the mesh that will read it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "c10/core/ScalarType.h"
#include "nlohmann/json.hpp"
#include "orthant/nn/parameter.h"

namespace orthant {

inline constexpr char kCheckpointManifest[] = "manifest.json";
// Raised when an older program could not read what a newer one writes.
inline constexpr int kCheckpointFormat = 1;

// What is kept of each logical tensor. Masters exist under 16-bit values alone.
enum class StateKind : uint8_t { kParameter, kMaster, kFirstMoment, kSecondMoment };
inline constexpr int kStateKinds = 4;
const char* ToString(StateKind kind);  // "parameter", "master", "first_moment", "second_moment"

// Which elements of a logical tensor a stretch of memory, or of a file, holds: elements [begin, end) of a
// rank's flat local tensor, whose place in the logical one is that of a ParameterSpec with these members.
struct Portion {
  int shard_dim = -1;  // -1: the local tensor is the logical one
  int64_t shard_begin = 0, shard_length = 0, local_length = 0;
  int64_t row_begin = 0, rows = -1;
  int64_t begin = 0, end = 0;  // may hold padding, which has no place in the logical tensor

  int64_t elements() const { return end - begin; }
  friend bool operator==(const Portion&, const Portion&) = default;
};
// [begin, end) of the local tensor of `spec`.
Portion PortionOf(const ParameterSpec& spec, int64_t begin, int64_t end);
// All of a logical tensor of `shape`.
Portion WholeOf(const std::vector<int64_t>& shape);
// Where the portion's elements lie in a logical tensor of `shape`: `local` counts from portion.begin.
// Ascending.
std::vector<LogicalRun> RunsOf(const std::vector<int64_t>& shape, const Portion& portion);

// Consecutive bytes of one file.
struct Slice {
  int file = 0;                   // index in CheckpointManifest::files
  int64_t offset = 0, bytes = 0;  // from the beginning of the file
  uint64_t xxh64 = 0;             // of these bytes
  Portion portion;
};

struct LogicalTensor {
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  std::vector<Slice> slices;  // together they hold every element once
};

struct CheckpointManifest {
  struct File {
    std::string name;  // within the step's folder
    int64_t bytes = 0;
  };
  using Key = std::pair<std::string, StateKind>;

  int format = kCheckpointFormat;
  std::string version;  // of the program that wrote it
  int64_t step = 0;
  // The run's own part, kept as it was given to Saver::Start: configuration, mesh, seed, place in the data,
  // loss scale.
  nlohmann::ordered_json run;
  std::vector<File> files;
  std::map<Key, LogicalTensor> tensors;

  int64_t bytes() const;  // of all slices
};

// The file's text. It carries a checksum of itself.
std::string ToText(const CheckpointManifest& manifest);
// DataError naming `path`, what is wrong and the remedy: not JSON, damaged (checksum), of a later format,
// fields missing or out of range, slices outside their file or overlapping.
absl::StatusOr<CheckpointManifest> ParseManifest(const std::string& text, const std::string& path);
absl::StatusOr<CheckpointManifest> ReadCheckpointManifest(const std::string& step_folder);

// The elements of `tensor` that no slice holds, or more than one does: "" when each is held once, else a
// sentence for the user.
std::string Incomplete(const std::string& name, const LogicalTensor& tensor);

}  // namespace orthant
