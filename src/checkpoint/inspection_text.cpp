// The pages of `orthant checkpoint inspect`. Members of manifest.run are told where they are there.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checkpoint/dtype_names.h"
#include "checkpoint/tensor_order.h"
#include "orthant/checkpoint/inspection.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostFiles = 8;  // listed one by one without --all

std::string Word(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return FormatCount(value.get<int64_t>());
  if (value.is_number()) return FormatShortest(value.get<double>());
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// "what N", when the object has the key.
void Add(const Json& object, const char* key, const std::string& what, std::vector<std::string>* words) {
  if (!object.is_object() || !object.contains(key) || object[key].is_null()) return;
  words->push_back(absl::StrCat(what, what.empty() ? "" : " ", Word(object[key])));
}

void AddFlag(const Json& object, const char* key, const char* yes, const char* no,
             std::vector<std::string>* words) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_boolean()) return;
  words->emplace_back(object[key].get<bool>() ? yes : no);
}

std::string Line(const char* title, const std::vector<std::string>& words) {
  return words.empty() ? ""
                       : absl::StrCat("  ", title, std::string(7 - std::string(title).size(), ' '),
                                      absl::StrJoin(words, ", "), "\n");
}

std::string MeshLine(const Json& run) {
  std::vector<std::string> words, axes;
  if (run.contains("mesh") && run["mesh"].is_object()) {
    for (const auto& [axis, degree] : run["mesh"].items())
      axes.push_back(absl::StrCat(axis, " ", Word(degree)));
    words.push_back(absl::StrJoin(axes, " x "));
  }
  if (run.contains("ranks")) words.push_back(absl::StrCat(Word(run["ranks"]), " ranks"));
  Add(run, "zero", "zero", &words);
  Add(run, "dtype", "", &words);
  return Line("mesh", words);
}

std::string ModelLine(const Json& run) {
  std::vector<std::string> words;
  const Json model = run.value("model", Json());
  Add(model, "family", "", &words);
  for (const char* key : {"layers", "heads", "hidden", "context", "vocab"}) Add(model, key, key, &words);
  AddFlag(model, "bias", "biases", "no biases", &words);
  AddFlag(model, "tie_embeddings", "tied embeddings", "untied embeddings", &words);
  Add(model, "activation", "", &words);
  Add(model, "dropout", "dropout", &words);
  Add(run, "parameters", "parameters", &words);
  return Line("model", words);
}

std::string StateLine(const Json& run) {
  std::vector<std::string> words;
  Add(run, "name", "run", &words);
  Add(run, "content", "content", &words);
  if (run.contains("seed")) words.push_back("seed " + run["seed"].dump());  // no commas
  Add(run, "sampler_position", "next sample", &words);
  const Json progress = run.value("progress", Json());
  Add(progress, "updates", "updates", &words);
  if (progress.is_object() && progress.contains("loss_scale") && run.value("dtype", Json()) == "fp16") {
    Add(progress["loss_scale"], "value", "loss scale", &words);
  }
  if (progress.is_object() && progress.contains("skipped") && !progress["skipped"].empty()) {
    words.push_back(absl::StrCat("batches skipped ", progress["skipped"].size(), " times"));
  }
  Add(run.value("imported", Json()), "from", "imported from", &words);
  return Line("state", words);
}

std::string Head(const CheckpointInspection& inspection) {
  const CheckpointManifest& m = inspection.manifest;
  const Json run = m.run.is_object() ? m.run : Json::object();
  return absl::StrCat(inspection.folder, "\n  step ", m.step, ", saved by orthant ", m.version, ", format ",
                      m.format, ", ", FormatBytes(static_cast<double>(m.bytes())), " in ", m.files.size(),
                      m.files.size() == 1 ? " file\n" : " files\n", MeshLine(run), ModelLine(run),
                      StateLine(run));
}

// What a row of the tree says of one tensor; layers that say the same stand together.
struct Row {
  std::string name;
  std::array<std::string, kStateKinds> dtypes;
  std::string shape;
  int64_t elements = 0, bytes = 0, slices = 0;

  bool Like(const Row& other) const {
    return name == other.name && dtypes == other.dtypes && shape == other.shape;
  }
};

Row RowOf(const CheckpointManifest& manifest, const std::string& tensor, std::string name) {
  Row row;
  row.name = std::move(name);
  for (int k = 0; k < kStateKinds; ++k) {
    const auto found = manifest.tensors.find({tensor, static_cast<StateKind>(k)});
    row.dtypes[k] = found == manifest.tensors.end() ? "-" : StateDtypeName(found->second.dtype);
    if (found == manifest.tensors.end()) continue;
    row.shape = ShapeText(found->second.shape);
    row.elements = ElementsOf(found->second.shape);
    row.bytes += row.elements * BytesOf(found->second.dtype);
    row.slices += static_cast<int64_t>(found->second.slices.size());
  }
  return row;
}

