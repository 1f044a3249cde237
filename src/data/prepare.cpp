#include "orthant/data/prepare.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "data/existing.h"
#include "data/token_writer.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/data/byte_tokenizer.h"
#include "orthant/data/char_tokenizer.h"
#include "orthant/data/document.h"
#include "orthant/data/shakespeare.h"
#include "orthant/data/utf8.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

// Text is handled in pieces of this many bytes: memory stays small whatever the input.
constexpr size_t kPieceBytes = size_t{1} << 20;

// A bar over bytes handled, or nothing.
class Progress {
 public:
  Progress(bool wanted, const std::string& title, int64_t total) {
    if (wanted) bar_.emplace(title, total);
  }
  void Add(int64_t bytes) {
    done_ += bytes;
    if (bar_) bar_->Update(done_);
  }

 private:
  std::optional<ProgressBar> bar_;
  int64_t done_ = 0;
};

// A folder for this process alone, removed at the end.
class ScratchFolder {
 public:
  absl::Status Make() {
    std::error_code error;
    std::string pattern = (fs::temp_directory_path(error) / "orthant-data-XXXXXX").string();
    if (error || ::mkdtemp(pattern.data()) == nullptr) {
      return EnvironmentError("no scratch folder can be made; set TMPDIR to a folder that can be written");
    }
    path_ = pattern;
    return absl::OkStatus();
  }
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

absl::Status CheckOptions(const PrepareOptions& options) {
  if (options.tokenizer != "char" && options.tokenizer != "byte") {
    return ConfigurationError(absl::StrCat("--tokenizer ", options.tokenizer, " is not one of char, byte"));
  }
  if (options.inputs.empty() == options.corpus.empty()) {
    return ConfigurationError("name what to prepare: either --input PATH... or --corpus shakespeare");
  }
  if (!options.corpus.empty() && options.corpus != kShakespeareCorpus) {
    return ConfigurationError(
        absl::StrCat("--corpus ", options.corpus, " is not known; there is: shakespeare"));
  }
  if (!options.archive.empty() && options.corpus.empty()) {
    return ConfigurationError("--archive belongs to --corpus; a text file is named with --input");
  }
  if (options.inputs.size() > 1 && options.output.empty()) {
    return ConfigurationError("several inputs need --output DIR");
  }
  return absl::OkStatus();
}

std::string OutputFolder(const PrepareOptions& options) {
  if (!options.output.empty()) return options.output;
  if (!options.corpus.empty()) return absl::StrCat("data/", options.corpus);
  std::error_code error;
  const fs::path input = fs::canonical(options.inputs.front(), error);
  return absl::StrCat("data/", (error ? fs::path(options.inputs.front()) : input).stem().string());
}

absl::StatusOr<std::vector<Document>> CorpusDocuments(const PrepareOptions& options) {
  ScratchFolder scratch;
  if (absl::Status status = scratch.Make(); !status.ok()) return status;
  std::string archive = options.archive;
  if (archive.empty()) {
    absl::StatusOr<std::string> downloaded = DownloadShakespeare(scratch.path());
    if (!downloaded.ok()) return downloaded.status();
    archive = *std::move(downloaded);
  }
  return ReadShakespeare(archive, scratch.path());
}

absl::StatusOr<std::vector<Manifest::Source>> DescribeSources(const std::vector<Document>& documents) {
  std::vector<Manifest::Source> sources;
  for (const Document& document : documents) {
    absl::StatusOr<DocumentText> text = DocumentText::Open(document);
    if (!text.ok()) return text.status();
    sources.push_back(
        {document.name, static_cast<int64_t>(text->view().size()), ChecksumText(text->bytes())});
  }
  return sources;
}

int64_t TotalBytes(const std::vector<Manifest::Source>& sources) {
  int64_t total = 0;
  for (const Manifest::Source& source : sources) total += source.bytes;
  return total;
}

// Calls handle(piece, offset of the piece) over the text, no character cut in two.
template <typename Handle>
absl::Status InPieces(std::string_view text, Progress* progress, const Handle& handle) {
  for (size_t offset = 0; offset < text.size();) {
    const size_t size = Utf8Boundary(text.substr(offset), kPieceBytes);
    if (absl::Status status = handle(text.substr(offset, size), offset); !status.ok()) return status;
    offset += size;
    progress->Add(static_cast<int64_t>(size));
  }
  return absl::OkStatus();
}

// The tokenizer for the documents, and each document's length in tokens.
struct Vocabulary {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<int64_t> tokens;
};

absl::StatusOr<Vocabulary> ReadVocabulary(const std::string& kind, const std::vector<Document>& documents,
                                          const std::vector<Manifest::Source>& sources, Progress* progress) {
  Vocabulary result;
  if (kind == "byte") {
    result.tokenizer = std::make_shared<const ByteTokenizer>();
    for (const Manifest::Source& source : sources) result.tokens.push_back(source.bytes);
    progress->Add(TotalBytes(sources));
    return result;
  }
  CharTokenizer::Builder builder;
  for (const Document& document : documents) {
    absl::StatusOr<DocumentText> text = DocumentText::Open(document);
    if (!text.ok()) return text.status();
    const std::string& name = document.path.empty() ? document.name : document.path;
    int64_t characters = 0;
    const absl::Status status = InPieces(text->view(), progress, [&](std::string_view piece, size_t offset) {
      return builder.Add(piece, name, static_cast<int64_t>(offset), &characters);
    });
    if (!status.ok()) return status;
    result.tokens.push_back(characters);
  }
  result.tokenizer = std::make_shared<const CharTokenizer>(builder.Build());
  return result;
}

// Tokens of a text that train; the rest validates. In integers: floor(0.9 n), exactly.
int64_t TrainShare(int64_t tokens) {
  return tokens / 10 * 9 + tokens % 10 * 9 / 10;
}

absl::Status EncodeDocument(const Document& document, const Tokenizer& tokenizer, int64_t tokens,
                            Progress* progress, TokenWriter* train, TokenWriter* validation) {
  absl::StatusOr<DocumentText> text = DocumentText::Open(document);
  if (!text.ok()) return text.status();
  int64_t left_to_train = TrainShare(tokens), done = 0;
  const absl::Status status =
      InPieces(text->view(), progress, [&](std::string_view piece, size_t) -> absl::Status {
        absl::StatusOr<std::vector<int64_t>> ids = tokenizer.Encode(piece);
        if (!ids.ok()) return ids.status();
        const auto share = static_cast<size_t>(std::min(left_to_train, static_cast<int64_t>(ids->size())));
        left_to_train -= static_cast<int64_t>(share);
        done += static_cast<int64_t>(ids->size());
        const absl::Span<const int64_t> all(*ids);
        if (absl::Status appended = train->Append(all.first(share)); !appended.ok()) return appended;
        return validation->Append(all.subspan(share));
      });
  if (status.ok() && done == tokens) return status;
  // The text was read before, so anything odd now means that somebody writes it.
  return DataError(absl::StrCat("input ", document.name, " changed while it was read; run it again"));
}

// data.json says "preparing" while the token files change places, so that no moment shows new tokens under an
// old description.
absl::Status PutInPlace(const std::string& output, Manifest* manifest, TokenWriter* train,
                        TokenWriter* validation) {
  const std::string path = PathIn(output, kManifestFile);
  manifest->preparing = true;
  if (absl::Status status = WriteJsonFile(path, ToJson(*manifest)); !status.ok()) return status;
  if (absl::Status status = train->Publish(); !status.ok()) return status;
  if (absl::Status status = validation->Publish(); !status.ok()) return status;
  if (absl::Status status = SyncFolder(output); !status.ok()) return status;
  manifest->preparing = false;
  return WriteJsonFile(path, ToJson(*manifest));
}

absl::Status WriteTokens(const PrepareOptions& options, const std::vector<Document>& documents,
                         const std::string& output, Manifest* manifest) {
  Progress progress(options.progress, "prepare", 2 * TotalBytes(manifest->sources));
  absl::StatusOr<Vocabulary> vocabulary =
      ReadVocabulary(options.tokenizer, documents, manifest->sources, &progress);
  if (!vocabulary.ok()) return vocabulary.status();
  manifest->tokenizer = vocabulary->tokenizer;
  manifest->vocabulary_size = vocabulary->tokenizer->vocabulary_size();
  manifest->type = TokenTypeFor(manifest->vocabulary_size);
  for (const int64_t tokens : vocabulary->tokens) {
    manifest->text_units += tokens;
    manifest->train.tokens += TrainShare(tokens);
    manifest->validation.tokens += tokens - TrainShare(tokens);
  }
  if (manifest->train.tokens == 0 || manifest->validation.tokens == 0) {
    return DataError(
        absl::StrCat("the input holds ", manifest->text_units, " ", manifest->tokenizer->text_unit(),
                     ", too few to split into training and validation tokens; at least 2 are needed"));
  }
  if (absl::Status status = MakeDirectories(output); !status.ok()) return status;
  TokenWriter train(PathIn(output, kTrainFile), manifest->type);
  TokenWriter validation(PathIn(output, kValidationFile), manifest->type);
  if (absl::Status status = train.Open(); !status.ok()) return status;
  if (absl::Status status = validation.Open(); !status.ok()) return status;
  for (size_t i = 0; i < documents.size(); ++i) {
    const absl::Status status = EncodeDocument(documents[i], *manifest->tokenizer, vocabulary->tokens[i],
                                               &progress, &train, &validation);
    if (!status.ok()) return status;
  }
  if (absl::Status status = train.Finish(&manifest->train.xxh64); !status.ok()) return status;
  if (absl::Status status = validation.Finish(&manifest->validation.xxh64); !status.ok()) return status;
  return PutInPlace(output, manifest, &train, &validation);
}

}  // namespace

