#include "orthant/checkpoint/safetensors_export.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "checkpoint/archive_reader.h"
#include "checkpoint/archive_writer.h"
#include "checkpoint/aside_folder.h"
#include "checkpoint/dtype_names.h"
#include "checkpoint/tensor_order.h"
#include "checkpoint/transpose.h"
#include "orthant/checkpoint/hf_gpt2.h"
#include "orthant/checkpoint/manifest.h"
#include "orthant/checkpoint/reader.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/core/version.h"

namespace orthant {
namespace {

// A tensor to write, and what it is written from.
struct Item {
  OutsideTensor tensor;
  bool zeros = false;
  StateKind kind = StateKind::kParameter;
  at::ScalarType dtype = at::kFloat;

  int64_t bytes() const { return ElementsOf(tensor.shape) * BytesOf(dtype); }
};

absl::StatusOr<std::vector<OutsideTensor>> HfTensors(const CheckpointManifest& manifest,
                                                     const std::string& path, ModelConfig* model) {
  if (!manifest.run.is_object() || !manifest.run.contains("model")) {
    return DataError(absl::StrCat(path,
                                  ": does not say what the model is (run.model), which --format hf needs; "
                                  "--format safetensors does not"));
  }
  absl::StatusOr<ModelConfig> found = ModelFromJson(manifest.run["model"], path + ": run.model");
  if (!found.ok()) return found.status();
  if (found->family != "gpt2") {
    return ConfigurationError(absl::StrCat("--format hf knows the family gpt2, and ", path, " has ",
                                           found->family, "; --format safetensors exports any"));
  }
  *model = *std::move(found);
  return HfGpt2Tensors(*model);
}

std::vector<OutsideTensor> LogicalTensors(const CheckpointManifest& manifest) {
  std::vector<OutsideTensor> tensors;
  for (const std::string& name : TensorNames(manifest)) {
    const auto found = manifest.tensors.find({name, StateKind::kParameter});
    if (found == manifest.tensors.end()) continue;
    const std::vector<int64_t>& shape = found->second.shape;
    tensors.push_back({name, shape, name, shape, false, false});
  }
  return tensors;
}

// Whether every parameter of the checkpoint is exported.
absl::Status CheckAllUsed(const CheckpointManifest& manifest, const std::vector<Item>& items,
                          const std::string& path) {
  std::set<std::string> used;
  for (const Item& item : items) used.insert(item.tensor.logical);
  for (const auto& [key, tensor] : manifest.tensors) {
    if (key.second == StateKind::kParameter && used.count(key.first) == 0) {
      return DataError(
          absl::StrCat(path, ": holds ", key.first, ", which the model it describes does not have"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Item>> Plan(const CheckpointReader& reader, std::vector<OutsideTensor> tensors,
                                       bool model_bias, std::optional<at::ScalarType> wanted) {
  const CheckpointManifest& manifest = reader.manifest();
  const std::string path = reader.folder() + "/" + kCheckpointManifest;
  std::vector<Item> items;
  at::ScalarType common = at::kFloat;
  for (OutsideTensor& tensor : tensors) {
    Item item;
    item.zeros = tensor.bias && !model_bias;
    item.tensor = std::move(tensor);
    const std::string& logical = item.tensor.logical;
    if (!item.zeros) {
      const auto found = manifest.tensors.find({logical, StateKind::kParameter});
      if (found == manifest.tensors.end())
        return DataError(absl::StrCat(path, ": has no parameter ", logical));
      if (found->second.shape != item.tensor.logical_shape) {
        return DataError(absl::StrCat(path, ": ", logical, " is ", ShapeText(found->second.shape), ", not ",
                                      ShapeText(item.tensor.logical_shape),
                                      " as the model it describes has"));
      }
      const auto master = manifest.tensors.find({logical, StateKind::kMaster});
      const bool from_master = master != manifest.tensors.end() && wanted != found->second.dtype;
      item.kind = from_master ? StateKind::kMaster : StateKind::kParameter;
      item.dtype = wanted.value_or(from_master ? master->second.dtype : found->second.dtype);
      common = item.dtype;
    }
    items.push_back(std::move(item));
  }
  for (Item& item : items) {
    if (item.zeros) item.dtype = common;
  }
  if (items.empty()) return DataError(absl::StrCat(path, ": has no parameters"));
  if (absl::Status used = CheckAllUsed(manifest, items, path); !used.ok()) return used;
  return items;
}

// Bytes done so far, told on.
class Meter {
 public:
  Meter(const ExportOptions& options, int64_t total) : options_(options), total_(total) {}
  void Add(int64_t bytes) {
    done_ += bytes;
    if (options_.progress) options_.progress(done_, total_);
  }

 private:
  const ExportOptions& options_;
  int64_t total_, done_ = 0;
};

// Copies tensors into one file, window by window: rows of the logical tensor seen as [rows, columns].
class Copier {
 public:
  Copier(CheckpointReader& reader, ArchiveWriter& writer, const ExportOptions& options, Meter& meter)
      : reader_(reader), writer_(writer), options_(options), meter_(meter) {}

  absl::Status Copy(const Item& item, size_t index) {
    const std::vector<int64_t>& shape = item.zeros ? item.tensor.shape : item.tensor.logical_shape;
    const int64_t element = BytesOf(item.dtype), columns = shape.back();
    const int64_t rows = ElementsOf(shape) / columns;
    const int64_t step = std::clamp<int64_t>(options_.window_bytes / (columns * element), 1, rows);
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t count = std::min(step, rows - row);
      window_.assign(static_cast<size_t>(count * columns * element), std::byte{0});
      if (!item.zeros) {
        if (absl::Status read = Read(item, row * columns, (row + count) * columns); !read.ok()) return read;
      }
      absl::Status wrote = item.tensor.transposed ? WriteColumns(index, row, count, rows, columns, element)
                                                  : writer_.Write(index, row * columns * element, window_);
      if (!wrote.ok()) return wrote;
      meter_.Add(count * columns * element);
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Read(const Item& item, int64_t begin, int64_t end) {
    StateTarget target;
    target.tensor = item.tensor.logical;
    target.kind = item.kind;
    target.shape = item.tensor.logical_shape;
    target.portion = WholeOf(target.shape);
    target.portion.begin = begin;
    target.portion.end = end;
    target.dtype = item.dtype;
    target.data = window_.data();
    return reader_.Load({target});
  }

  // The window's rows are columns [row, row + count) of the outside tensor, [columns, rows].
  absl::Status WriteColumns(size_t index, int64_t row, int64_t count, int64_t rows, int64_t columns,
                            int64_t element) {
    turned_.resize(window_.size());
    Transpose(window_, turned_, count, columns, element);
    if (count == rows) return writer_.Write(index, 0, turned_);
    const std::span<const std::byte> bytes(turned_);
    for (int64_t c = 0; c < columns; ++c) {
      absl::Status wrote = writer_.Write(index, (c * rows + row) * element,
                                         bytes.subspan(c * count * element, count * element));
      if (!wrote.ok()) return wrote;
    }
    return absl::OkStatus();
  }

  CheckpointReader& reader_;
  ArchiveWriter& writer_;
  const ExportOptions& options_;
  Meter& meter_;
  std::vector<std::byte> window_, turned_;
};

// [begin, end) of the items that each file holds.
std::vector<std::pair<size_t, size_t>> SplitIntoFiles(const std::vector<Item>& items, int64_t most) {
  std::vector<std::pair<size_t, size_t>> files;
  int64_t bytes = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    if (files.empty() || bytes + items[i].bytes() > most) {
      files.emplace_back(i, i);
      bytes = 0;
    }
    bytes += items[i].bytes();
    files.back().second = i + 1;
  }
  return files;
}

// model.safetensors, or shards with their index.
absl::Status WriteTensors(CheckpointReader& reader, const std::vector<Item>& items, const std::string& folder,
                          const ExportOptions& options, ExportReport* report) {
  const auto files = SplitIntoFiles(items, options.shard_bytes);
  nlohmann::json map = nlohmann::json::object();
  Meter meter(options, report->bytes);
  for (size_t f = 0; f < files.size(); ++f) {
    const std::string name = files.size() == 1
                                 ? kArchiveFile
                                 : absl::StrFormat("model-%05d-of-%05d.safetensors", f + 1, files.size());
    std::vector<ArchiveTensor> tensors;
    for (size_t i = files[f].first; i < files[f].second; ++i) {
      tensors.push_back({items[i].tensor.name, items[i].dtype, items[i].tensor.shape});
      map[items[i].tensor.name] = name;
    }
    // transformers wants to be told which library's layout this is.
    absl::StatusOr<ArchiveWriter> writer =
        ArchiveWriter::Create(folder + "/" + name, std::move(tensors), {{"format", "pt"}});
    if (!writer.ok()) return writer.status();
    Copier copier(reader, *writer, options, meter);
    for (size_t i = files[f].first; i < files[f].second; ++i) {
      if (absl::Status copied = copier.Copy(items[i], i - files[f].first); !copied.ok()) return copied;
    }
    if (absl::Status finished = writer->Finish(); !finished.ok()) return finished;
    report->files.push_back(name);
  }
  if (files.size() == 1) return absl::OkStatus();
  report->files.emplace_back(kArchiveIndex);
  return WriteJsonFile(folder + "/" + kArchiveIndex,
                       {{"metadata", {{"total_size", report->bytes}}}, {"weight_map", map}});
}

// What makes `import` exact: transformers keeps keys that it does not know.
nlohmann::ordered_json OwnPart(const CheckpointManifest& manifest) {
  nlohmann::ordered_json own = {{"version", kOrthantVersion}, {"step", manifest.step}};
  for (const auto& [key, tensor] : manifest.tensors) {
    if (key.second != StateKind::kParameter) continue;
    own["dtype"] = StateDtypeName(tensor.dtype);
    own["masters"] = manifest.tensors.count({key.first, StateKind::kMaster}) > 0;
    break;
  }
  if (manifest.run.is_object() && manifest.run.contains("model")) own["model"] = manifest.run["model"];
  return own;
}

absl::Status WriteConfig(const std::string& folder, nlohmann::ordered_json config,
                         const CheckpointManifest& manifest) {
  config["orthant"] = OwnPart(manifest);
  return WriteFileAtomically(folder + "/config.json", config.dump(2) + "\n");
}

void Summarize(const std::vector<Item>& items, ExportReport* report) {
  std::set<std::string> dtypes;
  int64_t zeros = 0, masters = 0;
  for (const Item& item : items) {
    dtypes.insert(StateDtypeName(item.dtype));
    report->elements += ElementsOf(item.tensor.shape);
    report->bytes += item.bytes();
    zeros += item.zeros ? 1 : 0;
    masters += item.kind == StateKind::kMaster ? 1 : 0;
  }
  report->tensors = static_cast<int64_t>(items.size());
  report->dtype = dtypes.size() == 1 ? *dtypes.begin() : "mixed";
  if (zeros > 0) {
    report->notes.push_back(absl::StrCat(zeros,
                                         " biases are zeros: the model has none, and GPT2LMHeadModel has "
                                         "them everywhere"));
  }
  if (masters > 0) report->notes.push_back("values are the fp32 masters of the 16-bit parameters");
}

}  // namespace

absl::StatusOr<ExportReport> ExportCheckpoint(const std::string& step_folder, const ExportOptions& options) {
  const bool hf = options.format == "hf";
  absl::StatusOr<std::unique_ptr<CheckpointReader>> reader = CheckpointReader::Open(step_folder);
  if (!reader.ok()) return reader.status();
  const CheckpointManifest& manifest = (*reader)->manifest();
  ModelConfig model;
  model.bias = true;
  std::vector<OutsideTensor> tensors;
  if (hf) {
    auto named = HfTensors(manifest, step_folder + "/" + kCheckpointManifest, &model);
    if (!named.ok()) return named.status();
    tensors = *std::move(named);
  } else {
    tensors = LogicalTensors(manifest);
  }
  const std::optional<at::ScalarType> wanted = DtypeOfName(options.dtype);
  if (!wanted.has_value() && options.dtype != "stored") {
    return ConfigurationError(
        absl::StrCat("--dtype ", options.dtype, " is none of stored, fp64, fp32, bf16, fp16"));
  }
  const absl::StatusOr<std::vector<Item>> items = Plan(**reader, std::move(tensors), model.bias, wanted);
  if (!items.ok()) return items.status();

  ExportReport report;
  report.source = step_folder;
  report.output = options.output;
  report.format = options.format;
  report.step = manifest.step;
  Summarize(*items, &report);
  absl::StatusOr<AsideFolder> folder = AsideFolder::Create(options.output);
  if (!folder.ok()) return folder.status();
  absl::Status status = WriteTensors(**reader, *items, folder->path(), options, &report);
  if (!status.ok()) return status;
  report.files.emplace_back("config.json");
  nlohmann::ordered_json config = nlohmann::ordered_json::object();
  if (hf) config = HfGpt2Config(model, report.dtype);
  status = WriteConfig(folder->path(), std::move(config), manifest);
  if (status.ok()) status = folder->PutInPlace();
  if (!status.ok()) return status;
  return report;
}

std::string ExportReport::ToText() const {
  std::string text =
      absl::StrCat(output, ": step ", step, " of ", source, " in ",
                   format == "hf" ? "Hugging Face's GPT-2 format" : "safetensors", "\n  ",
                   FormatCount(tensors), " tensors, ", FormatCount(elements), " elements, ", dtype, ", ",
                   FormatBytes(static_cast<double>(bytes)), " in ", JoinWords(files), "\n");
  for (const std::string& note : notes) absl::StrAppend(&text, "  ", note, "\n");
  return text;
}

nlohmann::ordered_json ExportReport::ToJson() const {
  return {{"source", source}, {"output", output},   {"format", format}, {"dtype", dtype},
          {"step", step},     {"tensors", tensors}, {"bytes", bytes},   {"elements", elements},
          {"files", files},   {"notes", notes}};
}

}  // namespace orthant
