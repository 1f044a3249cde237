#include "checkpoint/shard_job.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <span>
#include <thread>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "checkpoint/placing.h"
#include "checkpoint/reports.h"
#include "checkpoint/write_image.h"
#include "orthant/core/async_file.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/memory/account.h"

namespace orthant {

void ShardJob::Prepare(int64_t step, std::vector<StatePiece> pieces, const WriterBlock& block,
                       Communicator& world) {
  step_ = step;
  cancelled_.store(false, std::memory_order_relaxed);
  pieces_ = std::move(pieces);
  std::erase_if(pieces_, [](const StatePiece& piece) { return piece.portion.elements() == 0; });
  failure_ = absl::OkStatus();
  report_.clear();
  layout_.reset();
  FollowDevice();
  if (world.rank() != block.writer()) {
    SendPieceList(pieces_, block.writer(), world);
    SendPieces(pieces_, block.writer(), world);
    pieces_.clear();
    return;
  }
  std::vector<StatePiece> all = pieces_;
  std::vector<std::vector<StatePiece>> others;
  for (int rank = block.begin + 1; rank < block.end; ++rank) {
    others.push_back(RecvPieceList(rank, world));
    all.insert(all.end(), others.back().begin(), others.back().end());
  }
  layout_.emplace(ShardName(block.shard, block.shards), step, all);
  path_ = absl::StrCat(WritingFolder(options_.folder, step), "/", layout_->name());
  failure_ = Reserve(layout_->bytes());
  Gather(others, block, world);
  int first = kAllCopied;
  for (const StatePiece& piece : pieces_) {
    if (piece.stays() && failure_.ok()) first = std::min(first, piece.unit);
  }
  next_unit_.store(first, std::memory_order_release);
}

// On the rank's thread, whose computing stream has been given the last update: the copies come after it.
void ShardJob::FollowDevice() {
  const auto on_device = std::find_if(pieces_.begin(), pieces_.end(),
                                      [](const StatePiece& piece) { return piece.source.defined(); });
  if (on_device == pieces_.end()) return stream_.reset();
  stream_.emplace(on_device->source.device());
  stream_->FollowCompute();
}

void ShardJob::Gather(const std::vector<std::vector<StatePiece>>& others, const WriterBlock& block,
                      Communicator& world) {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    if (!pieces_[i].stays() && failure_.ok()) pieces_[i].Fetch(At(i));
  }
  size_t next = pieces_.size();
  for (size_t other = 0; other < others.size(); ++other) {
    std::vector<std::byte*> targets;
    for (size_t i = 0; i < others[other].size(); ++i, ++next) {
      targets.push_back(failure_.ok() ? At(next) : nullptr);
    }
    RecvPieces(others[other], targets, block.begin + 1 + static_cast<int>(other), world);
  }
}

absl::Status ShardJob::Reserve(int64_t bytes) {
  const int64_t wanted = (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
  if (wanted > capacity_) {
    memory_ = at::Tensor();  // first, so that both are never there
    capacity_ = 0;
    try {
      const MemoryScope host(MemoryTag::kHost);
      const OperationScope what("checkpoint copy");
      memory_ = HostMemoryFor(stream_ ? stream_->device() : c10::Device(at::kCPU), wanted + kDirectAlignment);
    } catch (const std::exception& error) {
      return EnvironmentError(
          absl::StrCat(bytes,
                       " bytes of host memory for the copy of a checkpoint could not be had; set "
                       "checkpoint.writers to 0, or save on more ranks: ",
                       error.what()));
    }
    void* start = memory_.data_ptr();
    auto space = static_cast<size_t>(wanted + kDirectAlignment);
    std::align(static_cast<size_t>(kDirectAlignment), static_cast<size_t>(wanted), start, space);
    image_ = static_cast<std::byte*>(start);
    capacity_ = wanted;
  }
  return absl::OkStatus();
}

void ShardJob::SleepUntilCopied(int unit) {
  for (int next = next_unit_.load(std::memory_order_acquire); next <= unit;
       next = next_unit_.load(std::memory_order_acquire)) {
    next_unit_.wait(next, std::memory_order_acquire);
  }
}

void ShardJob::CopyUnits() {
  std::set<int> units;
  for (const StatePiece& piece : pieces_) {
    if (piece.stays()) units.insert(piece.unit);
  }
  for (auto unit = units.begin(); unit != units.end() && !cancelled_.load(std::memory_order_relaxed);) {
    for (size_t i = 0; i < pieces_.size(); ++i) {
      const StatePiece& piece = pieces_[i];
      if (piece.unit != *unit || !piece.stays()) continue;
      if (piece.data != nullptr) {
        std::memcpy(At(i), piece.data, static_cast<size_t>(piece.bytes()));
      } else {
        stream_->Copy(at::from_blob(At(i), {piece.bytes()}, at::kByte), piece.source.view(at::kByte));
      }
    }
    if (stream_) stream_->Finish();
    ++unit;
    next_unit_.store(unit == units.end() ? kAllCopied : *unit, std::memory_order_release);
    next_unit_.notify_all();
  }
  // Where it was cancelled too, nobody waits for ever.
  next_unit_.store(kAllCopied, std::memory_order_release);
  next_unit_.notify_all();
}

void ShardJob::Run() {
  absl::Status status = failure_;
  try {
    if (status.ok()) status = Write();
  } catch (const std::exception& error) {
    status = EnvironmentError(absl::StrCat(path_, ": cannot be written: ", error.what()));
  }
  if (!status.ok()) return Fail(status);
  report_ = ReportOf(layout_->ToManifest(step_));
}

void ShardJob::Fail(const absl::Status& failure) {
  next_unit_.store(kAllCopied, std::memory_order_release);
  next_unit_.notify_all();
  report_ = ReportOf(failure);
}

absl::Status ShardJob::Write() {
  CopyUnits();
  std::memcpy(image_, layout_->header().data(), layout_->header().size());
  const int64_t bytes = layout_->bytes();
  const int64_t padded = (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
  std::memset(image_ + bytes, 0, static_cast<size_t>(padded - bytes));
  if (absl::Status status = MakeDirectories(WritingFolder(options_.folder, step_)); !status.ok()) {
    return status;
  }
  // Beside the disk: one core hashes several times faster than a disk writes.
  std::thread hashing([&] { layout_->Hash({image_, static_cast<size_t>(bytes)}); });
  absl::Status status;
  try {
    status = WriteImage(path_, image_, bytes, options_.on_write, cancelled_);
  } catch (const std::exception& error) {
    status = EnvironmentError(absl::StrCat(path_, ": cannot be written: ", error.what()));
  }
  hashing.join();
  return status;
}

void ShardJob::Abandon() {
  if (!layout_.has_value()) return;
  ::unlink(path_.c_str());
  ::rmdir(WritingFolder(options_.folder, step_).c_str());
}

}  // namespace orthant
