// ShardedUnit: the parameters that live and travel together (the embedding, one block, the head), in one
// contiguous padded buffer, with one slice per rank of a sharding group. ZeRO (arXiv 1910.02054, section 5)
// says what is whole between uses: stage 0 all, 1 values and gradients, 2 values, 3 nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/data_parallel/state_store.h"
#include "orthant/data_parallel/unit_queue.h"
#include "orthant/nn/parameter.h"
#include "orthant/nn/step_position.h"

namespace orthant {

// Everything pointed to outlives the units.
struct UnitOptions {
  c10::Device device = c10::DeviceType::CPU;   // that values, gradients and state live on
  at::ScalarType dtype = at::kFloat;           // of the values
  at::ScalarType gradient_dtype = at::kFloat;  // gradients accumulate in
  at::ScalarType reduce_dtype = at::kFloat;    // gradients travel in
  uint64_t seed = 0;
  int zero_stage = 0;
  bool release_after_forward = true;  // stage 3
  bool tensor_partial =
      false;  // gradients of parameters that every tensor rank holds are summands (tensor_sequence)
  int64_t bucket_bytes = 0;          // MakeUnits: largest unit, in bytes of values; 0: any
  int64_t tile_bytes = 0;            // models: a linear whose weight is larger is tiled; 0: never
  Communicator* shard = nullptr;     // stages 1-3: the ranks that share one set of shards
  Communicator* replica = nullptr;   // the ranks that hold the same as this one; null: this one alone
  Communicator* tensor = nullptr;    // the tensor axis; null: one rank
  UnitQueue* queue = nullptr;        // stages 2 and 3: shared by a rank's units
  StateStore* parameters = nullptr;  // stage 3: where the slices of the values live; null: on the device
  const StepPosition* position =
      nullptr;    // whose probe looks at gradients before they are summed; may be null
  int depth = 0;  // for the probe: place in the order of backward
};

// A stretch of the flat buffers whose elements are treated alike.
struct Segment {
  int64_t begin = 0, end = 0;  // in elements of the unit's flat buffer
  bool decay = false;
  bool counts_in_norm = false;  // false: another rank or stage counts these elements
};

// The part of one parameter that lies in what a rank updates.
struct ShareStretch {
  const Parameter* parameter = nullptr;
  int64_t begin = 0, end = 0;  // elements of the flat local tensor
  int64_t offset = 0;          // of element `begin`, in the share
};

// Used by one rank's thread alone.
class ShardedUnit : public ParameterOwner, public QueuedUnit {
 public:
  // Allocates, lays out and initialises the parameters.
  ShardedUnit(std::string name, std::vector<ParameterSpec> specs, const UnitOptions& options);
  ~ShardedUnit() override;
  ShardedUnit(const ShardedUnit&) = delete;
  ShardedUnit& operator=(const ShardedUnit&) = delete;

  const std::string& name() const { return name_; }
  const std::vector<std::unique_ptr<Parameter>>& parameters() const { return parameters_; }
  // The parameter of this logical name, or null.
  Parameter* Find(const std::string& logical_name) const;

  // A second copy of this unit, of the same layout, lives on the other rank of `pair` (tied embeddings across
  // stages): their gradients are summed. `pair` outlives the unit.
  void TieTo(Communicator* pair) { pair_ = pair; }

  // Opens a step of `microbatches` backwards: gradients start afresh.
  void BeginStep(int microbatches);
  // Waits for the reductions, which start by themselves: stages 0 and 1 when the last gradient of the step
  // has been added, stages 2 and 3 after each microbatch. Afterwards gradients() holds the sum over data x
  // sequence.
  void FinishReduce();
  // Stage 3: forward needs the values no more (backward may gather them again). Else nothing.
  void AfterForward();
  // Stage 3: gives gathered values back. Else nothing.
  void ReleaseValues();

