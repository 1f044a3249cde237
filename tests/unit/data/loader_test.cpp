// The loader: every mesh reads the same global batch, and the thread changes nothing but the time.
#include "orthant/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ATen/ATen.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/data/dataset.h"
#include "orthant/data/ledger.h"
#include "unit/data/folder.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kContext = 8, kGlobalBatch = 12, kTokens = 500;

std::shared_ptr<const TokenSource> Source() {
  return std::make_shared<SyntheticTokens>("t", kTokens, 50);
}
std::shared_ptr<const SampleSequence> Sequence() {
  return std::make_shared<TrainingSequence>(*TrainingSequence::Create(3, kTokens, kContext, "t"));
}

std::unique_ptr<Loader> MakeLoader(const BatchGeometry& geometry, bool prefetch) {
  auto loader = Loader::Create(Source(), Sequence(), geometry, prefetch);
  EXPECT_TRUE(loader.ok()) << loader.status();
  return *std::move(loader);
}

BatchGeometry Whole() {
  return {kGlobalBatch, kGlobalBatch, 1, 0, 0, kContext};
}

bool Same(const Batch& a, const Batch& b) {
  return at::equal(a.inputs, b.inputs) && at::equal(a.targets, b.targets) && a.rows == b.rows &&
         a.samples == b.samples;
}

TEST(Loader, TargetsAreTheNextTokensOfTheListedSamples) {
  const auto loader = MakeLoader(Whole(), false);
  const auto source = Source();
  const auto sequence = Sequence();
  for (const int64_t step : {0, 1, 30}) {
    const auto batch = loader->Get(step, 0);
    ASSERT_TRUE(batch.ok());
    ASSERT_EQ(batch->inputs.sizes(), at::IntArrayRef({kGlobalBatch, kContext}));
    ASSERT_TRUE(batch->inputs.is_contiguous() && batch->targets.is_contiguous());
    for (int64_t row = 0; row < kGlobalBatch; ++row) {
      const SampleRef ref = sequence->At(step * kGlobalBatch + row);
      EXPECT_EQ(batch->samples[row], ref.sample);
      EXPECT_EQ(batch->rows[row], row);
      std::vector<int64_t> window(kContext + 1);
      ASSERT_TRUE(source->Read(ref.offset, absl::MakeSpan(window)).ok());
      for (int64_t i = 0; i < kContext; ++i) {
        EXPECT_EQ(batch->inputs[row][i].item<int64_t>(), window[i]);
        EXPECT_EQ(batch->targets[row][i].item<int64_t>(), window[i + 1]);
      }
    }
  }
}

// Puts together what all ranks of a mesh read and compares it with the one-rank batch.
TEST(Loader, EveryMeshReadsTheSameGlobalBatch) {
  const auto whole = MakeLoader(Whole(), false);
  for (const auto& [data, micro, sequence] : std::vector<std::array<int64_t, 3>>{
           {1, 3, 1}, {2, 2, 1}, {3, 4, 2}, {4, 1, 4}, {12, 1, 8}, {2, 6, 2}}) {
    for (const int64_t step : {0, 7}) {
      const auto expected = whole->Get(step, 0);
      ASSERT_TRUE(expected.ok());
      at::Tensor inputs = at::full({kGlobalBatch, kContext}, -1, at::kLong);
      at::Tensor targets = inputs.clone();
      std::vector<int64_t> samples(kGlobalBatch, -1);
      const int64_t length = kContext / sequence;
      for (int64_t rank = 0; rank < data * sequence; ++rank) {
        const int64_t begin = rank % sequence * length;
        const auto loader =
            MakeLoader({kGlobalBatch, micro, data, rank / sequence, begin, length}, rank % 2 == 0);
        EXPECT_EQ(loader->microbatches(), kGlobalBatch / data / micro);
        for (int64_t m = 0; m < loader->microbatches(); ++m) {
          const auto batch = loader->Get(step, m);
          ASSERT_TRUE(batch.ok());
          for (int64_t i = 0; i < micro; ++i) {
            inputs[batch->rows[i]].narrow(0, begin, length).copy_(batch->inputs[i]);
            targets[batch->rows[i]].narrow(0, begin, length).copy_(batch->targets[i]);
            samples[batch->rows[i]] = batch->samples[i];
          }
        }
      }
      EXPECT_TRUE(at::equal(inputs, expected->inputs));
      EXPECT_TRUE(at::equal(targets, expected->targets));
      EXPECT_EQ(samples, expected->samples);
    }
  }
}

TEST(Loader, PrefetchGivesWhatDirectReadingGives) {
  const BatchGeometry geometry = {kGlobalBatch, 2, 2, 1, 4, 4};
  const auto direct = MakeLoader(geometry, false), ahead = MakeLoader(geometry, true);
  // In order, again, backwards, far ahead: any order of steps is right.
  for (const int64_t step : {0, 1, 2, 3, 3, 2, 90, 91, 0, 1, 92}) {
    for (int64_t m = 0; m < direct->microbatches(); ++m) {
      EXPECT_TRUE(Same(*direct->Get(step, m), *ahead->Get(step, m))) << step << " " << m;
    }
  }
}

