// Machines and workloads for the planner's tests, with round numbers and nothing fitted.
#pragma once

#include "orthant/plan/step_model.h"

namespace orthant::testing {

// Nodes of eight devices of 80 GB, 300 TFLOP/s.
inline Machine SampleMachine() {
  Machine m;
  m.name = "sample";
  m.device = "NVIDIA A100-SXM4-80GB";
  m.node_ranks = 8;
  m.peak = 300e12;
  m.multiprocessors = 108;
  m.memory_bytes = 80e9;
  m.memory_bandwidth = 2e12;
  m.node_bandwidth = 300e9;
  m.network_bandwidth = 100e9;
  m.host_bandwidth = 25e9;
  Software& s = m.calibration.software;
  s.name = "sample";
  s.attention = "unfused";
  s.uneven_stages = false;
  s.schedules = {"gpipe", "1f1b"};
  s.tensor_sequence = true;
  s.loss_bytes = 10;
  return m;
}

inline Workload SampleWorkload(int64_t layers, int64_t hidden, int64_t heads, int64_t batch) {
  Workload w;
  w.model = {.layers = layers,
             .heads = heads,
             .hidden = hidden,
             .context = 2048,
             .vocab = 51200,
             .bias = true,
             .dropout = 0.1};
  w.global_batch = batch;
  return w;
}

}  // namespace orthant::testing
