// Documents: the texts that go into a folder of prepared tokens, in order, opened one at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/core/file.h"

namespace orthant {

// A text file, or a text in memory (`path` empty).
struct Document {
  std::string name;  // as data.json and messages call it: no folders of this machine
  std::string path;
  std::string text;
};

// The bytes of a document while it is open.
class DocumentText {
 public:
  // The document must outlive the text. DataError when the file cannot be read.
  static absl::StatusOr<DocumentText> Open(const Document& document);
  std::string_view view() const { return view_; }
  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(view_)); }

 private:
  MappedFile file_;
  std::string_view view_;
};

// Each input is a text file, or a folder: its *.txt files at any depth, sorted by path. DataError where an
// input is missing or a folder holds no *.txt.
absl::StatusOr<std::vector<Document>> ListDocuments(const std::vector<std::string>& inputs);

}  // namespace orthant
