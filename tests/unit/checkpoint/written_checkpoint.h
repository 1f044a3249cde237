// Checkpoints made by hand, cut in any way: what the tools that read checkpoints are tested on.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "checkpoint/manifest_json.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/hf_gpt2.h"
#include "orthant/checkpoint/manifest.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/file.h"
#include "orthant/core/hash.h"
#include "orthant/core/version.h"

namespace orthant::testing {

// How each tensor is cut: over `parts` tensor ranks along the dim `dim` (-1: not at all), each part in
// `pieces` slices. Part p lies in file p % files.
struct Cut {
  int dim = -1, parts = 1, pieces = 1, files = 1;
};

struct Values {
  std::string name;
  StateKind kind = StateKind::kParameter;
  at::Tensor values;  // logical, contiguous
};

inline std::string TempFolder(const std::string& name) {
  const std::string path = ::testing::TempDir() + "orthant_checkpoint_" + name;
  std::filesystem::remove_all(path);
  return path;
}

// The slices of one tensor; each one's bytes are appended to its file's.
inline void AddSlices(const Values& item, const Cut& cut, std::vector<std::string>* bytes,
                      LogicalTensor* tensor) {
  const std::vector<int64_t>& shape = tensor->shape;
  const int dim = static_cast<int>(shape.size()) > cut.dim ? cut.dim : -1;
  const int parts = dim < 0 ? 1 : cut.parts;
  const auto size = static_cast<int64_t>(item.values.element_size());
  const char* from = static_cast<const char*>(item.values.const_data_ptr());
  for (int part = 0; part < parts; ++part) {
    const ParameterSpec spec = dim < 0 ? WholeSpec(item.name, shape, {}, true)
                                       : ShardedSpec(item.name, shape, dim, parts, part, {}, true);
    const int64_t local = spec.LocalElements();
    for (int piece = 0; piece < cut.pieces; ++piece) {
      Slice slice;
      slice.portion = PortionOf(spec, local * piece / cut.pieces, local * (piece + 1) / cut.pieces);
      slice.bytes = slice.portion.elements() * size;
      if (slice.bytes == 0) continue;
      std::string content(static_cast<size_t>(slice.bytes), '\x5a');  // padding may hold anything
      for (const LogicalRun& run : RunsOf(shape, slice.portion)) {
        content.replace(run.local * size, run.length * size, from + run.logical * size, run.length * size);
      }
      slice.file = part % cut.files;
      std::string& file = (*bytes)[slice.file];
      slice.offset = static_cast<int64_t>(file.size());
      slice.xxh64 = Xxh64(content);
      file += content;
      tensor->slices.push_back(slice);
    }
  }
}

// Files are called shard_<n>.bin.
inline void WriteCheckpoint(const std::string& folder, int64_t step, const std::vector<Values>& items,
                            const Cut& cut, const nlohmann::ordered_json& run) {
  std::filesystem::create_directories(folder);
  CheckpointManifest manifest;
  manifest.version = kOrthantVersion;
  manifest.step = step;
  manifest.run = run;
  std::vector<std::string> bytes(cut.files, std::string(64, 'h'));
  for (const Values& item : items) {
    LogicalTensor& tensor = manifest.tensors[{item.name, item.kind}];
    tensor.dtype = item.values.scalar_type();
    tensor.shape = item.values.sizes().vec();
    AddSlices(item, cut, &bytes, &tensor);
  }
  for (int f = 0; f < cut.files; ++f) {
    const std::string name = "shard_" + std::to_string(f) + ".bin";
    std::ofstream(folder + "/" + name, std::ios::binary) << bytes[f];
    manifest.files.push_back({name, static_cast<int64_t>(bytes[f].size())});
  }
  std::ofstream(folder + "/" + kCheckpointManifest, std::ios::binary) << ToText(manifest);
}

inline ModelConfig TinyModel() {
  ModelConfig model;
  model.layers = 3;
  model.heads = 2;
  model.hidden = 8;
  model.context = 6;
  model.vocab = 11;
  model.dropout = 0.25;
  model.norm_eps = 1e-6;
  return model;
}

// The parameters of `model`, drawn.
inline std::vector<Values> DrawParameters(const ModelConfig& model, at::ScalarType dtype, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<Values> items;
  for (const OutsideTensor& tensor : HfGpt2Tensors(model)) {
    if (tensor.bias && !model.bias) continue;
    items.push_back({tensor.logical, StateKind::kParameter,
                     at::randn(tensor.logical_shape, generator, at::kFloat).to(dtype)});
  }
  return items;
}

inline nlohmann::ordered_json RunOf(const ModelConfig& model, const std::string& content) {
  return {{"mesh", {{"data", 2}, {"tensor", 2}, {"pipeline", 1}, {"sequence", 1}}},
          {"ranks", 4},
          {"seed", 1337},
          {"model", ModelToJson(model)},
          {"content", content}};
}

// Turns one bit over.
inline void FlipBit(const std::string& path, int64_t offset, int bit = 0) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const auto byte = static_cast<char>(file.get() ^ (1 << bit));
  file.seekp(offset);
  file.put(byte);
  ASSERT_TRUE(file.good());
}

}  // namespace orthant::testing
