// ArchiveReader: tensors in safetensors files, one file or several with an index, read in pieces. Trusts
// nothing in them: what does not add up is a DataError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/positioned_file.h"

namespace orthant {

inline constexpr char kArchiveFile[] = "model.safetensors";
inline constexpr char kArchiveIndex[] = "model.safetensors.index.json";

// One thread.
class ArchiveReader {
 public:
  struct Entry {
    int file = 0;
    int64_t offset = 0, bytes = 0;  // from the beginning of the file
    std::string dtype;              // as written there: "F32", "BF16", "U8", ...
    std::vector<int64_t> shape;
  };

  // `path`: a folder with model.safetensors or model.safetensors.index.json, or one file. DataError names the
  // file: missing, header not as the format wants it, tensors beyond its end or overlapping, tensors of the
  // index not where it says, or in no file.
  static absl::StatusOr<ArchiveReader> Open(const std::string& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::string& FileOf(const Entry& entry) const { return files_[entry.file].path(); }

  // Bytes [begin, begin + to.size()) of the tensor.
  absl::Status Read(const Entry& entry, int64_t begin, std::span<std::byte> to) const;

 private:
  absl::Status AddFile(const std::string& path);
  absl::Status AddIndexed(const std::string& folder);

  std::vector<PositionedFile> files_;
  std::map<std::string, Entry> entries_;
};

// The tensors in one file. DataError as above.
absl::StatusOr<std::map<std::string, ArchiveReader::Entry>> ReadArchiveHeader(const PositionedFile& file);

}  // namespace orthant
