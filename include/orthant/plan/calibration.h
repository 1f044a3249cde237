// What a planner has to know of the software on a machine: how it goes about its work, and the few constants
// that were measured. Read from configs/calibrations/*.yaml, which name the command that made them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/config/fields.h"

namespace orthant {

// Facts of the software, not fitted.
struct Software {
  std::string name = "orthant";
  std::string attention = "fused";    // fused (scores stay on chip) | unfused
  bool fused_dropout = true;          // the fused kernel has dropout; else scores go through memory with it
  bool gradient_overlap = false;      // tensor's all-reduce of the input's gradient runs beside the weight's
  std::string data_overlap = "none";  // none | backward: reductions run beside the last microbatch's backward
  bool split_sends = false;           // a stage sends 1/tensor of an activation, gathered on arrival
  bool uneven_stages = true;          // layers need not be a multiple of stages
  std::vector<std::string> schedules;  // that it has
  int64_t most_chunks = 1;             // stages a pipeline rank, with "interleaved"
  bool tensor_sequence = false;        // norms and residuals can be sharded in the tensor group
  bool ulysses = true;                 // sequence parallelism by exchanging heads for tokens
  bool zero_with_pipeline = true;      // stages 2 and 3 together with a pipeline
  bool offload = true;
  bool transposes = false;     // products in fp32 copy their first operand and cannot add to a gradient
  bool through_float = false;  // products of 16-bit types are made in fp32, of copies
  double loss_bytes = 2;       // held a logit from the head's forward to its backward
  double reserve = 1.0e9;      // bytes of a device that tensors cannot have: driver, libraries
  // What rows of measured steps (tests/benchmarks) were run with.
  std::string row_recompute = "none";  // none | selective | full
  int64_t row_zero = 0;
  double row_gradient_bytes = 2;
  int64_t row_vocab = 51200;
  bool row_dropout = true;
  bool row_bias = true;
};

// Fitted. Shares are of the cluster's facts; seconds are of one rank.
struct Constants {
  double matmul = 0.75;            // share of the peak that a large product reaches
  double attention = 0.4;          // the same of a fused attention kernel
  double score_seconds = 0;        // s of a score of it beside its products: exponentials, on processors
  double activation_seconds = 0;   // s of an element of the MLP's activation beside its bytes, likewise
  double memory = 0.65;            // share of the memory's bandwidth that element-wise kernels reach
  double layer_overhead = 0.8e-3;  // s of a block, forward and backward, beside its arithmetic
  double layer_floor = 0;          // s of a block below which the host cannot issue its kernels
  double tensor_floor = 0;         // share by which tensor parallelism lifts the floor
  double microbatch_overhead = 0;  // s
  double step_overhead = 0;        // s
  double node_link = 0.8;          // share of node_bandwidth that collectives reach, where no curve is given
  double network = 0.85;           // share of network_bandwidth
  double latency = 20e-6;          // s of a collective for each doubling of its group
  double skew = 0;                 // s that members of a group wait for each other at a collective
  double send = 1;                 // time of a stage's send, in units of bytes / bandwidth
  double send_latency = 0.4e-3;    // s
  double interference = 0.5;       // share of hidden communication that compute slows down by
  double optimizer_bytes = 30;     // moved for a parameter in an update
};

// Seconds of an all-reduce inside a node by bytes, measured; between points linear, beyond the last in
// proportion, below the first constant.
struct LinkTable {
  std::vector<double> points;  // bytes, seconds, bytes, seconds, ...

  bool empty() const { return points.empty(); }
  double Seconds(double bytes) const;
};

struct Calibration {
  std::string name, command, rows;  // what made it, from which rows
  std::string machine;              // measured on
  int64_t threads = 0;              // of a rank meanwhile; 0: not said
  Software software;
  Constants constants;
  LinkTable all_reduce_2, all_reduce_4, all_reduce_8;

  // Of the smallest table with at least `ranks`; null: none.
  const LinkTable* AllReduceTable(int64_t ranks) const;
};

void Describe(Fields& fields, Calibration& calibration);

// ConfigurationError with file and line, also for a table that is not ascending pairs.
absl::StatusOr<Calibration> LoadCalibration(const std::string& path);
// YAML that LoadCalibration reads.
std::string CalibrationText(const Calibration& calibration);

}  // namespace orthant
