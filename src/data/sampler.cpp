#include "orthant/data/sampler.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Four rounds make a Feistel network look random on large halves (Luby and Rackoff); small halves need more.
constexpr uint32_t kRounds = 10;

// The round function: 64 bits from the other half, the round and the epoch's key.
uint64_t RoundBits(PhiloxKey key, uint64_t half, uint32_t round) {
  const std::array<uint32_t, 4> words =
      Philox4x32({static_cast<uint32_t>(half), static_cast<uint32_t>(half >> 32), round, 0},
                 {static_cast<uint32_t>(key.value), static_cast<uint32_t>(key.value >> 32)});
  return (uint64_t{words[1]} << 32) | words[0];
}

}  // namespace

SampleOrder::SampleOrder(uint64_t seed, int64_t samples)
    : key_(DeriveKey(seed, "data.order")), samples_(samples) {
  const auto n = static_cast<uint64_t>(samples);
  // The least a with a * a >= n, then the least b with a * b >= n; sqrt of a 63-bit number may be off by one.
  rows_ = static_cast<uint64_t>(std::sqrt(static_cast<double>(n)));
  while (rows_ * rows_ < n) ++rows_;
  while (rows_ > 1 && (rows_ - 1) * (rows_ - 1) >= n) --rows_;
  columns_ = (n + rows_ - 1) / rows_;
}

uint64_t SampleOrder::Permute(uint64_t value, PhiloxKey epoch_key) const {
  uint64_t row = value / columns_, column = value % columns_;
  for (uint32_t round = 0; round < kRounds; round += 2) {
    row = (row + RoundBits(epoch_key, column, round) % rows_) % rows_;
    column = (column + RoundBits(epoch_key, row, round + 1) % columns_) % columns_;
  }
  return row * columns_ + column;
}

int64_t SampleOrder::SampleAt(int64_t global_index) const {
  const PhiloxKey epoch_key = DeriveKey(key_, {static_cast<uint64_t>(global_index / samples_)});
  auto value = static_cast<uint64_t>(global_index % samples_);
  // Cycle walking: the permutation of [0, a * b) restricted to [0, samples) by skipping what lies outside.
  do {
    value = Permute(value, epoch_key);
  } while (value >= static_cast<uint64_t>(samples_));
  return static_cast<int64_t>(value);
}

absl::StatusOr<int64_t> SamplesIn(int64_t tokens, int64_t context, const std::string& name) {
  if (context < 1)
    return ConfigurationError(absl::StrCat("model.context is ", context, "; it must be at least 1"));
  if (tokens < context + 1) {
    const std::string remedy =
        tokens < 2 ? "more text" : absl::StrCat("at most model.context=", tokens - 1, ", or more text");
    return ConfigurationError(absl::StrCat("the sequence is longer than the data: model.context=", context,
                                           " needs samples of ", context + 1, " tokens, and ", name,
                                           " holds ", tokens, "; use ", remedy));
  }
  return (tokens - 1) / context;
}

TrainingSequence::TrainingSequence(uint64_t seed, int64_t tokens, int64_t context, int64_t samples)
    : order_(seed, samples), phase_key_(DeriveKey(seed, "data.phase")), tokens_(tokens), context_(context) {}

absl::StatusOr<TrainingSequence> TrainingSequence::Create(uint64_t seed, int64_t tokens, int64_t context,
                                                          const std::string& name) {
  const absl::StatusOr<int64_t> samples = SamplesIn(tokens, context, name);
  if (!samples.ok()) return samples.status();
  return TrainingSequence(seed, tokens, context, *samples);
}

SampleRef TrainingSequence::At(int64_t index) const {
  const int64_t epoch = index / order_.samples();
  int64_t phase = 0;
  if (epoch > 0) phase = Bits(phase_key_, 0, static_cast<uint64_t>(epoch)) % static_cast<uint64_t>(context_);
  const int64_t sample = order_.SampleAt(index);
  const int64_t last_offset = tokens_ - context_ - 1;
  return {sample, std::min(phase + sample * context_, last_offset)};
}

absl::StatusOr<ValidationSequence> ValidationSequence::Create(int64_t tokens, int64_t context, int64_t count,
                                                              const std::string& name) {
  const absl::StatusOr<int64_t> samples = SamplesIn(tokens, context, name);
  if (!samples.ok()) return samples.status();
  if (count < 1)
    return ConfigurationError(absl::StrCat("a validation set of ", count, " samples; it needs at least 1"));
  return ValidationSequence(context, *samples, count);
}

SampleRef ValidationSequence::At(int64_t index) const {
  const int64_t i = index % count_;
  // floor(i * samples / count), without the product that may pass 2^63 on very large files.
  const int64_t sample = samples_ / count_ * i + samples_ % count_ * i / count_;
  return {sample, sample * context_};
}

}  // namespace orthant
