#include "orthant/train/parallel_model.h"

#include <utility>

#include "ATen/ATen.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/partition.h"

namespace orthant {
namespace {

StageShare ShareOf(const RunConfig& config, int64_t vocab, int stage) {
  const std::vector<int64_t> layers = LayersPerStage(config, vocab);
  StageShare share;
  for (int s = 0; s < stage; ++s) share.first_layer += layers[s];
  share.layers = layers[stage];
  share.embedding = stage == 0;
  share.head = stage + 1 == config.parallel.pipeline;
  return share;
}

}  // namespace

at::ScalarType DtypeOf(const std::string& name) {
  return name == "fp64" ? at::kDouble : at::kFloat;
}

ParallelModel::ParallelModel(const RunConfig& config, const Mesh& mesh, int64_t vocab, Communicator& world)
    : config_(config),
      groups_(MakeGroups(mesh, world)),
      share_(ShareOf(config, vocab, groups_.pipeline->rank())),
      context_(MakeContext(vocab)),
      model_(MakeStageModel(config.model, share_, context_)),
      units_(model_->units()),
      program_(std::make_unique<ModelProgram>(*model_, share_, config.model, context_, position_)),
      schedule_(
          MakeSchedule(config.parallel.schedule, {.ranks = config.parallel.pipeline,
                                                  .microbatches = static_cast<int>(config.Microbatches())})
              .value()) {
  if (model_->tied_unit() != nullptr) model_->tied_unit()->Hold();
}

StageContext ParallelModel::MakeContext(int64_t vocab) const {
  StageContext context;
  context.tensor = {groups_.tensor.get(), config_.parallel.tensor_sequence, &position_};
  context.sequence = groups_.sequence.get();
  context.unit.dtype = DtypeOf(config_.train.dtype);
  context.unit.seed = static_cast<uint64_t>(config_.run.seed);
  context.unit.zero_stage = config_.parallel.zero;
  context.unit.tensor_partial = config_.parallel.tensor_sequence;
  context.unit.data = groups_.data_sequence.get();
  context.unit.tensor = groups_.tensor.get();
  context.position = &position_;
  context.vocab = vocab;
  return context;
}

// Tensor ranks hold the same loss: one of them counts.
double ParallelModel::LossPart(const at::Tensor& loss) const {
  return groups_.tensor->rank() == 0 ? loss.item<double>() : 0.0;
}

double ParallelModel::ForwardBackward(int64_t step, const std::vector<Batch>& batches, ExecutorStats* stats) {
  const double scale =
      1.0 / (static_cast<double>(config_.train.global_batch) * static_cast<double>(config_.model.context));
  double loss_part = 0.0;
  for (ShardedUnit* unit : units_) unit->BeginStep(static_cast<int>(batches.size()));
  program_->Begin(step, /*training=*/true, &batches, [&](int microbatch, const at::Tensor& hidden) {
    at::Tensor loss = model_->Loss(hidden, batches[microbatch].targets, scale);
    loss_part += LossPart(loss);
    return loss;
  });
  RunSchedule(schedule_, groups_.pipeline->rank(), *groups_.pipeline, *program_, stats);
  return loss_part;
}

void ParallelModel::ReduceGradients() {
  if (ShardedUnit* tied = model_->tied_unit(); tied != nullptr) {
    // Before sharding over data: the two stages' units are laid out differently.
    groups_.embedding_pair->AllReduce(model_->tied_parameter()->grad(), ReduceOp::kSum, "grad.tied");
    tied->Release();
  }
  for (ShardedUnit* unit : units_) unit->FinishReduce();
}

void ParallelModel::GatherParameters() {
  for (ShardedUnit* unit : units_) unit->StartGather();
  for (ShardedUnit* unit : units_) unit->FinishGather();
}

double ParallelModel::EvaluateLoss(const std::vector<Batch>& batches) {
  double loss_part = 0.0;
  program_->Begin(/*step=*/0, /*training=*/false, &batches, [&](int microbatch, const at::Tensor& hidden) {
    at::Tensor loss = model_->Loss(hidden, batches[microbatch].targets, 1.0);
    loss_part += LossPart(loss);
    return loss;
  });
  RunSchedule(ForwardOnly(config_.parallel.pipeline, static_cast<int>(batches.size())),
              groups_.pipeline->rank(), *groups_.pipeline, *program_, nullptr);
  return loss_part;
}

at::Tensor ParallelModel::NextTokenLogits(const at::Tensor& window, int64_t position) {
  std::vector<Batch> batch(1);
  batch[0].inputs = window.narrow(1, first_token(), tokens_read()).contiguous();
  batch[0].rows = {0};
  at::Tensor logits;
  program_->Begin(/*step=*/0, /*training=*/false, &batch, [&](int, const at::Tensor& hidden) {
    logits = model_->Logits(hidden, position).view({-1});
    return logits;
  });
  RunSchedule(ForwardOnly(config_.parallel.pipeline, 1), groups_.pipeline->rank(), *groups_.pipeline,
              *program_, nullptr);
  return logits;
}

std::vector<int64_t> LayersPerStage(const RunConfig& config, int64_t vocab) {
  if (!config.parallel.stages.empty()) return config.parallel.stages;
  // A block costs 12 H^2 multiply-adds a token and its attention H S; the projection costs V H; a lookup
  // almost nothing.
  const double h = static_cast<double>(config.model.hidden);
  const double block = 12.0 * h * h + h * static_cast<double>(config.model.context);
  const double head = static_cast<double>(vocab) * h / block;
  return PartitionLayers(config.model.layers, config.parallel.pipeline, /*embedding_cost=*/0.0, head).value();
}

}  // namespace orthant
