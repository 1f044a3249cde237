// One rank's share of a save: the file's image in host memory, filled from the pieces, then hashed and
// written. Prepared on the rank's thread, run on a thread of its own.
#pragma once

#include <atomic>
#include <climits>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "checkpoint/collect.h"
#include "checkpoint/shard.h"
#include "orthant/checkpoint/saver.h"
#include "orthant/device/side_stream.h"

namespace orthant {

class ShardJob {
 public:
  explicit ShardJob(const SaverOptions& options) : options_(options) {}

  // Rank's thread, no Run under way. Fetches and receives what is not copied later. What fails here on this
  // rank alone (no memory) is in the report; exceptions of `fetch` and of communication pass.
  void Prepare(int64_t step, std::vector<StatePiece> pieces, const WriterBlock& block, Communicator& world);
  // Whether there is something to run: false on ranks that do not write.
  bool writes() const { return layout_.has_value(); }
  // The job's thread: copies, writes. Throws nothing.
  void Run();
  // Instead of Run.
  void Fail(const absl::Status& failure);
  // After Run or Fail: see reports.h.
  const std::string& report() const { return report_; }

  // Rank's thread, Run under way or not.
  void WaitForUnit(int unit) {
    if (next_unit_.load(std::memory_order_acquire) <= unit) SleepUntilCopied(unit);
  }
  bool copied(int unit) const { return next_unit_.load(std::memory_order_acquire) > unit; }
  // Any thread: Run ends soon, without a file.
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  // The run ends without this save: the shard goes, and the folder once it is empty.
  void Abandon();

 private:
  static constexpr int kAllCopied = INT_MAX;

  void FollowDevice();
  absl::Status Reserve(int64_t bytes);
  void Gather(const std::vector<std::vector<StatePiece>>& others, const WriterBlock& block,
              Communicator& world);
  void SleepUntilCopied(int unit);
  void CopyUnits();
  absl::Status Write();
  std::byte* At(size_t piece) { return image_ + layout_->offset(piece); }

  const SaverOptions& options_;
  int64_t step_ = 0;
  std::string path_;
  std::vector<StatePiece> pieces_;  // this rank's
  std::optional<ShardLayout> layout_;
  absl::Status failure_;  // before Run
  std::string report_;

  std::optional<SideStream> stream_;  // that brings what lies on a GPU
  at::Tensor memory_;                 // kept between saves
  std::byte* image_ = nullptr;        // within it, aligned; the file's bytes
  int64_t capacity_ = 0;

  std::atomic<int> next_unit_{kAllCopied};  // units below it have been copied
  std::atomic<bool> cancelled_{false};
};

}  // namespace orthant
