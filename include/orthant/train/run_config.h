// RunConfig: a whole run, assembled here and nowhere else from the sections that the rooms describe. Each
// room receives only its own section.
#pragma once

#include <string>
#include <vector>

#include "orthant/comm/comm_config.h"
#include "orthant/config/fields.h"
#include "orthant/data/data_config.h"
#include "orthant/mesh/parallel_config.h"
#include "orthant/model/model_config.h"
#include "orthant/optim/optimizer_config.h"

namespace orthant {

struct RunSection {
  std::string name = "run";
  std::string dir;  // empty: runs/<name>
  int64_t seed = 1337;
};

struct TrainConfig {
  int64_t steps = 2000;
  int64_t global_batch = 16;
  int64_t micro_batch = 2;
  std::string dtype = "fp32";  // fp32 | fp64
  double clip = 1.0;
  int threads_per_rank = 0;  // 0: the host's cores shared among its ranks, at least one
};

struct EvaluateConfig {
  int64_t every = 250;
  int64_t batches = 20;
  std::string prompt;
  int64_t sample_tokens = 200;
  double temperature = 0.8;
  int64_t top_k = 0;
};

struct LogConfig {
  int64_t every = 10;
  double peak_tflops = 0.0;
};

struct VerifyConfig {
  std::vector<std::string> variants;
};

struct RunConfig {
  RunSection run;
  ModelConfig model;
  ParallelConfig parallel;
  TrainConfig train;
  OptimizerConfig optimizer;
  DataConfig data;
  EvaluateConfig evaluate;
  LogConfig log;
  CommConfig comm;
  VerifyConfig verify;

  std::string RunDir() const { return run.dir.empty() ? "runs/" + run.name : run.dir; }
  // Microbatches of each pipeline in a step.
  int64_t Microbatches() const { return train.global_batch / (parallel.data * train.micro_batch); }
};

void Describe(Fields& fields, RunConfig& config);

}  // namespace orthant
