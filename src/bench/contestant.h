// Contestant: somebody's implementation of the operations that are timed, ours or another library's, on one
// group; and the tensors that it works on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "orthant/bench/operations.h"
#include "orthant/comm/communicator.h"

namespace orthant {

// One rank's, for one size. [elements] and [elements / ranks].
struct BenchTensors {
  BenchTensors(int64_t elements, int64_t ranks, at::ScalarType dtype);
  at::Tensor whole, other, share;
  std::vector<int64_t> even;  // share's elements, once a rank
};

// One rank's view; calls are collective over the group. Throws CommError.
class Contestant {
 public:
  virtual ~Contestant() = default;
  // all_reduce, broadcast and reduce work in place on `whole`; all_gather and gather bring every rank's
  // `share` into `whole`, reduce_scatter and scatter the other way; all others bring `whole` into somebody's
  // `other`.
  virtual void Call(BenchOp op, const BenchTensors& tensors) = 0;
};

// Through `group`, which outlives it. `asynchronous`: each call issued, then waited for.
std::unique_ptr<Contestant> OurCalls(Communicator& group, bool asynchronous);
// OpenMPI's own collectives, or those of whatever MPI this program runs on, called directly. `group` is of
// the mpi backend. Collective over it.
std::unique_ptr<Contestant> MpiCalls(const Communicator& group);

// Fills what `op` reads with numbers that depend on rank and place.
void FillPattern(BenchOp op, int rank, const BenchTensors& tensors);
// After a call on such tensors: what is wrong on this rank, as "element 17 is 5, but must be 7"; "" when
// nothing is.
std::string WrongResult(BenchOp op, int rank, int ranks, const BenchTensors& tensors);

}  // namespace orthant
