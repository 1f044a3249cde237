// RunConfig: a whole run, assembled here and nowhere else from the sections that the rooms describe. Each
// room receives only its own section.
#pragma once

#include <string>
#include <vector>

#include "orthant/checkpoint/checkpoint_config.h"
#include "orthant/comm/comm_config.h"
#include "orthant/config/fields.h"
#include "orthant/data/data_config.h"
#include "orthant/data_parallel/zero_config.h"
#include "orthant/memory/memory_config.h"
#include "orthant/mesh/parallel_config.h"
#include "orthant/model/model_config.h"
#include "orthant/optim/loss_scale.h"
#include "orthant/optim/optimizer_config.h"
#include "orthant/train/anomaly.h"
#include "orthant/train/fault.h"

namespace orthant {

struct RunSection {
  std::string name = "run";
  std::string dir;  // empty: runs/<name>
  int64_t seed = 1337;
};

// What a new run begins with.
struct InitConfig {
  std::string from;  // a checkpoint whose parameters are taken; empty: drawn from the seed
};

struct TrainConfig {
  std::string device = "auto";  // auto | cpu | cuda
  int64_t steps = 2000;
  int64_t stop_at = 0;  // 0: after the last step
  int64_t global_batch = 16;
  int64_t micro_batch = 2;
  std::string dtype = "fp32";             // fp64 | fp32 | bf16 | fp16
  std::string gradient_dtype = "fp32";    // fp32 | same (as dtype); gradients accumulate in it
  std::string reduce_dtype = "gradient";  // gradient | fp32 | same
  LossScaleConfig loss_scale;             // fp16
  double clip = 1.0;
  int threads_per_rank = 0;    // 0: the host's cores shared among its ranks, at least one
  int64_t check_replicas = 0;  // steps; 0: never
};

struct EvaluateConfig {
  int64_t every = 250;
  int64_t batches = 20;
  std::string prompt;
  int64_t sample_tokens = 200;
  double temperature = 0.8;
  int64_t top_k = 0;
};

// Steps whose timeline is written to RUN_DIR/trace.
struct TraceConfig {
  std::vector<int64_t> steps;  // empty: none
};

struct LogConfig {
  int64_t every = 10;
  double peak_tflops = 0.0;
  std::string memory = "summary";  // summary | detail
  bool tensorboard = false;        // RUN_DIR/tensorboard
  TraceConfig trace;
};

struct VerifyConfig {
  std::vector<std::string> variants;
};

struct RunConfig {
  RunSection run;
  InitConfig init;
  ModelConfig model;
  ParallelConfig parallel;
  ZeroConfig zero;
  MemoryConfig memory;
  TrainConfig train;
  AnomalyConfig anomaly;
  OptimizerConfig optimizer;
  DataConfig data;
  CheckpointConfig checkpoint;
  EvaluateConfig evaluate;
  LogConfig log;
  CommConfig comm;
  VerifyConfig verify;
  FaultConfig fault;

  std::string RunDir() const { return run.dir.empty() ? "runs/" + run.name : run.dir; }
  std::string CheckpointDir() const { return RunDir() + "/checkpoints"; }
  // Where offloaded state goes: zero.offload.path, or a folder of the run.
  std::string OffloadDir() const {
    return zero.offload.path.empty() ? RunDir() + "/offload" : zero.offload.path;
  }
  // Microbatches of each pipeline in a step.
  int64_t Microbatches() const { return train.global_batch / (parallel.data * train.micro_batch); }
};

void Describe(Fields& fields, RunConfig& config);

}  // namespace orthant
