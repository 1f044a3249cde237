#include "orthant/checkpoint/safetensors_import.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checkpoint/archive_reader.h"
#include "checkpoint/archive_writer.h"
#include "checkpoint/aside_folder.h"
#include "checkpoint/dtype_names.h"
#include "checkpoint/manifest_json.h"
#include "checkpoint/shard.h"
#include "checkpoint/transpose.h"
#include "orthant/checkpoint/hf_gpt2.h"
#include "orthant/checkpoint/manifest.h"
#include "orthant/core/file.h"
#include "orthant/core/hash.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/core/version.h"

namespace orthant {
namespace {

using Entry = ArchiveReader::Entry;

constexpr char kShard[] = "parameters.safetensors";
constexpr size_t kNamesTold = 4;

// A logical tensor to write, and where it comes from.
struct Item {
  OutsideTensor tensor;
  const Entry* entry = nullptr;
  StateKind kind = StateKind::kParameter;
  at::ScalarType from = at::kFloat, dtype = at::kFloat;  // in the input, in the checkpoint

  int64_t bytes() const { return ElementsOf(tensor.logical_shape) * BytesOf(dtype); }
};

// What the input is said to be.
struct Source {
  std::optional<ModelConfig> model;
  nlohmann::json own = nlohmann::json::object();  // config.json's "orthant"
};

absl::StatusOr<Source> ReadSource(const ImportOptions& options) {
  Source source;
  const std::string path = options.input + "/config.json";
  const bool hf = options.format == "hf";
  if (!IsFolder(options.input)) {
    return DataError(absl::StrCat(
        options.input, ": there is no such folder; name the one with config.json and ", kArchiveFile));
  }
  if (!hf && !FileExists(path)) return source;
  const absl::StatusOr<nlohmann::json> config = ReadJsonFile(path);
  if (!config.ok()) return config.status();
  if (config->is_object() && config->contains("orthant") && (*config)["orthant"].is_object()) {
    source.own = (*config)["orthant"];
  }
  const bool own_model = source.own.contains("model");
  if (!hf && !own_model) return source;
  absl::StatusOr<ModelConfig> model =
      hf ? ModelOfHfConfig(*config, path) : ModelFromJson(source.own["model"], path + ": orthant.model");
  if (!model.ok()) return model.status();
  source.model = *std::move(model);
  return source;
}

std::string Some(const std::vector<std::string>& names) {
  std::vector<std::string> told(names.begin(), names.begin() + std::min(names.size(), kNamesTold));
  return absl::StrCat(JoinWords(told), names.size() > kNamesTold
                                           ? absl::StrCat(" and ", names.size() - kNamesTold, " others")
                                           : "");
}

absl::StatusOr<Item> ItemOf(const ArchiveReader& archive, OutsideTensor tensor, const std::string& name,
                            const Entry& entry) {
  const std::string where = absl::StrCat(archive.FileOf(entry), ": ", name);
  const std::optional<at::ScalarType> dtype = StoredType(entry.dtype);
  if (!dtype.has_value() || !at::isFloatingType(*dtype)) {
    return DataError(
        absl::StrCat(where, " is of type ", entry.dtype, "; F64, F32, BF16 and F16 can be imported"));
  }
  if (entry.shape != tensor.shape) {
    return DataError(absl::StrCat(where, " is ", ShapeText(entry.shape), ", where config.json makes it ",
                                  ShapeText(tensor.shape)));
  }
  if (entry.shape.empty() || ElementsOf(entry.shape) == 0) {
    return DataError(absl::StrCat(where, " has no elements: ", ShapeText(entry.shape)));
  }
  Item item;
  item.tensor = std::move(tensor);
  item.entry = &entry;
  item.from = item.dtype = *dtype;
  return item;
}

absl::StatusOr<bool> IsZero(const ArchiveReader& archive, const Entry& entry) {
  std::vector<std::byte> bytes(static_cast<size_t>(entry.bytes));
  if (absl::Status read = archive.Read(entry, 0, bytes); !read.ok()) return read;
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// Biases that `export` added, and that nobody has changed since, go again.
absl::Status DropAddedBiases(const ArchiveReader& archive, Source* source, std::vector<Item>* items) {
  const nlohmann::json own = source->own.value("model", nlohmann::json::object());
  if (!own.is_object() || own.value("bias", nlohmann::json(true)) != nlohmann::json(false)) {
    return absl::OkStatus();
  }
  for (const Item& item : *items) {
    if (!item.tensor.bias) continue;
    const absl::StatusOr<bool> zero = IsZero(archive, *item.entry);
    if (!zero.ok()) return zero.status();
    if (!*zero) return absl::OkStatus();
  }
  source->model->bias = false;
  std::erase_if(*items, [](const Item& item) { return item.tensor.bias; });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Item>> HfItems(const ArchiveReader& archive, const std::string& input,
                                          Source* source, std::vector<std::string>* notes) {
  std::map<std::string, std::string> by_logical;
  for (const auto& [name, entry] : archive.entries()) {
    const std::string logical = LogicalNameOfHf(name, source->model->tie_embeddings);
    if (logical.empty()) continue;
    const auto [other, added] = by_logical.emplace(logical, name);
    if (!added)
      return DataError(absl::StrCat(input, ": ", other->second, " and ", name, " are the same tensor"));
  }
  std::vector<Item> items;
  std::vector<std::string> missing;
  for (OutsideTensor& tensor : HfGpt2Tensors(*source->model)) {
    const auto found = by_logical.find(tensor.logical);
    if (found == by_logical.end()) {
      missing.push_back(tensor.name);
      continue;
    }
    const std::string name = found->second;
    by_logical.erase(found);
    absl::StatusOr<Item> item = ItemOf(archive, std::move(tensor), name, archive.entries().at(name));
    if (!item.ok()) return item.status();
    items.push_back(*std::move(item));
  }
  if (!missing.empty()) {
    return DataError(absl::StrCat(input, ": lacks ", Some(missing), ", which the model of config.json has"));
  }
  std::vector<std::string> left;
  for (const auto& [logical, name] : by_logical) left.push_back(name);
  if (!left.empty()) notes->push_back("left out, being no part of GPT2LMHeadModel: " + Some(left));
  if (absl::Status dropped = DropAddedBiases(archive, source, &items); !dropped.ok()) return dropped;
  return items;
}

absl::StatusOr<std::vector<Item>> LogicalItems(const ArchiveReader& archive) {
  std::vector<Item> items;
  for (const auto& [name, entry] : archive.entries()) {
    OutsideTensor tensor{name, entry.shape, name, entry.shape, false, false};
    absl::StatusOr<Item> item = ItemOf(archive, std::move(tensor), name, entry);
    if (!item.ok()) return item.status();
    items.push_back(*std::move(item));
  }
  return items;
}

// fp32 values that were masters of 16-bit ones become both again.
void RestoreMasters(const nlohmann::json& own, std::vector<Item>* items) {
  const nlohmann::json dtype = own.value("dtype", nlohmann::json());
  const nlohmann::json masters = own.value("masters", nlohmann::json(false));
  const at::ScalarType values =
      DtypeOfName(dtype.is_string() ? dtype.get<std::string>() : "").value_or(at::kFloat);
  if (masters != nlohmann::json(true) || BytesOf(values) != 2) return;
  const size_t count = items->size();
  for (size_t i = 0; i < count; ++i) {
    if ((*items)[i].from != at::kFloat) continue;
    Item master = (*items)[i];
    master.kind = StateKind::kMaster;
    (*items)[i].dtype = values;
    items->push_back(std::move(master));
  }
}

// Fills the one shard, window by window; each window is a slice with its checksum.
class Filler {
 public:
  Filler(const ArchiveReader& archive, ArchiveWriter& writer, const ImportOptions& options, int64_t total)
      : archive_(archive), writer_(writer), options_(options), total_(total) {}

  absl::StatusOr<LogicalTensor> Fill(const Item& item, size_t index) {
    LogicalTensor tensor{item.dtype, item.tensor.logical_shape, {}};
    const int64_t columns = tensor.shape.back(), rows = ElementsOf(tensor.shape) / columns;
    const int64_t step = std::clamp<int64_t>(options_.window_bytes / (columns * BytesOf(item.from)), 1, rows);
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t count = std::min(step, rows - row);
      if (absl::Status read = Read(item, row, count, rows, columns); !read.ok()) return read;
      if (item.dtype != item.from) Round(item, count * columns);
      const int64_t begin = row * columns, size = BytesOf(item.dtype);
      if (absl::Status wrote = writer_.Write(index, begin * size, window_); !wrote.ok()) return wrote;
      AddSlices(writer_.offset(index), begin, begin + count * columns, size, &tensor);
      done_ += static_cast<int64_t>(window_.size());
      if (options_.progress) options_.progress(done_, total_);
    }
    return tensor;
  }

 private:
  // The window, elements [first, last) of the tensor, in slices as a save cuts them.
  void AddSlices(int64_t offset, int64_t first, int64_t last, int64_t size, LogicalTensor* tensor) const {
    const std::span<const std::byte> bytes(window_);
    for (int64_t begin = first; begin < last;) {
      Slice slice;
      slice.portion = WholeOf(tensor->shape);
      slice.portion.begin = begin;
      slice.portion.end = std::min(last, begin + kSliceBytes / size);
      slice.offset = offset + begin * size;
      slice.bytes = slice.portion.elements() * size;
      slice.xxh64 =
          Xxh64(bytes.subspan(static_cast<size_t>((begin - first) * size), static_cast<size_t>(slice.bytes)));
      begin = slice.portion.end;
      tensor->slices.push_back(slice);
    }
  }

  // Rows [row, row + count) of the logical tensor.
  absl::Status Read(const Item& item, int64_t row, int64_t count, int64_t rows, int64_t columns) {
    const int64_t size = BytesOf(item.from);
    window_.resize(static_cast<size_t>(count * columns * size));
    if (!item.tensor.transposed) return archive_.Read(*item.entry, row * columns * size, window_);
    turned_.resize(window_.size());
    if (count == rows) {
      if (absl::Status read = archive_.Read(*item.entry, 0, turned_); !read.ok()) return read;
    } else {
      const std::span<std::byte> to(turned_);
      for (int64_t c = 0; c < columns; ++c) {
        absl::Status read =
            archive_.Read(*item.entry, (c * rows + row) * size, to.subspan(c * count * size, count * size));
        if (!read.ok()) return read;
      }
    }
    Transpose(turned_, window_, columns, count, size);
    return absl::OkStatus();
  }

  void Round(const Item& item, int64_t elements) {
    turned_.resize(static_cast<size_t>(elements * BytesOf(item.dtype)));
    const at::Tensor from = at::from_blob(window_.data(), {elements}, at::TensorOptions().dtype(item.from));
    at::from_blob(turned_.data(), {elements}, at::TensorOptions().dtype(item.dtype)).copy_(from);
    window_.swap(turned_);
  }

  const ArchiveReader& archive_;
  ArchiveWriter& writer_;
  const ImportOptions& options_;
  int64_t total_, done_ = 0;
  std::vector<std::byte> window_, turned_;
};

absl::StatusOr<CheckpointManifest> WriteShard(const ArchiveReader& archive, const std::vector<Item>& items,
                                              const std::string& folder, const ImportOptions& options,
                                              int64_t total) {
  std::vector<ArchiveTensor> tensors;
  for (const Item& item : items) {
    tensors.push_back(
        {absl::StrCat(item.tensor.logical, "/", ToString(item.kind)), item.dtype, item.tensor.logical_shape});
  }
  absl::StatusOr<ArchiveWriter> writer = ArchiveWriter::Create(folder + "/" + kShard, std::move(tensors), {});
  if (!writer.ok()) return writer.status();
  CheckpointManifest manifest;
  manifest.version = kOrthantVersion;
  manifest.files.push_back({kShard, writer->file_bytes()});
  Filler filler(archive, *writer, options, total);
  for (size_t i = 0; i < items.size(); ++i) {
    absl::StatusOr<LogicalTensor> tensor = filler.Fill(items[i], i);
    if (!tensor.ok()) return tensor.status();
    manifest.tensors[{items[i].tensor.logical, items[i].kind}] = *std::move(tensor);
  }
  if (absl::Status finished = writer->Finish(); !finished.ok()) return finished;
  return manifest;
}

nlohmann::ordered_json RunPart(const Source& source, const ImportReport& report) {
  nlohmann::ordered_json run;
  run["content"] = "parameters";
  run["dtype"] = report.dtype;
  run["parameters"] = report.elements;
  if (source.model.has_value()) run["model"] = ModelToJson(*source.model);
  run["imported"] = {{"from", report.source}, {"format", report.format}};
  if (source.own.contains("step")) run["imported"]["step"] = source.own["step"];
  return run;
}

void Summarize(const std::vector<Item>& items, ImportReport* report) {
  std::set<std::string> dtypes;
  for (const Item& item : items) {
    report->bytes += item.bytes();
    if (item.kind != StateKind::kParameter) continue;
    dtypes.insert(StateDtypeName(item.dtype));
    report->elements += ElementsOf(item.tensor.logical_shape);
    ++report->tensors;
  }
  report->dtype = dtypes.size() == 1 ? *dtypes.begin() : "mixed";
}

}  // namespace

absl::StatusOr<ImportReport> ImportCheckpoint(const ImportOptions& options) {
  absl::StatusOr<Source> source = ReadSource(options);
  if (!source.ok()) return source.status();
  const absl::StatusOr<ArchiveReader> archive = ArchiveReader::Open(options.input);
  if (!archive.ok()) return archive.status();
  ImportReport report;
  report.source = options.input;
  report.output = options.output;
  report.format = options.format;
  absl::StatusOr<std::vector<Item>> items = options.format == "hf"
                                                ? HfItems(*archive, options.input, &*source, &report.notes)
                                                : LogicalItems(*archive);
  if (!items.ok()) return items.status();
  if (items->empty()) return DataError(absl::StrCat(options.input, ": holds no tensors"));
  RestoreMasters(source->own, &*items);
  // Longer elements first: each lies where its size wants it.
  std::stable_sort(items->begin(), items->end(),
                   [](const Item& a, const Item& b) { return BytesOf(a.dtype) > BytesOf(b.dtype); });
  Summarize(*items, &report);

  absl::StatusOr<AsideFolder> folder = AsideFolder::Create(options.output);
  if (!folder.ok()) return folder.status();
  absl::StatusOr<CheckpointManifest> manifest =
      WriteShard(*archive, *items, folder->path(), options, report.bytes);
  if (!manifest.ok()) return manifest.status();
  manifest->run = RunPart(*source, report);
  absl::Status status = WriteFileAtomically(folder->path() + "/" + kCheckpointManifest, ToText(*manifest));
  if (status.ok()) status = folder->PutInPlace();
  if (!status.ok()) return status;
  return report;
}

std::string ImportReport::ToText() const {
  std::string text = absl::StrCat(output, ": the parameters of ", source, "\n  ", FormatCount(tensors),
                                  " tensors, ", FormatCount(elements), " elements, ", dtype, ", ",
                                  FormatBytes(static_cast<double>(bytes)), "\n");
  for (const std::string& note : notes) absl::StrAppend(&text, "  ", note, "\n");
  absl::StrAppend(&text, "  a run starts from it with init.from=", output, "\n");
  return text;
}

nlohmann::ordered_json ImportReport::ToJson() const {
  return {{"source", source},   {"output", output},     {"format", format}, {"dtype", dtype},
          {"tensors", tensors}, {"elements", elements}, {"bytes", bytes},   {"notes", notes}};
}

}  // namespace orthant