  // What this rank updates: everything (stage 0) or its slice, [share]. Values are opened for an update and
  // closed after it, since they may live elsewhere.
  at::Tensor OpenValues();
  void CloseValues(bool changed);
  at::ScalarType dtype() const { return options_.dtype; }
  // Whether what OpenValues gives stays where it is between uses (it does not in files).
  bool values_stay() const;
  // The parameters in that range, in its order.
  std::vector<ShareStretch> ShareStretches() const;
  // Ranks whose share is the same as this one's but for tensor ranks (null: none), and the tensor axis.
  Communicator* replica() const { return options_.replica; }
  Communicator* tensor() const { return options_.tensor; }
  at::Tensor gradients() const;
  // The slice in fp32 under 16-bit values, as drawn, to be taken once by the optimiser; undefined otherwise.
  at::Tensor TakeMaster() { return std::move(master_); }
  // Segments of that range, positions relative to it.
  const std::vector<Segment>& segments() const { return segments_; }
  // This rank is the one among its replicas that counts for sums over the world.
  bool first_replica() const { return options_.replica == nullptr || options_.replica->rank() == 0; }

  // After an update, stages 1 and 2: shares the slices; the values are whole again when FinishShare returns.
  void StartShare();
  void FinishShare();

  // For tests and checkpoints: makes whole gradients readable in every parameter's grad(). Collective.
  void GatherGradients();

  int64_t elements() const { return elements_; }   // of the flat buffer, padding included
  int64_t share() const { return end_ - begin_; }  // of what this rank updates
  int64_t value_bytes() const override {
    return elements_ * static_cast<int64_t>(c10::elementSize(options_.dtype));
  }
  int zero_stage() const { return options_.zero_stage; }

  // ParameterOwner.
  void DoneReading() override { AfterForward(); }
  void NeedValues() override;
  void NeedGradients() override;
  void ContributionDone() override;

  // QueuedUnit.
  bool gathered() const override { return values_present(); }
  bool gathering() const override { return gathering_; }
  void StartGather() override;
  void PrefetchValues() override;   // also before OpenValues
  void FinishReduction() override;  // waits for the reduction, and takes its buffer back

 private:
  void LayOut(std::vector<ParameterSpec> specs);
  at::TensorOptions OnDevice(at::ScalarType dtype) const;
  void Allocate();
  void Draw();
  void BuildSegments();
  void FinishGather();
  void StartReduce();
  void WaitReduction();
  void ZeroWhatNobodyWrote();
  void Probe() const;
  void AllReduce(Communicator& group, const at::Tensor& tensor, const char* what) const;
  at::Tensor InReduceType(const at::Tensor& tensor) const;

  std::string name_;
  UnitOptions options_;
  std::vector<std::unique_ptr<Parameter>> parameters_;
  std::vector<int64_t> offsets_;                       // of each parameter in the flat buffers
  int64_t elements_ = 0, uses_ = 0;                    // uses: contributions of one microbatch
  int64_t replicated_begin_ = 0, replicated_end_ = 0;  // parameters that every tensor rank holds whole
  int64_t begin_ = 0, end_ = 0;                        // what this rank updates
  at::Tensor values_, gradients_;                      // [elements]; their memory comes and goes
  at::Tensor value_shard_, gradient_shard_, master_;   // [share]: stage 3; stages 2 and 3; until taken
  std::vector<Segment> segments_;
  Communicator* pair_ = nullptr;
  int slot_ = -1;  // of the value slice in options_.parameters

  int64_t uses_left_ = 0, microbatches_left_ = 0;
  bool reducing_ = false, reduced_before_ = false;
  at::Tensor sent_, received_;  // of the reduction under way, where they are not the buffers above
  Work reduce_, gather_;
  bool gathering_ = false;
};

// The parameters of `specs` in as many units as bucket_bytes and tile_bytes ask for (unit_split.h). Named
// `name`, or `name/0`, `name/1`, ...
std::vector<std::unique_ptr<ShardedUnit>> MakeUnits(const std::string& name, std::vector<ParameterSpec> specs,
                                                    const UnitOptions& options);

}  // namespace orthant
