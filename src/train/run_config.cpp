#include "orthant/train/run_config.h"

namespace orthant {
namespace {

void DescribeRun(Fields& f, RunSection& c) {
  f.Text("name", &c.name).Doc("Name of the run; its folder is called so unless dir says otherwise.");
  f.Text("dir", &c.dir).Doc("Folder of the run's files; empty: runs/<name>.");
  f.Integer("seed", &c.seed)
      .AtLeast(0)
      .Doc("Seed of everything random: initial weights, sample order, dropout, sampled text.");
}

void DescribeTrain(Fields& f, TrainConfig& c) {
  f.Choice("device", &c.device, {"auto", "cpu", "cuda"})
      .Doc(
          "What each rank computes on: the processor, or an NVIDIA GPU of its own (a build with CUDA, a "
          "process "
          "a rank); auto: GPUs where every rank can have one, else the processor.");
  f.Integer("steps", &c.steps).AtLeast(0).Doc("Optimiser steps; the learning-rate schedule ends there.");
  f.Integer("stop_at", &c.stop_at)
      .AtLeast(0)
      .Unit("steps")
      .Doc("Save and end after this step, the learning-rate schedule unchanged; 0: after the last.");
  f.Integer("global_batch", &c.global_batch)
      .AtLeast(1)
      .Unit("samples")
      .Doc("Samples of one step over the whole mesh; a multiple of parallel.data x micro_batch.");
  f.Integer("micro_batch", &c.micro_batch)
      .AtLeast(1)
      .Unit("samples")
      .Doc("Samples of one forward and backward; changes speed and memory, never the curve.");
  f.Choice("dtype", &c.dtype, {"fp64", "fp32", "bf16", "fp16"})
      .Doc("Type of parameters and activations. bf16 and fp16 keep fp32 masters for the optimiser.");
  f.Choice("gradient_dtype", &c.gradient_dtype, {"fp32", "same"})
      .Doc(
          "Type that gradients accumulate in under bf16 and fp16: fp32, or the same as dtype (half the "
          "memory).");
  f.Choice("reduce_dtype", &c.reduce_dtype, {"gradient", "fp32", "same"})
      .Doc(
          "Type that gradients travel in: as they accumulate, fp32, or the same as dtype (half the bytes "
          "under bf16 "
          "and fp16).");
  f.Section("loss_scale", "Dynamic loss scaling, for fp16 (arXiv 1710.03740, section 3.2).",
            [&](Fields& s) { Describe(s, c.loss_scale); });
  f.Real("clip", &c.clip)
      .AtLeast(0)
      .Unit("L2 norm")
      .Doc("Gradients are scaled down to this global norm; 0: never.");
  f.Integer("threads_per_rank", &c.threads_per_rank)
      .AtLeast(0)
      .Doc("Threads of each rank's kernels; 0: the host's cores shared among its ranks.");
  f.Integer("check_replicas", &c.check_replicas)
      .AtLeast(0)
      .Unit("steps")
      .Doc(
          "Steps between comparisons of what several ranks hold alike, by hash, which stop the run at the "
          "first "
          "difference; 0: never.");
}

void DescribeEvaluate(Fields& f, EvaluateConfig& c) {
  f.Integer("every", &c.every)
      .AtLeast(0)
      .Unit("steps")
      .Doc("Steps between evaluations; 0: only after the last.");
  f.Integer("batches", &c.batches)
      .AtLeast(0)
      .Unit("global batches")
      .Doc("Size of the fixed sets that val_loss and train_loss are measured on; 0: no evaluation.");
  f.Text("prompt", &c.prompt).Doc("Text to continue at each evaluation; empty: a line break.");
  f.Integer("sample_tokens", &c.sample_tokens).AtLeast(0).Unit("tokens").Doc("Length of the continuation.");
  f.Real("temperature", &c.temperature)
      .AtLeast(0)
      .Doc("Divides the logits when sampling; 0: the likeliest token.");
  f.Integer("top_k", &c.top_k).AtLeast(0).Doc("Sample among the k likeliest tokens; 0: among all.");
}

void DescribeLog(Fields& f, LogConfig& c) {
  f.Integer("every", &c.every)
      .AtLeast(1)
      .Unit("steps")
      .Doc("Steps between console lines (metrics.jsonl has every step).");
  f.Real("peak_tflops", &c.peak_tflops)
      .AtLeast(0)
      .Unit("TFLOP/s")
      .Doc("Peak of one rank, for mfu; 0: measured at the start with a matrix product.");
  f.Choice("memory", &c.memory, {"summary", "detail"})
      .Doc("How the end tells where memory went: the peak by kind, or a table by phase of the step as well.");
  f.Bool("tensorboard", &c.tensorboard)
      .Doc("Writes the metrics to RUN_DIR/tensorboard as well, for TensorBoard.");
  f.Section("trace", "Timelines of single steps, in RUN_DIR/trace, for Perfetto and `orthant report`.",
            [&](Fields& s) {
              s.Integers("steps", &c.trace.steps)
                  .AtLeast(1)
                  .Doc(
                      "Steps whose compute and communication are written as a timeline, all ranks in one "
                      "file; a few, since every operation is kept. [5, 6]: the two after a warm start.");
            });
}

}  // namespace

void Describe(Fields& f, RunConfig& c) {
  f.Section("run", "What the run is called and where its files go.",
            [&](Fields& s) { DescribeRun(s, c.run); });
  f.Section("init", "What a new run begins with.", [&](Fields& s) {
    s.Text("from", &c.init.from)
        .Doc(
            "Checkpoint (of a step, or a run's latest) whose parameters the run begins with, with a new "
            "optimiser; empty: drawn from run.seed.");
  });
  f.Section("model", "The model.", [&](Fields& s) { Describe(s, c.model); });
  f.Section("parallel", "The mesh and how each axis is used. Changing it never changes the curve.",
            [&](Fields& s) { Describe(s, c.parallel); });
  f.Section("zero", "How ZeRO shards, gathers and offloads; the stage is parallel.zero.",
            [&](Fields& s) { Describe(s, c.zero); });
  f.Section("memory", "What a rank may hold, and what backward computes again.",
            [&](Fields& s) { Describe(s, c.memory); });
  f.Section("train", "Steps, batches, precision.", [&](Fields& s) { DescribeTrain(s, c.train); });
  f.Section("anomaly", "What happens when the loss is not finite, or jumps.",
            [&](Fields& s) { Describe(s, c.anomaly); });
  f.Section("optimizer", "AdamW and its learning rate.", [&](Fields& s) { Describe(s, c.optimizer); });
  f.Section("data", "What is trained on.", [&](Fields& s) { Describe(s, c.data); });
  f.Section("checkpoint", "When the training state is saved, and where a run goes on.",
            [&](Fields& s) { Describe(s, c.checkpoint); });
  f.Section("evaluate", "Validation and samples.", [&](Fields& s) { DescribeEvaluate(s, c.evaluate); });
  f.Section("log", "Console and metrics.", [&](Fields& s) { DescribeLog(s, c.log); });
  f.Section("comm", "Communication.", [&](Fields& s) { Describe(s, c.comm); });
  f.Section("verify", "What `orthant verify` adds to the run's own configuration.", [&](Fields& s) {
    s.Texts("variants", &c.verify.variants)
        .Doc(
            "Overrides, each of which is verified too, on every mesh, beside the configuration as it "
            "stands.");
  });
  f.Section("fault", "Faults to rehearse: what the run does when something breaks.",
            [&](Fields& s) { Describe(s, c.fault); });
}

}  // namespace orthant
