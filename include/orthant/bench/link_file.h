// LinkFile: what `orthant bench comm --output` found out about a machine's links, for a planner to read: the
// time of each operation on each axis by size, and a formula for it. Pure. docs/bench.md describes the file
// to the key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "orthant/bench/operations.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

inline constexpr int kLinkFileVersion = 1;

// One size of one operation. Seconds of one call, of the slowest rank: median, least and most of the samples.
struct LinkPoint {
  int64_t bytes = 0;
  double seconds = 0, min_seconds = 0, max_seconds = 0;
  int64_t samples = 0;     // timed
  int64_t calls = 1;       // back to back in each sample
  int64_t sent_bytes = 0;  // by the group's first rank in one call, by the textbook algorithm

  double AlgorithmBandwidth() const { return static_cast<double>(bytes) / seconds; }  // bytes/s
};

// seconds = latency + bytes x seconds_per_byte, for sizes up to `up_to` and above those of the piece before.
struct LinkPiece {
  int64_t up_to = INT64_MAX;
  double latency = 0, seconds_per_byte = 0;
};

struct LinkCurve {
  BenchOp op = BenchOp::kAllReduce;
  std::vector<LinkPoint> points;  // by bytes, ascending
  std::vector<LinkPiece> pieces;  // ascending; the last has no end
  double worst_error = 0;         // of the formula at the points, as a share of the time

  // By the formula.
  double Seconds(int64_t bytes) const;
};

// Groups along an axis, all of which were at work at the same time.
struct LinkAxis {
  std::string axis;    // "data", "tensor", "pipeline", "sequence", "data_sequence", "world"
  int64_t ranks = 1;   // in a group
  int64_t groups = 1;  // of them
  int64_t hosts = 1;   // that a group is spread over, at most
  std::vector<LinkCurve> curves;
};

struct LinkFile {
  std::string date;  // UTC, "2026-11-26T18:40:00Z"
  std::string host;  // of rank 0
  std::string processor;
  int64_t cores = 1;           // of that host
  std::string backend;         // "local", "mpi"
  int64_t ranks_per_host = 1;  // of that host
  Degrees mesh;
  std::string dtype;
  bool asynchronous = false;  // each call issued, then waited for
  std::vector<LinkAxis> axes;

  const LinkAxis* Find(const std::string& axis) const;  // null: was not measured
};

// The pieces of `points` (by bytes, ascending; seconds above 0): as few as follow every point to 10 %, three
// at most, each a least-squares line of relative errors over two points or more, neither latency nor slope
// below 0. One point: all of it is latency.
std::vector<LinkPiece> FitPieces(const std::vector<LinkPoint>& points);
// Sets `pieces` and `worst_error` from `points`.
void Fit(LinkCurve* curve);

nlohmann::ordered_json ToJson(const LinkFile& file);
// DataError, which begins with `origin` and names the place, for anything that is not of this form and
// version. Keys that are not known are left alone.
absl::StatusOr<LinkFile> LinkFileFromJson(const nlohmann::json& json, const std::string& origin);
absl::StatusOr<LinkFile> ReadLinkFile(const std::string& path);
// EnvironmentError when it cannot be written.
absl::Status WriteLinkFile(const std::string& path, const LinkFile& file);

}  // namespace orthant
