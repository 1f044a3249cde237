// manifest.json as text and back. Its checksum is the first member, at a fixed place, so that it can be
// checked before anything else is believed.
#include "orthant/checkpoint/manifest.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checkpoint/manifest_json.h"
#include "orthant/core/file.h"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kOpening = "{\n\"checksum\": \"";
constexpr size_t kDigits = 16;

// Bytes that are no UTF-8 (a path may hold any) become U+FFFD.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ChecksumOf(std::string text) {
  text.replace(kOpening.size(), kDigits, kDigits, '0');
  return absl::StrFormat("%016x", Xxh64(text));
}

bool ChecksumHolds(const std::string& text) {
  return text.size() > kOpening.size() + kDigits && text.starts_with(kOpening) &&
         text.compare(kOpening.size(), kDigits, ChecksumOf(text)) == 0;
}

Json TensorJson(const CheckpointManifest::Key& key, const LogicalTensor& tensor) {
  Json json = {{"name", key.first},
               {"kind", ToString(key.second)},
               {"dtype", StoredName(tensor.dtype)},
               {"shape", tensor.shape},
               {"slices", Json::array()}};
  for (const Slice& slice : tensor.slices) {
    Json numbers =
        Json::array({slice.file, slice.offset, slice.bytes, absl::StrFormat("%016x", slice.xxh64)});
    AppendPortion(slice.portion, &numbers);
    json["slices"].push_back(std::move(numbers));
  }
  return json;
}

// "[", items a line each, "]"
std::string Lines(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) absl::StrAppend(&text, text.size() > 1 ? ",\n" : "\n", item);
  return absl::StrCat(text, "\n]");
}

uint64_t ReadHash(const Json& value) {
  const bool text = value.is_string() && value.get_ref<const std::string&>().size() == kDigits;
  uint64_t hash = 0;
  for (size_t i = 0; text && i < kDigits; ++i) {
    const char c = value.get_ref<const std::string&>()[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) throw BadField("a slice's checksum is not hexadecimal");
    hash = hash << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  if (!text) throw BadField("a slice's checksum must be 16 hexadecimal digits");
  return hash;
}

Slice ReadSlice(const Json& value, const LogicalTensor& tensor,
                const std::vector<CheckpointManifest::File>& files) {
  if (!value.is_array() || value.size() < 6) throw BadField("a slice must be a list of 6 or 12 values");
  Slice slice;
  slice.file =
      static_cast<int>(Whole(value[0], "the file of a slice", 0, static_cast<int64_t>(files.size()) - 1));
  const CheckpointManifest::File& file = files[static_cast<size_t>(slice.file)];
  slice.offset = Whole(value[1], "the offset of a slice", 0, file.bytes);
  slice.bytes = Whole(value[2], "the bytes of a slice", 1, file.bytes - slice.offset);
  slice.xxh64 = ReadHash(value[3]);
  slice.portion = ReadPortion(value, 4, tensor.shape);
  const auto size = static_cast<int64_t>(c10::elementSize(tensor.dtype));
  if (slice.bytes % size != 0 || slice.bytes / size != slice.portion.elements()) {
    throw BadField("a slice's bytes are not those of its elements");
  }
  return slice;
}

CheckpointManifest::File ReadFileEntry(const Json& value) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_string()) {
    throw BadField("a file must be a list of its name and its bytes");
  }
  CheckpointManifest::File file;
  file.name = value[0].get<std::string>();
  // Nothing outside the folder is ever opened.
  if (file.name.empty() || file.name.front() == '.' || file.name.find('/') != std::string::npos ||
      file.name.find('\0') != std::string::npos) {
    throw BadField(
        absl::StrCat(value[0].dump(-1, ' ', true, Json::error_handler_t::replace), " is no name of a shard"));
  }
  file.bytes = Whole(value[1], "the bytes of a file", 0, INT64_MAX);
  return file;
}

void CheckDisjoint(const CheckpointManifest& manifest) {
  std::vector<std::tuple<int, int64_t, int64_t>> places;
  for (const auto& [key, tensor] : manifest.tensors) {
    for (const Slice& s : tensor.slices) places.emplace_back(s.file, s.offset, s.offset + s.bytes);
  }
  std::sort(places.begin(), places.end());
  for (size_t i = 1; i < places.size(); ++i) {
    const auto& [file, begin, end] = places[i];
    if (std::get<0>(places[i - 1]) == file && std::get<2>(places[i - 1]) > begin) {
      throw BadField(absl::StrCat("two slices overlap at byte ", begin, " of ",
                                  manifest.files[static_cast<size_t>(file)].name));
    }
  }
}

