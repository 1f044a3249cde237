// What a run tells: metrics.jsonl (one object a step, in full precision), the console line, the legend and
// the summary. Pure formatting and one file; rank 0 alone holds these.
#pragma once

#include <array>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/memory/account.h"
#include "orthant/mesh/axis.h"

namespace orthant {

// One step's line. Seconds; rates per second.
struct StepMetrics {
  int64_t step = 0;
  double loss = 0.0, grad_norm = 0.0, lr = 0.0;
  int64_t tokens = 0;                                // trained on so far
  double dt = 0.0, dtf = 0.0, dtb = 0.0, dto = 0.0;  // step, forward, backward, optimiser
  double sps = 0.0, sps_per_rank = 0.0, tps = 0.0, tps_per_rank = 0.0;
  double mfu = 0.0;                              // share of the peak, 0 .. 1
  double tflops_per_rank = 0.0;                  // model FLOPs
  int64_t mem_peak_bytes = 0;                    // largest use of device memory by this rank so far
  int64_t mem_host_peak_bytes = 0;               // of offloaded state and its buffers in host memory
  TagBytes memory{};                             // held by this rank after the step
  std::array<int64_t, kAxisCount> comm_bytes{};  // sent by this rank in the step, indexed by Axis
  std::optional<double> val_loss, train_loss;
  std::optional<double> loss_scale;  // fp16
  bool skipped = false;              // not finite: nothing was updated
};

// One line of metrics.jsonl, without the line break; doubles round-trip.
std::string ToJsonLine(const StepMetrics& metrics);
// The same numbers for TensorBoard: tag, value. NaN and infinities stay.
std::vector<std::pair<std::string, double>> ToScalars(const StepMetrics& metrics);
// "step=340 loss=1.3512 grad_norm=0.42 lr=6.0e-04 dt=0.285 ..."
std::string ToConsoleLine(const StepMetrics& metrics);
// What the abbreviations mean: a table.
std::string Legend(bool boxes);

// A plot of losses in text: validation losses as they fall, `width` x `height` characters. Losses that
// are not finite are left out. Empty without two points.
std::string LossPlot(const std::vector<std::pair<int64_t, double>>& points, int width, int height);

// What remains at the end of a run.
struct RunSummary {
  int64_t steps = 0, parameters = 0;
  double seconds = 0.0, final_loss = 0.0;
  std::optional<double> val_loss;
  double median_dt = 0.0, tps = 0.0, mfu = 0.0;
  double forward_share = 0.0, backward_share = 0.0, optimizer_share = 0.0;  // of the steps' time
  std::array<int64_t, kAxisCount> comm_bytes_per_step{};
  int64_t mem_peak_bytes = 0, mem_host_peak_bytes = 0, resident_bytes = 0;  // resident: of the process
  int64_t skipped = 0;                                                      // steps, fp16
};
std::string ToText(const RunSummary& summary, bool boxes);

// Appends lines to a file; each is handed to the operating system at once. One thread.
class MetricsFile {
 public:
  // Goes on behind the lines of steps up to `step`, which stay; others go. EnvironmentError when the file
  // cannot be written.
  static absl::StatusOr<MetricsFile> Open(const std::string& path, int64_t step);
  absl::Status Append(const StepMetrics& metrics);

 private:
  explicit MetricsFile(std::string path, std::ofstream stream)
      : path_(std::move(path)), stream_(std::move(stream)) {}
  std::string path_;
  std::ofstream stream_;
};

// A line of metrics.jsonl, as far as a run that goes on needs it.
struct MetricsLine {
  int64_t step = 0;
  std::optional<double> val_loss;
};
// The lines of steps up to `step`, in order; a line that was cut off ends the list. Empty without a file.
std::vector<MetricsLine> ReadMetrics(const std::string& path, int64_t step);

// Peak resident bytes of this process.
int64_t PeakResidentBytes();

}  // namespace orthant
