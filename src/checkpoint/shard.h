// One rank's file of a checkpoint, laid out: https://github.com/huggingface/safetensors#format. Each slice is
// a tensor of one dimension with a name that says what it holds, so other programs can read the file too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "orthant/checkpoint/manifest.h"
#include "orthant/checkpoint/saver.h"

namespace orthant {

// Most bytes of a slice: a reader reads whole slices and checks each, so this bounds what it reads in vain.
inline constexpr int64_t kSliceBytes = int64_t{4} << 20;

// "shard_00003_of_00016.safetensors"
std::string ShardName(int shard, int shards);

class ShardLayout {
 public:
  // `pieces`: of one file; those without data or fetch are another rank's. Elements of 8 bytes come first,
  // then of 4, then of 2, so that each lies where its size wants it.
  ShardLayout(std::string name, int64_t step, const std::vector<StatePiece>& pieces);

  const std::string& name() const { return name_; }
  int64_t bytes() const { return bytes_; }
  // Of piece i's elements, from the beginning of the file.
  int64_t offset(size_t piece) const { return offsets_[piece]; }
  // Length, JSON and spaces up to a multiple of 4096 bytes.
  const std::string& header() const { return header_; }

  struct Entry {
    CheckpointManifest::Key key;
    at::ScalarType dtype = at::kFloat;
    std::vector<int64_t> shape;
    Slice slice;
  };
  // In the order of the file.
  const std::vector<Entry>& entries() const { return entries_; }
  // The checksums of the file's bytes.
  void Hash(std::span<const std::byte> image);
  // Of this file alone.
  CheckpointManifest ToManifest(int64_t step) const;

 private:
  void MakeHeader(int64_t step, int64_t data_bytes);

  std::string name_, header_;
  int64_t bytes_ = 0;
  std::vector<int64_t> offsets_;
  std::vector<Entry> entries_;
};

}  // namespace orthant
