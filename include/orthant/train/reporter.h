// Reporter: everything a run tells, on the one rank that tells it: console lines, progress, metrics.jsonl,
// samples.txt, starts.json, TensorBoard's events, the plot and the summary.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "orthant/checkpoint/saver.h"
#include "orthant/core/log.h"
#include "orthant/core/terminal.h"
#include "orthant/mesh/mesh.h"
#include "orthant/train/engine.h"
#include "orthant/train/event_file.h"
#include "orthant/train/launch.h"
#include "orthant/train/memory_summary.h"
#include "orthant/train/metrics.h"
#include "orthant/train/resume.h"
#include "orthant/train/start_ledger.h"

namespace orthant {

// What the reporter needs to know of the run. Peak: FLOP/s of one rank, and where the number comes from.
struct RunFacts {
  RunConfig config;
  Degrees degrees;
  int64_t vocab = 0;
  RankEnvironment environment;
  double peak_flops = 0.0;
  std::string peak_source;
  std::string data;  // Dataset::Describe()
  std::vector<int64_t> layers_per_stage;
  std::vector<std::string> notes;
};

// One thread. Text for people goes to stdout, or to stderr when `json` keeps stdout for one JSON object.
class Reporter {
 public:
  Reporter(RunFacts facts, bool json);

  // Before the first step: mesh, model, data, formulas, legend.
  void Begin(const std::string& mesh_map);
  // Where the steps begin, or begin again: cuts metrics.jsonl and samples.txt back to that step. Without a
  // checkpoint, files of an earlier start are kept as *.old.
  absl::Status StartAt(const Resumed& resumed);
  void Note(const std::string& text);
  void Saved(const SaveResult& result);
  // After each step; `evaluation` carries {val_loss, train_loss} where there was one.
  absl::Status Step(const StepResult& result, const std::array<int64_t, kAxisCount>& comm_bytes,
                    const std::optional<std::pair<double, double>>& evaluation);
  absl::Status Sample(int64_t step, const std::string& prompt, const std::string& text);
  // After the last step: where memory went (by phase too where log.memory asks), then the summary.
  void Memory(const std::vector<MemoryPeak>& peaks, const Mesh& mesh);
  // `status`: how training ended, OK or stopped by a signal.
  void End(const absl::Status& status);
  // Instead of Memory and End.
  void Failed(const absl::Status& status);

 private:
  StepMetrics MetricsOf(const StepResult& result, const std::array<int64_t, kAxisCount>& comm_bytes) const;
  RunSummary Summary() const;
  void Print(const std::string& text);
  // For files that a run can do without.
  void Warn(const absl::Status& status);
  void NoteEnd(const absl::Status& status);

  RunFacts facts_;
  bool json_;
  std::optional<MetricsFile> metrics_;  // from StartAt
  std::optional<EventFile> events_;     // from StartAt, with log.tensorboard
  StartLedger ledger_;
  int64_t first_step_ = 0;    // done before this start
  bool save_failed_ = false;  // the newest save
  std::unique_ptr<ProgressBar> progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::vector<StepMetrics> history_;  // losses and times of the run, for the summary
  std::vector<std::pair<int64_t, double>> validation_;
};

}  // namespace orthant
