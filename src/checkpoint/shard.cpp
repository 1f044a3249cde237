#include "checkpoint/shard.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checkpoint/manifest_json.h"
#include "orthant/core/async_file.h"
#include "orthant/core/hash.h"
#include "orthant/core/version.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

// "h.0.attn.c_attn.weight/first_moment/dim0[192:384]/rows[0:32]/[0:49152]"
std::string EntryName(const ShardLayout::Entry& entry) {
  const Portion& p = entry.slice.portion;
  std::string name = absl::StrCat(entry.key.first, "/", ToString(entry.key.second));
  if (p.shard_dim >= 0) {
    absl::StrAppendFormat(&name, "/dim%d[%d:%d]", p.shard_dim, p.shard_begin, p.shard_begin + p.shard_length);
  }
  if (p.rows >= 0) absl::StrAppendFormat(&name, "/rows[%d:%d]", p.row_begin, p.row_begin + p.rows);
  absl::StrAppendFormat(&name, "/[%d:%d]", p.begin, p.end);
  return name;
}

}  // namespace

std::string ShardName(int shard, int shards) {
  return absl::StrFormat("shard_%05d_of_%05d.safetensors", shard, shards);
}

ShardLayout::ShardLayout(std::string name, int64_t step, const std::vector<StatePiece>& pieces)
    : name_(std::move(name)), offsets_(pieces.size(), 0) {
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return c10::elementSize(pieces[a].dtype) > c10::elementSize(pieces[b].dtype);
  });
  int64_t used = 0;
  for (const size_t i : order) {
    const StatePiece& piece = pieces[i];
    const auto size = static_cast<int64_t>(c10::elementSize(piece.dtype));
    offsets_[i] = used;
    for (int64_t from = piece.portion.begin; from < piece.portion.end;) {
      Entry entry{{piece.tensor, piece.kind}, piece.dtype, piece.shape, {}};
      entry.slice.portion = piece.portion;
      entry.slice.portion.begin = from;
      from = entry.slice.portion.end = std::min(piece.portion.end, from + kSliceBytes / size);
      entry.slice.offset = used;
      entry.slice.bytes = entry.slice.portion.elements() * size;
      used += entry.slice.bytes;
      entries_.push_back(std::move(entry));
    }
  }
  MakeHeader(step, used);
}

void ShardLayout::MakeHeader(int64_t step, int64_t data_bytes) {
  const auto dump = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  std::string text =
      absl::StrCat("{\"__metadata__\":",
                   dump({{"format", "pt"}, {"orthant", kOrthantVersion}, {"step", absl::StrCat(step)}}));
  std::set<std::string> names;
  for (const Entry& entry : entries_) {
    // Elements that a caller gives twice still make a file that can be read; the manifest then tells.
    std::string name = EntryName(entry);
    while (!names.insert(name).second) name += "'";
    const int64_t begin = entry.slice.offset, end = begin + entry.slice.bytes;
    absl::StrAppendFormat(&text, ",\n%s:{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[%d,%d]}",
                          dump(name), StoredName(entry.dtype), entry.slice.portion.elements(), begin, end);
  }
  text += "}";
  const size_t block = static_cast<size_t>(kDirectAlignment);
  const size_t length = (8 + text.size() + block - 1) / block * block;
  header_.assign(length, ' ');
  const uint64_t json_length = length - 8;
  std::memcpy(header_.data(), &json_length, 8);
  std::memcpy(header_.data() + 8, text.data(), text.size());
  bytes_ = static_cast<int64_t>(length) + data_bytes;
  for (int64_t& offset : offsets_) offset += static_cast<int64_t>(length);
  for (Entry& entry : entries_) entry.slice.offset += static_cast<int64_t>(length);
}

void ShardLayout::Hash(std::span<const std::byte> image) {
  for (Entry& entry : entries_) {
    entry.slice.xxh64 =
        Xxh64(image.subspan(static_cast<size_t>(entry.slice.offset), static_cast<size_t>(entry.slice.bytes)));
  }
}

CheckpointManifest ShardLayout::ToManifest(int64_t step) const {
  CheckpointManifest manifest;
  manifest.version = kOrthantVersion;
  manifest.step = step;
  manifest.files.push_back({name_, bytes_});
  for (const Entry& entry : entries_) {
    LogicalTensor& tensor = manifest.tensors[entry.key];
    tensor.dtype = entry.dtype;
    tensor.shape = entry.shape;
    tensor.slices.push_back(entry.slice);
  }
  return manifest;
}

}  // namespace orthant
