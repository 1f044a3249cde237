// Which sample is read when: pure functions of (seed, index), O(1) a query, nothing stored, so that any rank
// of any mesh can ask for any step. A sample is a window of context + 1 tokens of one file.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "orthant/core/philox.h"

namespace orthant {

// A keyed permutation of [0, samples) for each epoch: every sample once an epoch, in an order that looks
// random. Alternating modular Feistel rounds on Z_a x Z_b with a * b just above `samples`, and cycle walking
// for the rest: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002, section 5
// (generalised Feistel), with Philox as the round function. Needs about one walk a query: a * b - samples < 2
// sqrt(samples).
class SampleOrder {
 public:
  // samples >= 1.
  SampleOrder(uint64_t seed, int64_t samples);

  int64_t samples() const { return samples_; }
  // The sample at `global_index` >= 0 of the endless run: epoch global_index / samples, its position the
  // rest.
  int64_t SampleAt(int64_t global_index) const;

 private:
  uint64_t Permute(uint64_t value, PhiloxKey epoch_key) const;

  PhiloxKey key_;
  int64_t samples_;
  uint64_t rows_, columns_;  // a, b
};

// One sample: tokens [offset, offset + context] of the file, both ends included (context inputs, shifted
// targets).
struct SampleRef {
  int64_t sample = 0;  // id, 0 .. samples - 1
  int64_t offset = 0;  // first token in the file
  friend bool operator==(const SampleRef&, const SampleRef&) = default;
};

// An endless sequence of samples; global batch G of step s is entries s * G .. s * G + G - 1.
// Immutable: any number of threads may ask.
class SampleSequence {
 public:
  virtual ~SampleSequence() = default;
  virtual int64_t context() const = 0;
  virtual int64_t samples() const = 0;  // distinct ids
  virtual SampleRef At(int64_t index) const = 0;
};

// Samples in a file: (tokens - 1) / context windows that overlap by the one token that is target of one and
// input of the next. ConfigurationError where there is not even one; `name` is what the message calls the
// data.
absl::StatusOr<int64_t> SamplesIn(int64_t tokens, int64_t context, const std::string& name);

// Training order. In epoch 0 sample k begins at token k * context. Later epochs begin at a random phase p in
// [0, context), so that a token is not seen at the same place of its window for ever: sample k begins at
// p + k * context, and the last one is moved back where it would leave the file.
class TrainingSequence final : public SampleSequence {
 public:
  static absl::StatusOr<TrainingSequence> Create(uint64_t seed, int64_t tokens, int64_t context,
                                                 const std::string& name);

  int64_t context() const override { return context_; }
  int64_t samples() const override { return order_.samples(); }
  SampleRef At(int64_t index) const override;

 private:
  TrainingSequence(uint64_t seed, int64_t tokens, int64_t context, int64_t samples);

  SampleOrder order_;
  PhiloxKey phase_key_;
  int64_t tokens_, context_;
};

// A fixed set of `count` samples spread evenly over the file: entry i is sample floor(i * samples / count),
// the same whatever the seed. Where count > samples some samples come more than once (repeats()). Beyond
// `count` the sequence begins again.
class ValidationSequence final : public SampleSequence {
 public:
  // count >= 1.
  static absl::StatusOr<ValidationSequence> Create(int64_t tokens, int64_t context, int64_t count,
                                                   const std::string& name);

  int64_t context() const override { return context_; }
  int64_t samples() const override { return samples_; }
  bool repeats() const { return count_ > samples_; }
  SampleRef At(int64_t index) const override;

 private:
  ValidationSequence(int64_t context, int64_t samples, int64_t count)
      : context_(context), samples_(samples), count_(count) {}

  int64_t context_, samples_, count_;
};

}  // namespace orthant