// A layer, or several that are alike; layer -1: tensors of no layer.
struct Branch {
  int64_t first = -1, last = -1;
  std::vector<Row> rows;  // numbers are sums over the layers

  bool Takes(const Branch& next) const {
    return first >= 0 && next.first == last + 1 &&
           std::equal(rows.begin(), rows.end(), next.rows.begin(), next.rows.end(),
                      [](const Row& a, const Row& b) { return a.Like(b); });
  }
  void Take(const Branch& next) {
    last = next.last;
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i].elements += next.rows[i].elements;
      rows[i].bytes += next.rows[i].bytes;
      rows[i].slices += next.rows[i].slices;
    }
  }
};

std::vector<Branch> BranchesOf(const CheckpointManifest& manifest, bool all) {
  std::vector<Branch> branches, joined;
  for (const std::string& tensor : TensorNames(manifest)) {
    const LayerName layer = LayerOf(tensor);
    if (branches.empty() || branches.back().first != layer.layer)
      branches.push_back({layer.layer, layer.layer, {}});
    branches.back().rows.push_back(RowOf(manifest, tensor, layer.rest));
  }
  for (Branch& branch : branches) {
    if (!all && !joined.empty() && joined.back().Takes(branch)) {
      joined.back().Take(branch);
    } else {
      joined.push_back(std::move(branch));
    }
  }
  return joined;
}

std::string Tree(const CheckpointManifest& manifest, bool all) {
  std::vector<std::string> head = {"tensor", "shape"};
  for (int k = 0; k < kStateKinds; ++k) head.emplace_back(ToString(static_cast<StateKind>(k)));
  head.insert(head.end(), {"elements", "bytes", "slices"});
  Table table(head);
  for (const Branch& branch : BranchesOf(manifest, all)) {
    if (branch.first >= 0) {
      const int64_t layers = branch.last - branch.first + 1;
      table.AddRow({layers == 1
                        ? absl::StrCat("h.", branch.first)
                        : absl::StrCat("h.", branch.first, " .. h.", branch.last, " (", layers, " alike)")});
    }
    for (const Row& row : branch.rows) {
      std::vector<std::string> cells = {absl::StrCat(branch.first >= 0 ? "  " : "", row.name), row.shape};
      cells.insert(cells.end(), row.dtypes.begin(), row.dtypes.end());
      cells.insert(cells.end(), {FormatCount(row.elements), FormatBytes(static_cast<double>(row.bytes)),
                                 FormatCount(row.slices)});
      table.AddRow(cells);
    }
  }
  return table.ToString(TableStyleFor(1));
}

std::string Totals(const CheckpointManifest& manifest) {
  Table table({"kind", "dtype", "tensors", "elements", "bytes"});
  for (int k = 0; k < kStateKinds; ++k) {
    std::set<std::string> dtypes;
    int64_t tensors = 0, elements = 0, bytes = 0;
    for (const auto& [key, tensor] : manifest.tensors) {
      if (key.second != static_cast<StateKind>(k)) continue;
      dtypes.insert(StateDtypeName(tensor.dtype));
      ++tensors;
      elements += ElementsOf(tensor.shape);
      bytes += ElementsOf(tensor.shape) * BytesOf(tensor.dtype);
    }
    if (tensors == 0) continue;
    table.AddRow({ToString(static_cast<StateKind>(k)), absl::StrJoin(dtypes, ", "), FormatCount(tensors),
                  FormatCount(elements), FormatBytes(static_cast<double>(bytes))});
  }
  return table.ToString(TableStyleFor(1));
}

std::string Files(const CheckpointManifest& manifest, bool all) {
  std::vector<int64_t> slices(manifest.files.size(), 0);
  for (const auto& [key, tensor] : manifest.tensors) {
    for (const Slice& slice : tensor.slices) ++slices[static_cast<size_t>(slice.file)];
  }
  const size_t shown = all ? manifest.files.size() : std::min(manifest.files.size(), kMostFiles);
  Table table({"file", "bytes", "slices"});
  for (size_t f = 0; f < shown; ++f) {
    table.AddRow({manifest.files[f].name, FormatBytes(static_cast<double>(manifest.files[f].bytes)),
                  FormatCount(slices[f])});
  }
  std::string text = table.ToString(TableStyleFor(1));
  if (shown < manifest.files.size()) {
    absl::StrAppend(&text, "and ", manifest.files.size() - shown, " more files (--all)\n");
  }
  return text;
}

}  // namespace

std::string CheckpointInspection::ToText(bool all) const {
  std::string text = absl::StrCat(Head(*this), "\n", Tree(manifest, all), "\n", Totals(manifest), "\n",
                                  Files(manifest, all));
  for (const std::string& fault : faults) absl::StrAppend(&text, "FAULT ", fault, "\n");
  return text;
}

}  // namespace orthant