CheckpointManifest ReadAll(const Json& json) {
  CheckpointManifest manifest;
  manifest.format = static_cast<int>(Whole(Member(json, "format"), "\"format\"", 1, kCheckpointFormat));
  const Json& version = Member(json, "version");
  if (!version.is_string()) throw BadField("\"version\" must be a text");
  manifest.version = version.get<std::string>();
  manifest.step = Whole(Member(json, "step"), "\"step\"", 0, INT64_MAX);
  manifest.run = Member(json, "run");
  const Json& files = Member(json, "files");
  const Json& tensors = Member(json, "tensors");
  if (!files.is_array() || !tensors.is_array()) throw BadField("\"files\" and \"tensors\" must be lists");
  for (const Json& file : files) manifest.files.push_back(ReadFileEntry(file));
  for (const Json& item : tensors) {
    const Json& name = Member(item, "name");
    if (!name.is_string()) throw BadField("\"name\" must be a text");
    LogicalTensor tensor;
    const CheckpointManifest::Key key{name.get<std::string>(), ReadKind(Member(item, "kind"))};
    tensor.dtype = ReadDtype(Member(item, "dtype"));
    tensor.shape = ReadShape(Member(item, "shape"));
    const Json& slices = Member(item, "slices");
    if (!slices.is_array()) throw BadField("\"slices\" must be a list");
    for (const Json& slice : slices) tensor.slices.push_back(ReadSlice(slice, tensor, manifest.files));
    if (!manifest.tensors.emplace(key, std::move(tensor)).second) {
      throw BadField(absl::StrCat(key.first, " (", ToString(key.second), ") stands twice"));
    }
  }
  CheckDisjoint(manifest);
  return manifest;
}

// The complaint about a manifest of a later format; "" when it is not one.
std::string LaterFormat(const Json& json, bool checksum_holds) {
  const auto format = json.is_object() ? json.find("format") : json.end();
  if (!json.is_object() || format == json.end() || !format->is_number_integer()) return "";
  if (*format <= kCheckpointFormat) return "";
  const auto version = json.find("version");
  const std::string writer = version != json.end() && version->is_string()
                                 ? absl::StrCat("Orthant ", version->get<std::string>())
                                 : "a later Orthant";
  return absl::StrCat("was written by ", writer, " in format ", Dump(*format), ", and this Orthant reads ",
                      kCheckpointFormat, ": use ", writer, " or a later one",
                      checksum_holds ? "" : " (or the file is damaged: its checksum is not of this format)");
}

}  // namespace

int64_t CheckpointManifest::bytes() const {
  int64_t sum = 0;
  for (const auto& [key, tensor] : tensors) {
    for (const Slice& slice : tensor.slices) sum += slice.bytes;
  }
  return sum;
}

std::string ToText(const CheckpointManifest& manifest) {
  std::vector<std::string> files, tensors;
  for (const auto& file : manifest.files) files.push_back(Dump(Json::array({file.name, file.bytes})));
  for (const auto& [key, tensor] : manifest.tensors) tensors.push_back(Dump(TensorJson(key, tensor)));
  std::string text =
      absl::StrCat(std::string(kOpening), std::string(kDigits, '0'), "\",\n\"format\": ", manifest.format,
                   ",\n\"version\": ", Dump(manifest.version), ",\n\"step\": ", manifest.step,
                   ",\n\"run\": ", Dump(manifest.run), ",\n\"files\": ", Lines(files),
                   ",\n\"tensors\": ", Lines(tensors), "\n}\n");
  text.replace(kOpening.size(), kDigits, ChecksumOf(text));
  return text;
}

absl::StatusOr<CheckpointManifest> ParseManifest(const std::string& text, const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const auto refuse = [&](const std::string& what) {
    return DataError(absl::StrCat(path, ": ", what, "; ", VerifyHint(folder.empty() ? "." : folder)));
  };
  const bool whole = ChecksumHolds(text);
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (const std::string later = LaterFormat(json, whole); !later.empty()) {
    return DataError(absl::StrCat(path, ": ", later));
  }
  if (json.is_discarded()) return refuse("the manifest is damaged: it is not JSON");
  if (!whole) return refuse("the manifest is damaged: its text does not match its checksum");
  try {
    return ReadAll(json);
  } catch (const BadField& bad) {
    return refuse(absl::StrCat("the manifest cannot be used: ", bad.what()));
  } catch (const nlohmann::json::exception& bad) {
    return refuse(absl::StrCat("the manifest cannot be used: ", bad.what()));
  }
}

absl::StatusOr<CheckpointManifest> ReadCheckpointManifest(const std::string& step_folder) {
  const std::string path = (std::filesystem::path(step_folder) / kCheckpointManifest).string();
  if (!IsFolder(step_folder)) {
    return DataError(absl::StrCat(step_folder, ": there is no such folder of a checkpoint"));
  }
  if (!FileExists(path)) {
    return DataError(absl::StrCat(path, ": is missing: ", step_folder, " is no whole checkpoint; ",
                                  VerifyHint(step_folder)));
  }
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  return ParseManifest(*text, path);
}

}  // namespace orthant
