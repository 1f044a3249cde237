// States of made-up models, split among made-up ranks in any way that a mesh could, for tests of checkpoints.
#pragma once

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "gtest/gtest.h"
#include "orthant/checkpoint/reader.h"
#include "orthant/checkpoint/saver.h"

namespace orthant::testing {

// A folder that goes with its object.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "orthant-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

using Random = std::mt19937_64;

inline int64_t Draw(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

// What a checkpoint must hold: the values of each logical tensor.
using LogicalState = std::map<CheckpointManifest::Key, at::Tensor>;

// Any bits, so that nothing but a copy keeps them; finite, so that they can be compared as numbers.
inline at::Tensor RandomTensor(const std::vector<int64_t>& shape, at::ScalarType dtype, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  if (dtype == at::kLong) return at::randint(INT64_MIN / 2, INT64_MAX / 2, shape, generator, at::kLong);
  return at::randn(shape, generator, at::kDouble).to(dtype);
}

inline LogicalState RandomState(Random& random, int tensors, int64_t largest_dim) {
  LogicalState state;
  for (int t = 0; t < tensors; ++t) {
    std::vector<int64_t> shape;
    for (int64_t dims = Draw(random, 1, 3); dims > 0; --dims) shape.push_back(Draw(random, 1, largest_dim));
    const bool half = Draw(random, 0, 1) == 1;
    const std::string name = "h." + std::to_string(t) + ".weight";
    const at::ScalarType type = half ? (t % 2 == 0 ? at::kBFloat16 : at::kHalf) : at::kFloat;
    state[{name, StateKind::kParameter}] = RandomTensor(shape, type, random());
    if (half) state[{name, StateKind::kMaster}] = RandomTensor(shape, at::kFloat, random());
    state[{name, StateKind::kFirstMoment}] = RandomTensor(shape, at::kFloat, random());
    state[{name, StateKind::kSecondMoment}] = RandomTensor(shape, at::kDouble, random());
  }
  return state;
}

// A stretch of a rank's memory that holds a portion of a logical tensor.
struct Held {
  CheckpointManifest::Key key;
  std::vector<int64_t> shape;
  Portion portion;
  at::Tensor memory;  // [portion.elements()]
  int unit = 0;
  bool fetched = false;
};

// One local tensor of every part: split along a dim, tiled by rows, as a mesh and memory.tile could.
inline std::vector<ParameterSpec> RandomSplit(Random& random, const std::string& name,
                                              const std::vector<int64_t>& shape) {
  const int dim = static_cast<int>(Draw(random, -1, static_cast<int64_t>(shape.size()) - 1));
  const int parts = dim < 0 ? 1 : static_cast<int>(Draw(random, 1, 4));
  std::vector<ParameterSpec> specs;
  for (int part = 0; part < parts; ++part) {
    const ParameterSpec local =
        dim < 0 ? WholeSpec(name, shape, {}, true) : ShardedSpec(name, shape, dim, parts, part, {}, true);
    const int64_t width = local.LocalShape().back();
    const int64_t rows = width == 0 ? 0 : local.LocalElements() / width;
    const int64_t tiles = Draw(random, 0, 2);
    if (tiles == 0 || rows < tiles) {
      specs.push_back(local);
      continue;
    }
    for (int64_t tile = 0; tile < tiles; ++tile) {
      specs.push_back(local);
      specs.back().row_begin = rows * tile / tiles;
      specs.back().rows = rows * (tile + 1) / tiles - specs.back().row_begin;
    }
  }
  return specs;
}

// Every element of the state in exactly one place, on one of `ranks`. Memory of padding holds 77.
inline std::vector<std::vector<Held>> SplitState(Random& random, const LogicalState& state, int ranks) {
  std::vector<std::vector<Held>> held(static_cast<size_t>(ranks));
  for (const auto& [key, values] : state) {
    for (const ParameterSpec& spec : RandomSplit(random, key.first, values.sizes().vec())) {
      const at::Tensor local = at::full({spec.LocalElements()}, 77, values.options());
      for (const LogicalRun& run : LogicalRuns(spec)) {
        local.narrow(0, run.local, run.length).copy_(values.view({-1}).narrow(0, run.logical, run.length));
      }
      for (int64_t begin = 0; begin < spec.LocalElements();) {
        const int64_t end = std::min(spec.LocalElements(),
                                     begin + Draw(random, 1, std::max<int64_t>(1, spec.LocalElements() / 2)));
        Held piece{key,
                   spec.shape,
                   PortionOf(spec, begin, end),
                   local.narrow(0, begin, end - begin).clone(),
                   static_cast<int>(Draw(random, 0, 3)),
                   Draw(random, 0, 3) == 0};
        held[static_cast<size_t>(Draw(random, 0, ranks - 1))].push_back(std::move(piece));
        begin = end;
      }
    }
  }
  return held;
}

inline std::vector<StatePiece> PiecesOf(const std::vector<Held>& held) {
  std::vector<StatePiece> pieces;
  for (const Held& h : held) {
    StatePiece piece;
    piece.tensor = h.key.first;
    piece.kind = h.key.second;
    piece.dtype = h.memory.scalar_type();
    piece.shape = h.shape;
    piece.portion = h.portion;
    piece.unit = h.unit;
    const at::Tensor memory = h.memory;
    if (h.fetched) {
      piece.fetch = [memory](std::byte* to) { std::memcpy(to, memory.data_ptr(), memory.nbytes()); };
    } else {
      piece.data = static_cast<const std::byte*>(memory.data_ptr());
    }
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

inline StateTarget TargetOf(const Held& h) {
  return {h.key.first, h.key.second,           h.shape,
          h.portion,   h.memory.scalar_type(), static_cast<std::byte*>(h.memory.data_ptr())};
}

inline bool SameBits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.nbytes() == b.nbytes() &&
         (a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0);
}

// Whether the checkpoint holds exactly this state, bit for bit.
inline void ExpectHolds(const std::string& step_folder, const LogicalState& state) {
  auto reader = CheckpointReader::Open(step_folder);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->manifest().tensors.size(), state.size());
  std::vector<StateTarget> targets;
  std::vector<at::Tensor> loaded;
  for (const auto& [key, values] : state) {
    loaded.push_back(at::full_like(values, 77));
    targets.push_back({key.first, key.second, values.sizes().vec(), WholeOf(values.sizes().vec()),
                       values.scalar_type(), static_cast<std::byte*>(loaded.back().data_ptr())});
  }
  const absl::Status status = (*reader)->Load(targets);
  ASSERT_TRUE(status.ok()) << status;
  size_t i = 0;
  for (const auto& [key, values] : state) EXPECT_TRUE(SameBits(loaded[i++], values)) << key.first;
}

}  // namespace orthant::testing
