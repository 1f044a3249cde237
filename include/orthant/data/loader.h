// Loader: this rank's part of each global batch as tensors, prepared one step ahead on a thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/data/sampler.h"
#include "orthant/data/token_source.h"

namespace orthant {

// Which part of each global batch this rank reads. Rows of the global batch are split contiguously over the
// data axis, then in order into microbatches: microbatch m of data rank d holds rows d * (global_batch /
// data_degree) + m * micro_batch and the micro_batch - 1 after it.
struct BatchGeometry {
  int64_t global_batch = 1, micro_batch = 1;
  int64_t data_degree = 1, data_rank = 0;
  // This rank's stretch of each sample's context.
  int64_t sequence_begin = 0, sequence_length = 0;

  int64_t microbatches() const { return global_batch / data_degree / micro_batch; }
};

struct Batch {
  at::Tensor inputs;             // int64 [b, S_local], contiguous
  at::Tensor targets;            // int64 [b, S_local], the tokens after the inputs
  std::vector<int64_t> rows;     // [b] row in the global batch, 0 .. global_batch - 1
  std::vector<int64_t> samples;  // [b] sample id
};

// Used by one thread. The tensors it gives belong to the caller: the loader never writes to them again.
class Loader {
 public:
  // ConfigurationError where the geometry does not divide or leaves the context. With `prefetch`, a thread
  // reads step s + 1 while the caller works on step s.
  static absl::StatusOr<std::unique_ptr<Loader>> Create(std::shared_ptr<const TokenSource> source,
                                                        std::shared_ptr<const SampleSequence> sequence,
                                                        const BatchGeometry& geometry, bool prefetch);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Microbatch `microbatch` of step `step` (entries step * global_batch and on of the sequence). Any order of
  // steps is right; ascending order is quick. DataError where the data turns out damaged.
  absl::StatusOr<Batch> Get(int64_t step, int64_t microbatch);

  int64_t microbatches() const { return geometry_.microbatches(); }
  // Seconds that Get has waited for the thread or read by itself, since the loader was made.
  double seconds_waited() const { return seconds_waited_; }

 private:
  struct Step;

  Loader(std::shared_ptr<const TokenSource> source, std::shared_ptr<const SampleSequence> sequence,
         const BatchGeometry& geometry, bool prefetch);
  std::unique_ptr<Step> Read(int64_t step) const;
  std::unique_ptr<Step> Take(int64_t step);  // from the thread if it has or reads it, else read here
  void RunThread();

  const std::shared_ptr<const TokenSource> source_;
  const std::shared_ptr<const SampleSequence> sequence_;
  const BatchGeometry geometry_;

  // The caller's thread alone.
  std::unique_ptr<Step> current_;
  double seconds_waited_ = 0;

  // Shared with the thread, under mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<int64_t> wanted_;  // the step to read next, or being read
  std::unique_ptr<Step> ready_;    // what was read last and not taken yet
  bool stop_ = false;

  std::thread thread_;  // last: it uses everything above
};

}  // namespace orthant
