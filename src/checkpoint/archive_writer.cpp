#include "checkpoint/archive_writer.h"

#include <utility>

#include "checkpoint/dtype_names.h"
#include "checkpoint/manifest_json.h"
#include "nlohmann/json.hpp"

namespace orthant {

int64_t ArchiveTensor::bytes() const {
  return ElementsOf(shape) * BytesOf(dtype);
}

absl::StatusOr<ArchiveWriter> ArchiveWriter::Create(const std::string& path,
                                                    std::vector<ArchiveTensor> tensors,
                                                    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::vector<int64_t> offsets;
  int64_t at = 0;
  for (const ArchiveTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", StoredName(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {at, at + tensor.bytes()}}};
    offsets.push_back(at);
    at += tensor.bytes();
  }
  std::string text = header.dump();
  while (text.size() % 8 != 0) text += ' ';  // the data begins at a multiple of 8
  const auto length = static_cast<uint64_t>(text.size());
  const auto begin = static_cast<int64_t>(sizeof length + text.size());
  for (int64_t& offset : offsets) offset += begin;
  absl::StatusOr<PositionedFile> file = PositionedFile::Create(path, begin + at);
  if (!file.ok()) return file.status();
  if (absl::Status wrote = file->WriteAt(0, std::as_bytes(std::span(&length, 1))); !wrote.ok()) return wrote;
  absl::Status wrote = file->WriteAt(sizeof length, std::as_bytes(std::span(text.data(), text.size())));
  if (!wrote.ok()) return wrote;
  return ArchiveWriter(std::move(tensors), std::move(offsets), *std::move(file));
}

}  // namespace orthant
