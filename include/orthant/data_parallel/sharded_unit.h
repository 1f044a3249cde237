// ShardedUnit: the parameters that live and travel together (the embedding, one block, the head) in one
// contiguous padded buffer, their gradients in another, and one slice of both per rank of data x sequence.
// ZeRO (arXiv 1910.02054, section 5): stage 0 keeps everything whole; stage 1 shards the optimiser state, so
// each rank receives, updates and gives back its own slice only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/nn/parameter.h"

namespace orthant {

struct UnitOptions {
  at::ScalarType dtype = at::kFloat;
  uint64_t seed = 0;
  int zero_stage = 0;  // 0 or 1
  bool tensor_partial =
      false;  // gradients of parameters that every tensor rank holds are summands (tensor_sequence)
  Communicator* data = nullptr;    // data x sequence: gradients are summed and state is sharded over it
  Communicator* tensor = nullptr;  // the tensor axis
};

// A stretch of the flat buffers whose elements are treated alike.
struct Segment {
  int64_t begin = 0, end = 0;  // in elements of the unit's flat buffer
  bool decay = false;
  bool counts_in_norm = false;  // false: another rank or stage counts these elements
};

// Used by one rank's thread alone.
class ShardedUnit {
 public:
  // Allocates, lays out and initialises the parameters.
  ShardedUnit(std::string name, std::vector<ParameterSpec> specs, const UnitOptions& options);
  ShardedUnit(const ShardedUnit&) = delete;
  ShardedUnit& operator=(const ShardedUnit&) = delete;

  const std::string& name() const { return name_; }
  const std::vector<std::unique_ptr<Parameter>>& parameters() const { return parameters_; }
  // The parameter of this logical name, or null.
  Parameter* Find(const std::string& logical_name) const;

  // Opens a step of `microbatches` backwards: gradients start afresh.
  void BeginStep(int microbatches);
  // The reduction starts by itself when the last gradient of the step has been added. A held unit waits for
  // Release() instead (tied embeddings must be summed over their pair of stages first).
  void Hold() { held_ = true; }
  void Release();
  // Waits for the reduction. Afterwards gradients() holds the sum over data x sequence.
  void FinishReduce();

  // What this rank updates: the whole buffers (stage 0) or its slice (stage 1), as 1-D views.
  at::Tensor values() const { return values_.narrow(0, begin_, end_ - begin_); }
  at::Tensor gradients() const { return gradients_.narrow(0, begin_, end_ - begin_); }
  // Segments of that range, positions relative to it.
  const std::vector<Segment>& segments() const { return segments_; }

  // Shares the updated slices (stage 1); the values are whole again when FinishGather returns.
  void StartGather();
  void FinishGather();

  // For tests and checkpoints: makes whole gradients visible in every parameter's grad() (stage 1 gathers
  // them).
  void GatherGradients();

  // Elements of the flat buffer, padding included.
  int64_t elements() const { return values_.numel(); }
  int zero_stage() const { return options_.zero_stage; }

 private:
  void LayOut(std::vector<ParameterSpec> specs);
  void BuildSegments();
  void StartReduce();
  void ParameterReady();

  std::string name_;
  UnitOptions options_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
  std::vector<int64_t> offsets_;                       // of each parameter in the flat buffers
  int64_t replicated_begin_ = 0, replicated_end_ = 0;  // parameters that every tensor rank holds whole
  at::Tensor values_, gradients_;                      // [elements]
  int64_t begin_ = 0, end_ = 0;                        // what this rank updates
  std::vector<Segment> segments_;
  size_t pending_ = 0;  // parameters whose gradient is incomplete
  bool held_ = false;
  Work reduce_, gather_;
};

}  // namespace orthant
