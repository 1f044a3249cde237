// Saver: writes one rank's part of a checkpoint beside training, and with the other ranks' savers puts the
// whole in place. Files are written aside, synced and renamed; `latest` moves last.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/manifest.h"
#include "orthant/comm/communicator.h"

namespace orthant {

// What this rank writes of one logical tensor: each element of the state is given by exactly one rank.
struct StatePiece {
  std::string tensor;
  StateKind kind = StateKind::kParameter;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;  // logical
  Portion portion;
  int unit = 0;  // the pieces that change together: see Saver::BeforeUpdate
  // Where the elements are until the unit's BeforeUpdate: in main memory, or on a GPU (flat). Neither:
  // `fetch` writes them to the given memory, on the thread and within the call of Start.
  const std::byte* data = nullptr;
  at::Tensor source = {};
  std::function<void(std::byte* to)> fetch;

  // Whether they may be copied after Start.
  bool stays() const { return data != nullptr || source.defined(); }
  // Writes the elements to `to`, wherever they are.
  void Fetch(std::byte* to) const;

  int64_t bytes() const { return portion.elements() * static_cast<int64_t>(c10::elementSize(dtype)); }
};

struct SaverOptions {
  std::string folder;        // RUN_DIR/checkpoints
  int64_t keep_last = 2;     // whole checkpoints kept, at least 1
  int64_t keep_every = 0;    // steps that are multiples of it are kept for ever; 0: none
  int64_t writers = 0;       // ranks that write files; the others send them theirs. 0: all
  bool asynchronous = true;  // false: Start returns when the checkpoint is in place
  // Told on the writing thread after each write: bytes of this rank's file so far, and in all. May be null.
  std::function<void(int64_t written, int64_t total)> on_write;
};

struct SaveResult {
  int64_t step = 0;
  absl::Status status;      // the same on every rank; EnvironmentError: disk full, read-only, failing
  std::string path;         // of the step's folder
  double held_seconds = 0;  // that Start and BeforeUpdate took on this rank
  double seconds = 0;       // from Start to the end
  int64_t bytes = 0;        // of the whole checkpoint
  std::string notice;       // what went wrong beside the save: an older checkpoint that could not be removed
};

// One rank's thread, but for its own writing thread. A save goes: Start on all ranks; their threads copy the
// pieces to host memory and write; when no rank is busy() any more, Advance on all ranks, until it returns a
// result. Memory for the copies is taken at the first Start and kept.
class Saver {
 public:
  // `world` outlives it. Nothing is touched on disk yet.
  Saver(SaverOptions options, Communicator& world);
  // Waits for the thread. A save that was not brought to its end leaves nothing that counts as a checkpoint.
  ~Saver();
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;

  // Collective. Brings a save under way to its end first; that one's result is returned. `run`: read on rank
  // 0 alone. With asynchronous = false the new save's result is what Advance returns next, at once.
  std::optional<SaveResult> Start(int64_t step, std::vector<StatePiece> pieces, nlohmann::ordered_json run);
  // Before the memory of a unit's pieces changes: waits until it has been copied.
  void BeforeUpdate(int unit);

  bool active() const;  // a save is under way: the same on all ranks
  bool busy() const;    // this rank's thread is at work on it
  // Collective, while active(), when no rank is busy(). -> the result once the save has ended.
  std::optional<SaveResult> Advance();
  // Collective: brings the save under way to its end. nullopt: there was none.
  std::optional<SaveResult> Finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orthant