absl::StatusOr<PrepareReport> Prepare(const PrepareOptions& options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  PrepareReport report;
  report.output = OutputFolder(options);
  Manifest wanted;
  wanted.orthant = options.orthant_version;
  if (!options.corpus.empty()) wanted.corpus = kShakespeareName;

  // A corpus is known by its name: when it is there already, nothing is downloaded to find that out.
  absl::StatusOr<std::vector<Document>> documents;
  if (options.corpus.empty()) {
    documents = ListDocuments(options.inputs);
    if (!documents.ok()) return documents.status();
    absl::StatusOr<std::vector<Manifest::Source>> sources = DescribeSources(*documents);
    if (!sources.ok()) return sources.status();
    wanted.sources = *std::move(sources);
  }
  absl::StatusOr<Existing> existing = LookAtOutput(report.output, wanted, options.tokenizer, options.force);
  if (!existing.ok()) return existing.status();
  if (existing->whole) {
    report.manifest = std::move(existing->manifest);
    report.already_prepared = true;
    return report;
  }
  report.note = existing->note;
  if (!options.corpus.empty()) {
    documents = CorpusDocuments(options);
    if (!documents.ok()) return documents.status();
    absl::StatusOr<std::vector<Manifest::Source>> sources = DescribeSources(*documents);
    if (!sources.ok()) return sources.status();
    wanted.sources = *std::move(sources);
  }
  if (absl::Status status = WriteTokens(options, *documents, report.output, &wanted); !status.ok())
    return status;
  report.manifest = std::move(wanted);
  return report;
}

}  // namespace orthant
