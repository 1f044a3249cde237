// A run as it goes on, for a terminal: the metrics as they grow, whether the run still lives, and the picture
// of both. Reads the run's files alone.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json_fwd.hpp"

namespace orthant {

struct WatchedStep {
  int64_t step = 0;
  double loss = 0, grad_norm = 0, lr = 0, dt = 0, tps = 0, mfu = 0, memory = 0;
};

// Follows metrics.jsonl. One owner thread.
class MetricsFollower {
 public:
  explicit MetricsFollower(std::string path) : path_(std::move(path)) {}

  // Reads what was appended since; after a cut (a resume writes the file anew, shorter) all of it. -> whether
  // anything changed.
  bool Poll();
  const std::vector<WatchedStep>& steps() const { return steps_; }                          // ascending
  const std::vector<std::pair<double, double>>& validation() const { return validation_; }  // step, loss

 private:
  void Take(const nlohmann::json& line);

  std::string path_;
  uint64_t file_ = 0;   // its inode
  int64_t offset_ = 0;  // of the first byte not taken
  std::vector<WatchedStep> steps_;
  std::vector<std::pair<double, double>> validation_;
};

enum class RunState {
  kNotBegun,  // no start is on record
  kUnderWay,
  kEnded,   // as its last start wrote
  kBroken,  // its process is gone and wrote no end
};

struct RunStatus {
  RunState state = RunState::kNotBegun;
  std::string text;  // "under way on node1, process 123", "done", "failed: ..."
  bool complete = false;
};

// From starts.json and RUN_DIR/lock: a lock that is held is a run at work. Where there is no lock to ask, a
// process is looked for on this host; of one elsewhere, no end on record means under way.
RunStatus StatusOfRun(const std::string& folder);

// Points as text in `width` x `height` characters, with axes: braille dots in UTF-8, else letters. Values
// that are not finite are left out; empty without two of the others.
std::string TextPlot(const std::vector<std::pair<double, double>>& line,
                     const std::vector<std::pair<double, double>>& marks, int width, int height, bool utf8);

// The whole picture of `name`: state, newest step, curve. `total`: steps of the run; 0: not known. Nothing of
// the run's own texts reaches the terminal as a control character.
std::string WatchFrame(const std::string& name, const RunStatus& status, const MetricsFollower& metrics,
                       int64_t total, int width, int height, bool utf8);

}  // namespace orthant
