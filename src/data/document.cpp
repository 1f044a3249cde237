#include "orthant/data/document.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/data/utf8.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

absl::Status AddFolder(const std::string& folder, std::vector<Document>* documents) {
  std::vector<Document> found;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code not_file;
    if (it->path().extension() != ".txt" || !it->is_regular_file(not_file)) continue;
    found.push_back(
        {RepairUtf8(it->path().lexically_relative(folder).generic_string()), it->path().string(), ""});
  }
  if (error) return DataError(absl::StrCat("folder ", folder, " cannot be read: ", error.message()));
  if (found.empty()) {
    return DataError(
        absl::StrCat("folder ", folder, " holds no *.txt files; name text files, or a folder of them"));
  }
  std::sort(found.begin(), found.end(), [](const Document& a, const Document& b) { return a.path < b.path; });
  std::move(found.begin(), found.end(), std::back_inserter(*documents));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DocumentText> DocumentText::Open(const Document& document) {
  DocumentText text;
  if (document.path.empty()) {
    text.view_ = document.text;
    return text;
  }
  absl::StatusOr<MappedFile> file = MappedFile::Open(document.path);
  if (!file.ok()) return file.status();
  text.file_ = *std::move(file);
  text.view_ = {reinterpret_cast<const char*>(text.file_.bytes().data()), text.file_.bytes().size()};
  return text;
}

absl::StatusOr<std::vector<Document>> ListDocuments(const std::vector<std::string>& inputs) {
  std::vector<Document> documents;
  for (const std::string& input : inputs) {
    if (!FileExists(input)) {
      return DataError(
          absl::StrCat("input ", input, " does not exist; name a text file, or a folder of *.txt files"));
    }
    if (!IsFolder(input)) {
      documents.push_back({RepairUtf8(fs::path(input).filename().string()), input, ""});
    } else if (absl::Status status = AddFolder(input, &documents); !status.ok()) {
      return status;
    }
  }
  return documents;
}

}  // namespace orthant
