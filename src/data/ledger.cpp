#include "orthant/data/ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "data/existing.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/data/dataset.h"

namespace orthant {
namespace {

constexpr int64_t kOpeningTokens = 80;

absl::StatusOr<std::string> Opening(const std::string& folder, const Manifest& manifest) {
  if (manifest.tokenizer == nullptr) return std::string();
  absl::StatusOr<TokenFile> train = TokenFile::Open(PathIn(folder, kTrainFile), manifest.type,
                                                    manifest.train.tokens, manifest.vocabulary_size, 0);
  if (!train.ok()) return train.status();
  std::vector<int64_t> ids(static_cast<size_t>(std::min(kOpeningTokens, train->tokens())));
  if (absl::Status status = train->Read(0, absl::MakeSpan(ids)); !status.ok()) return status;
  return manifest.tokenizer->Decode(ids);
}

}  // namespace

absl::StatusOr<Ledger> ListSamples(const DataConfig& config, int64_t seed, int64_t context,
                                   int64_t global_batch, int64_t step) {
  if (step < 1) {
    return ConfigurationError(
        absl::StrCat("--step ", step, ": steps count from 1, as in metrics.jsonl; use 1"));
  }
  absl::StatusOr<Dataset> dataset = OpenDataset(config);
  if (!dataset.ok()) return dataset.status();
  absl::StatusOr<TrainingSequence> sequence = TrainingSequence::Create(
      static_cast<uint64_t>(seed), dataset->train->tokens(), context, dataset->train->name());
  if (!sequence.ok()) return sequence.status();
  Ledger ledger;
  ledger.step = step;
  for (int64_t row = 0; row < global_batch; ++row)
    ledger.samples.push_back(sequence->At((step - 1) * global_batch + row));
  return ledger;
}

std::string Ledger::ToText() const {
  std::string text = absl::StrFormat("step %d\n  row      sample      offset\n", step);
  for (size_t row = 0; row < samples.size(); ++row) {
    absl::StrAppendFormat(&text, "%5d %11d %11d\n", row, samples[row].sample, samples[row].offset);
  }
  return text;
}

nlohmann::json Ledger::ToJson() const {
  nlohmann::json json = {{"step", step}, {"samples", nlohmann::json::array()}};
  for (const SampleRef& ref : samples)
    json["samples"].push_back({{"sample", ref.sample}, {"offset", ref.offset}});
  return json;
}

absl::StatusOr<Inspection> InspectFolder(const std::string& folder) {
  absl::StatusOr<Manifest> manifest = ReadManifest(folder);
  if (!manifest.ok()) return manifest.status();
  if (manifest->preparing) {
    return DataError(absl::StrCat(folder, ": an `orthant data prepare` was interrupted here; run it again"));
  }
  if (absl::Status status = VerifyTokens(folder, *manifest); !status.ok()) return status;
  absl::StatusOr<std::string> opening = Opening(folder, *manifest);
  if (!opening.ok()) return opening.status();
  return Inspection{folder, *std::move(manifest), *std::move(opening)};
}

std::string Inspection::ToText() const {
  const std::string kind = manifest.tokenizer == nullptr ? "none" : manifest.tokenizer->kind();
  std::string text = absl::StrCat(folder, ": whole, every byte as data.json says\n");
  absl::StrAppend(&text, "  ", FormatCount(manifest.train.tokens), " train and ",
                  FormatCount(manifest.validation.tokens), " validation tokens, vocabulary ",
                  FormatCount(manifest.vocabulary_size), " (tokenizer ", kind, ", ",
                  TokenTypeName(manifest.type), ")\n");
  absl::StrAppend(&text, "  from ", FormatCount(static_cast<int64_t>(manifest.sources.size())),
                  manifest.sources.size() == 1 ? " text" : " texts",
                  manifest.corpus.empty() ? "" : absl::StrCat(" of ", manifest.corpus), "\n");
  if (!opening.empty())
    absl::StrAppend(&text, "  begins \"", absl::StrReplaceAll(absl::Utf8SafeCEscape(opening), {{"\\'", "'"}}),
                    "\"\n");
  return text;
}

nlohmann::json Inspection::ToJson() const {
  nlohmann::json json = orthant::ToJson(manifest);
  json["folder"] = folder;
  json["whole"] = true;
  return json;
}

}  // namespace orthant
