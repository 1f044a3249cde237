#include "checkpoint/archive_reader.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "checkpoint/dtype_names.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;
using Entries = std::map<std::string, ArchiveReader::Entry>;

constexpr int64_t kLengthBytes = 8;                  // the header's length stands in front of it
constexpr int64_t kLongestHeader = 100'000'000;      // the format's own limit
constexpr int64_t kMostElements = int64_t{1} << 56;  // so that no product overflows

absl::Status Damaged(const std::string& path, const std::string& what) {
  return DataError(absl::StrCat(path, ": is no safetensors file, or is damaged: ", what));
}

bool IsCount(const nlohmann::json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() < static_cast<uint64_t>(kMostElements);
}

// -1: not a shape, or too many elements.
int64_t ReadShape(const nlohmann::json& value, std::vector<int64_t>* shape) {
  if (!value.is_array()) return -1;
  int64_t elements = 1;
  for (const nlohmann::json& d : value) {
    if (!IsCount(d)) return -1;
    shape->push_back(d.get<int64_t>());
    if (shape->back() > 0 && elements > kMostElements / shape->back()) return -1;
    elements *= shape->back();
  }
  return elements;
}

// "" or what is wrong. `data`: bytes behind the header.
std::string ReadEntry(const nlohmann::json& value, int64_t data, ArchiveReader::Entry* entry) {
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string()) return "has no dtype";
  entry->dtype = value["dtype"].get<std::string>();
  const int64_t elements = value.contains("shape") ? ReadShape(value["shape"], &entry->shape) : -1;
  if (elements < 0) return "has no shape that could be";
  const nlohmann::json place = value.value("data_offsets", nlohmann::json());
  if (!place.is_array() || place.size() != 2 || !IsCount(place[0]) || !IsCount(place[1])) {
    return "has no data_offsets";
  }
  const int64_t begin = place[0].get<int64_t>(), end = place[1].get<int64_t>();
  if (begin > end || end > data) {
    return absl::StrCat("lies in bytes ", begin, " to ", end, " of ", data);
  }
  entry->offset = begin;
  entry->bytes = end - begin;
  const int64_t element = ArchiveElementBytes(entry->dtype);
  if (element > 0 && entry->bytes != elements * element) {
    return absl::StrCat("has ", entry->bytes, " bytes for ", elements, " elements of ", entry->dtype);
  }
  return "";
}

absl::Status CheckOverlaps(const std::string& path, const Entries& entries) {
  std::vector<std::pair<int64_t, const std::string*>> order;
  for (const auto& [name, entry] : entries) {
    if (entry.bytes > 0) order.emplace_back(entry.offset, &name);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const ArchiveReader::Entry& before = entries.at(*order[i - 1].second);
    if (before.offset + before.bytes > order[i].first) {
      return Damaged(path, absl::StrCat(*order[i - 1].second, " and ", *order[i].second, " overlap"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadHeaderText(const PositionedFile& file) {
  uint64_t length = 0;  // little-endian, as this machine is
  if (file.size() < kLengthBytes) return Damaged(file.path(), absl::StrCat("it has ", file.size(), " bytes"));
  if (absl::Status read = file.ReadAt(0, std::as_writable_bytes(std::span(&length, 1))); !read.ok()) {
    return read;
  }
  const auto most = static_cast<uint64_t>(std::min(kLongestHeader, file.size() - kLengthBytes));
  if (length > most) {
    return Damaged(file.path(),
                   absl::StrCat("its header should have ", length, " bytes, where ", most, " can be"));
  }
  std::string text(length, '\0');
  absl::Status read = file.ReadAt(kLengthBytes, std::as_writable_bytes(std::span(text.data(), text.size())));
  if (!read.ok()) return read;
  return text;
}

}  // namespace

absl::StatusOr<Entries> ReadArchiveHeader(const PositionedFile& file) {
  absl::StatusOr<std::string> text = ReadHeaderText(file);
  if (!text.ok()) return text.status();
  const absl::StatusOr<nlohmann::json> header = ParseJson(*text, file.path());
  if (!header.ok()) return Damaged(file.path(), "its header is not JSON");
  if (!header->is_object()) return Damaged(file.path(), "its header is no JSON object");
  const int64_t data_begin = kLengthBytes + static_cast<int64_t>(text->size());
  Entries entries;
  for (const auto& [name, value] : header->items()) {
    if (name == "__metadata__") continue;
    ArchiveReader::Entry entry;
    const std::string wrong = ReadEntry(value, file.size() - data_begin, &entry);
    if (!wrong.empty()) return Damaged(file.path(), absl::StrCat("the tensor ", name, " ", wrong));
    entry.offset += data_begin;
    entries.emplace(name, std::move(entry));
  }
  if (absl::Status apart = CheckOverlaps(file.path(), entries); !apart.ok()) return apart;
  return entries;
}

absl::Status ArchiveReader::AddFile(const std::string& path) {
  absl::StatusOr<PositionedFile> file = PositionedFile::Open(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<Entries> entries = ReadArchiveHeader(*file);
  if (!entries.ok()) return entries.status();
  for (auto& [name, entry] : *entries) {
    entry.file = static_cast<int>(files_.size());
    if (!entries_.emplace(name, std::move(entry)).second) {
      return DataError(absl::StrCat(path, ": has the tensor ", name, ", which another file has too"));
    }
  }
  files_.push_back(*std::move(file));
  return absl::OkStatus();
}

absl::Status ArchiveReader::AddIndexed(const std::string& folder) {
  const std::string path = folder + "/" + kArchiveIndex;
  const absl::StatusOr<nlohmann::json> index = ReadJsonFile(path);
  if (!index.ok()) return index.status();
  if (!index->is_object() || !index->contains("weight_map") || !(*index)["weight_map"].is_object()) {
    return DataError(absl::StrCat(path, ": has no weight_map"));
  }
  const nlohmann::json& map = (*index)["weight_map"];
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string() || file.get<std::string>().find('/') != std::string::npos) {
      return DataError(absl::StrCat(path, ": names no file of this folder for ", tensor));
    }
    names.insert(file.get<std::string>());
  }
  for (const std::string& name : names) {
    if (absl::Status added = AddFile(folder + "/" + name); !added.ok()) return added;
  }
  for (const auto& [tensor, file] : map.items()) {
    const auto found = entries_.find(tensor);
    if (found == entries_.end() ||
        fs::path(FileOf(found->second)).filename().string() != file.get<std::string>()) {
      return DataError(absl::StrCat(path, ": says that ", file.get<std::string>(), " holds ", tensor,
                                    ", and it does not; get the file again"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ArchiveReader> ArchiveReader::Open(const std::string& path) {
  ArchiveReader reader;
  absl::Status status;
  if (!IsFolder(path)) {
    status = reader.AddFile(path);
  } else if (FileExists(path + "/" + kArchiveFile)) {
    status = reader.AddFile(path + "/" + kArchiveFile);
  } else if (FileExists(path + "/" + kArchiveIndex)) {
    status = reader.AddIndexed(path);
  } else {
    status = DataError(absl::StrCat(path, ": has neither ", kArchiveFile, " nor ", kArchiveIndex));
  }
  if (!status.ok()) return status;
  return reader;
}

absl::Status ArchiveReader::Read(const Entry& entry, int64_t begin, std::span<std::byte> to) const {
  return files_[entry.file].ReadAt(entry.offset + begin, to);
}

}  // namespace orthant
