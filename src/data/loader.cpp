#include "orthant/data/loader.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {

// All microbatches of one step, or why they cannot be had.
struct Loader::Step {
  int64_t step = 0;
  absl::Status status;
  at::Tensor inputs, targets;    // int64 [m, b, S_local]
  std::vector<int64_t> samples;  // [m * b]
};

namespace {

absl::Status CheckGeometry(const BatchGeometry& g, int64_t context) {
  if (g.micro_batch < 1 || g.data_degree < 1 || g.data_rank < 0 || g.data_rank >= g.data_degree) {
    return ConfigurationError(absl::StrCat("train.micro_batch=", g.micro_batch, " and data rank ",
                                           g.data_rank, " of ", g.data_degree,
                                           " must be positive, the rank below the degree"));
  }
  const int64_t round = g.data_degree * g.micro_batch;
  if (g.global_batch < round || g.global_batch % round != 0) {
    const int64_t nearest = std::max<int64_t>((g.global_batch + round / 2) / round, 1) * round;
    return ConfigurationError(absl::StrCat(
        "train.global_batch=", g.global_batch, " is not a multiple of parallel.data=", g.data_degree,
        " times train.micro_batch=", g.micro_batch, "; the nearest is ", nearest));
  }
  if (g.sequence_begin < 0 || g.sequence_length < 1 || g.sequence_begin + g.sequence_length > context) {
    return ConfigurationError(absl::StrCat("positions ", g.sequence_begin, " to ",
                                           g.sequence_begin + g.sequence_length,
                                           " are not inside model.context=", context));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Loader>> Loader::Create(std::shared_ptr<const TokenSource> source,
                                                       std::shared_ptr<const SampleSequence> sequence,
                                                       const BatchGeometry& geometry, bool prefetch) {
  if (absl::Status status = CheckGeometry(geometry, sequence->context()); !status.ok()) return status;
  return std::unique_ptr<Loader>(new Loader(std::move(source), std::move(sequence), geometry, prefetch));
}

Loader::Loader(std::shared_ptr<const TokenSource> source, std::shared_ptr<const SampleSequence> sequence,
               const BatchGeometry& geometry, bool prefetch)
    : source_(std::move(source)), sequence_(std::move(sequence)), geometry_(geometry) {
  if (prefetch) thread_ = std::thread([this] { RunThread(); });
}

Loader::~Loader() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::unique_ptr<Loader::Step> Loader::Read(int64_t step) const {
  const int64_t length = geometry_.sequence_length;
  const int64_t rows = geometry_.global_batch / geometry_.data_degree;
  auto result = std::make_unique<Step>();
  result->step = step;
  result->inputs = at::empty({geometry_.microbatches(), geometry_.micro_batch, length}, at::kLong);
  result->targets = at::empty_like(result->inputs);
  result->samples.reserve(static_cast<size_t>(rows));
  std::vector<int64_t> window(static_cast<size_t>(length) + 1);
  auto* inputs = result->inputs.data_ptr<int64_t>();
  auto* targets = result->targets.data_ptr<int64_t>();
  const int64_t first = step * geometry_.global_batch + geometry_.data_rank * rows;
  for (int64_t row = 0; row < rows; ++row) {
    const SampleRef ref = sequence_->At(first + row);
    result->status = source_->Read(ref.offset + geometry_.sequence_begin, absl::MakeSpan(window));
    if (!result->status.ok()) return result;
    std::copy(window.begin(), window.end() - 1, inputs + row * length);
    std::copy(window.begin() + 1, window.end(), targets + row * length);
    result->samples.push_back(ref.sample);
  }
  return result;
}

absl::StatusOr<Batch> Loader::Get(int64_t step, int64_t microbatch) {
  if (step < 0 || microbatch < 0 || microbatch >= microbatches()) {
    return absl::InternalError(absl::StrCat("microbatch ", microbatch, " of step ", step,
                                            " asked for; a step has ", microbatches()));
  }
  if (current_ == nullptr || current_->step != step) {
    const auto start = std::chrono::steady_clock::now();
    current_ = Take(step);
    seconds_waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  if (!current_->status.ok()) return current_->status;
  Batch batch;
  batch.inputs = current_->inputs.select(0, microbatch);
  batch.targets = current_->targets.select(0, microbatch);
  const int64_t begin = microbatch * geometry_.micro_batch;
  const int64_t first_row = geometry_.data_rank * (geometry_.global_batch / geometry_.data_degree);
  for (int64_t i = begin; i < begin + geometry_.micro_batch; ++i) {
    batch.rows.push_back(first_row + i);
    batch.samples.push_back(current_->samples[static_cast<size_t>(i)]);
  }
  return batch;
}

std::unique_ptr<Loader::Step> Loader::Take(int64_t step) {
  if (!thread_.joinable()) return Read(step);
  std::unique_lock<std::mutex> lock(mutex_);
  if (wanted_ == step) changed_.wait(lock, [this] { return !wanted_.has_value(); });
  std::unique_ptr<Step> taken;
  if (!wanted_.has_value() && ready_ != nullptr && ready_->step == step) taken = std::move(ready_);
  if (taken == nullptr) {
    // The first step, or a jump: read it here. The thread may be busy with a step nobody will ask for.
    lock.unlock();
    taken = Read(step);
    lock.lock();
    changed_.wait(lock, [this] { return !wanted_.has_value(); });
  }
  wanted_ = step + 1;
  lock.unlock();
  changed_.notify_all();
  return taken;
}

void Loader::RunThread() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || wanted_.has_value(); });
    if (stop_) return;
    const int64_t step = *wanted_;
    lock.unlock();
    std::unique_ptr<Step> read;
    try {
      read = Read(step);
    } catch (const std::exception& error) {  // out of memory: the caller's thread reports it
      read = std::make_unique<Step>();
      read->step = step;
      read->status = absl::InternalError(absl::StrCat("the data thread failed: ", error.what()));
    }
    lock.lock();
    ready_ = std::move(read);
    wanted_.reset();
    changed_.notify_all();
  }
}

}  // namespace orthant