TEST(Loader, TensorsStayAsTheyWereGiven) {
  const auto loader = MakeLoader(Whole(), true);
  const Batch first = *loader->Get(0, 0);
  const at::Tensor copy = first.inputs.clone();
  for (int64_t step = 1; step < 50; ++step) ASSERT_TRUE(loader->Get(step, 0).ok());
  EXPECT_TRUE(at::equal(first.inputs, copy));
}

TEST(Loader, EndsCleanlyWhenNothingWasAskedForOrMuch) {
  for (int round = 0; round < 50; ++round) {
    const auto loader = MakeLoader(Whole(), true);
    for (int64_t step = 0; step < round % 4; ++step) ASSERT_TRUE(loader->Get(step, 0).ok());
  }
}

TEST(Loader, DamageFoundWhileReadingIsReportedAtThatStep) {
  const testing::Folder folder;
  std::vector<int> ids(300'000, 1);
  const std::string path = folder.Write("train.bin", testing::Uint16Bytes(ids));
  auto file = TokenFile::Open(path, TokenType::kUint16, 300'000, 4);
  ASSERT_TRUE(file.ok());
  const auto source = std::make_shared<const TokenFile>(*std::move(file));
  const auto sequence = std::make_shared<TrainingSequence>(*TrainingSequence::Create(3, 300'000, 8, "t"));
  auto loader = Loader::Create(source, sequence, {2, 2, 1, 0, 0, 8}, true);
  ASSERT_TRUE(loader.ok());
  ASSERT_TRUE((*loader)->Get(0, 0).ok());
  // Somebody writes into the file under the running trainer.
  const int64_t offset = sequence->At(2 * 2 + 1).offset;
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(2 * offset).write("\x09", 1);
  ASSERT_TRUE((*loader)->Get(1, 0).ok());
  const absl::Status status = (*loader)->Get(2, 0).status();
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
  EXPECT_THAT(status.message(), HasSubstr("is 9, beyond the vocabulary of 4"));
}

TEST(Loader, RefusesGeometriesThatDoNotDivide) {
  const auto failure = [](const BatchGeometry& geometry) {
    const absl::Status status = Loader::Create(Source(), Sequence(), geometry, false).status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kConfiguration);
    return std::string(status.message());
  };
  EXPECT_THAT(failure({10, 3, 2, 0, 0, 8}), HasSubstr("train.global_batch=10"));
  EXPECT_THAT(failure({10, 3, 2, 0, 0, 8}), HasSubstr("the nearest is 12"));
  EXPECT_THAT(failure({2, 3, 2, 0, 0, 8}), HasSubstr("the nearest is 6"));
  EXPECT_THAT(failure({12, 0, 2, 0, 0, 8}), HasSubstr("micro_batch"));
  EXPECT_THAT(failure({12, 1, 2, 2, 0, 8}), HasSubstr("data rank 2 of 2"));
  EXPECT_THAT(failure({12, 1, 2, 0, 4, 8}), HasSubstr("model.context=8"));
}

TEST(Loader, AskingOutsideTheStepIsABug) {
  const auto loader = MakeLoader(Whole(), false);
  EXPECT_EQ(ExitCodeOf(loader->Get(0, 1).status()), ExitCode::kInternal);
  EXPECT_EQ(ExitCodeOf(loader->Get(-1, 0).status()), ExitCode::kInternal);
}

TEST(Ledger, ListsWhatTheLoaderReads) {
  DataConfig config;
  config.source = "synthetic";
  config.synthetic_tokens = kTokens;
  config.synthetic_vocab = 50;
  const auto ledger = ListSamples(config, 3, kContext, kGlobalBatch, 7);
  ASSERT_TRUE(ledger.ok()) << ledger.status();
  const Batch batch = *MakeLoader(Whole(), false)->Get(6, 0);  // the trainer's seventh
  ASSERT_EQ(ledger->samples.size(), batch.samples.size());
  const nlohmann::json json = ledger->ToJson();
  EXPECT_EQ(json["step"], 7);
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    EXPECT_EQ(ledger->samples[i].sample, batch.samples[i]);
    EXPECT_EQ(json["samples"][i]["sample"], batch.samples[i]);
    EXPECT_EQ(json["samples"][i]["offset"], ledger->samples[i].offset);
  }
  EXPECT_EQ(ListSamples(config, 3, kContext, kGlobalBatch, 7)->samples, ledger->samples);
  EXPECT_EQ(ExitCodeOf(ListSamples(config, 3, kContext, kGlobalBatch, 0).status()), ExitCode::kConfiguration);
  EXPECT_EQ(ExitCodeOf(ListSamples(config, 3, kTokens, kGlobalBatch, 1).status()), ExitCode::kConfiguration);
}

}  // namespace
}  // namespace orthant
