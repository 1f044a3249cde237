// The bench of communication: times every operation on the axes of a mesh, size by size, on all ranks at
// once, and checks what came out.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/bench/link_file.h"
#include "orthant/bench/operations.h"
#include "orthant/comm/communicator.h"
#include "orthant/mesh/mesh.h"
#include "orthant/train/launch.h"

namespace orthant {

// Ranks that are measured together: those that differ along some axes.
struct BenchAxis {
  std::string name;  // of an axis, "data_sequence", "world"
  Axes axes;
};

// "data=2,tensor=4", axes left out are 1. ConfigurationError otherwise.
absl::StatusOr<Degrees> ParseBenchMesh(const std::string& text);
// Names separated by commas; "all": every axis with more than one rank, data_sequence where both have, and
// the world where it is more than one of these. ConfigurationError for an axis of one rank, which
// communicates nothing.
absl::StatusOr<std::vector<BenchAxis>> ParseBenchAxes(const std::string& text, const Degrees& degrees);
// What sizes must be a multiple of, in bytes: elements of every rank of every axis.
int64_t BenchSizeUnit(const std::vector<BenchAxis>& axes, const Mesh& mesh, int64_t element_size);

struct CommBenchOptions {
  std::vector<BenchAxis> axes;
  std::vector<BenchOp> ops;
  std::vector<int64_t> sizes;  // bytes, multiples of BenchSizeUnit
  std::string dtype = "fp32";  // fp32 | fp64 | bf16
  bool asynchronous = false;
  int64_t iterations = 0;  // samples of each size; 0: as many as fit `seconds`, from 5 to 1000
  double seconds = 0.2;    // for each operation and size
  bool compare_mpi = false;
};

struct CommBenchResult {
  LinkFile links;
  std::vector<LinkAxis> mpi;  // MPI's own, in the same order; empty unless asked for
};

// Called on rank 0 after each operation and size.
using BenchProgress = std::function<void(int64_t done, int64_t total)>;

// Bytes of the tensors of one rank.
int64_t CommBenchBytes(const CommBenchOptions& options);

// Collective over `world`, which is the whole of `mesh`. All groups of an axis work at the same time; a
// sample begins after a barrier of the world and counts the slowest rank's time. EnvironmentError when a
// host's memory is too small, CommunicationError when a result is wrong, both the same on every rank. On
// rank 0 the result is what the link file holds; on others host and bytes sent are their own.
absl::StatusOr<CommBenchResult> BenchComm(const Mesh& mesh, const CommBenchOptions& options,
                                          Communicator& world, const RankEnvironment& environment,
                                          const BenchProgress& progress);

// Tables for people: times and bandwidths for each axis, then the formulas.
std::string ToText(const CommBenchResult& result, bool boxes);
// The link file's object; with a comparison, its axes under "mpi_own".
nlohmann::ordered_json ToJson(const CommBenchResult& result);

}  // namespace orthant
