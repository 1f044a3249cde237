#include "orthant/train/parallel_model.h"

#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/memory/account.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/pipeline_parallel/partition.h"

namespace orthant {
namespace {

at::ScalarType DtypeOf(const std::string& name) {
  return name == "fp64"   ? at::kDouble
         : name == "bf16" ? at::kBFloat16
         : name == "fp16" ? at::kHalf
                          : at::kFloat;
}

}  // namespace

StageShare ShareOf(const RunConfig& config, int64_t vocab, int stage) {
  const std::vector<int64_t> layers = LayersPerStage(config, vocab);
  StageShare share;
  for (int s = 0; s < stage; ++s) share.first_layer += layers[s];
  share.layers = layers[stage];
  share.embedding = stage == 0;
  share.head = stage + 1 == config.parallel.pipeline;
  return share;
}

Precision PrecisionOf(const TrainConfig& config) {
  const at::ScalarType values = DtypeOf(config.dtype);
  if (!at::isReducedFloatingType(values)) return {values, values, values};
  const at::ScalarType gradients = config.gradient_dtype == "same" ? values : at::kFloat;
  if (config.reduce_dtype == "gradient") return {values, gradients, gradients};
  return {values, gradients, config.reduce_dtype == "same" ? values : at::kFloat};
}

RecomputePlan RecomputePlanOf(const MemoryConfig& config) {
  using Kind = RecomputePlan::Kind;
  const Kind kind = config.recompute == "full"        ? Kind::kFull
                    : config.recompute == "selective" ? Kind::kSelective
                                                      : Kind::kNone;
  return {kind, config.recompute_every};
}

ParallelModel::ParallelModel(const RunConfig& config, const Mesh& mesh, int64_t vocab, Communicator& world,
                             c10::Device device)
    : config_(config),
      device_(device),
      groups_(MakeGroups(mesh, config.zero.shard_ranks, world)),
      share_(ShareOf(config, vocab, groups_.pipeline->rank())),
      parameter_store_(MakeStore()),
      queue_(config.zero.prefetch_bytes, MostAhead(config.zero)),
      context_(MakeContext(vocab)),
      model_(MakeStageModel(config.model, share_, context_)),
      units_(model_->units()),
      program_(std::make_unique<ModelProgram>(*model_, share_, config.model, context_, position_, queue_)),
      schedule_(
          MakeSchedule(config.parallel.schedule, {.ranks = config.parallel.pipeline,
                                                  .microbatches = static_cast<int>(config.Microbatches())})
              .value()) {
  for (ShardedUnit* unit : model_->tied_units()) unit->TieTo(groups_.embedding_pair.get());
}

std::unique_ptr<StateStore> ParallelModel::MakeStore() const {
  const Tier tier = TierOf(config_.zero.offload.parameters);
  if (config_.parallel.zero < 3 || tier == Tier::kDevice) return nullptr;
  return StateStore::Create({tier, config_.OffloadDir(),
                             absl::StrCat("parameters.rank-", groups_.world->rank()),
                             config_.zero.offload.buffers, device_});
}

StageContext ParallelModel::MakeContext(int64_t vocab) {
  const Precision precision = PrecisionOf(config_.train);
  StageContext context;
  context.tensor = {groups_.tensor.get(), config_.parallel.tensor_sequence, &position_};
  context.sequence = groups_.sequence.get();
  UnitOptions& unit = context.unit;
  unit.device = device_;
  unit.dtype = precision.values;
  unit.gradient_dtype = precision.gradients;
  unit.reduce_dtype = precision.reduction;
  unit.seed = static_cast<uint64_t>(config_.run.seed);
  unit.zero_stage = config_.parallel.zero;
  unit.release_after_forward = config_.zero.release_after_forward;
  unit.tensor_partial = config_.parallel.tensor_sequence;
  unit.bucket_bytes = config_.zero.bucket_bytes;
  unit.tile_bytes = config_.zero.tile_bytes;
  unit.shard = groups_.Shard(unit.zero_stage);
  unit.replica = groups_.Replica(unit.zero_stage);
  unit.tensor = groups_.tensor.get();
  unit.queue = &queue_;
  unit.parameters = parameter_store_.get();
  unit.position = &position_;
  context.recompute = RecomputePlanOf(config_.memory);
  context.position = &position_;
  context.vocab = vocab;
  return context;
}

// Tensor ranks hold the same loss: one of them counts.
void ParallelModel::CountLoss(const at::Tensor& loss, at::Tensor* sum) const {
  if (groups_.tensor->rank() != 0) return;
  const at::Tensor part = loss.detach();
  *sum = sum->defined() ? sum->add(part) : part;
}

double ParallelModel::ForwardBackward(int64_t step, const std::vector<Batch>& batches, double gradient_scale,
                                      ExecutorStats* stats, StepTrace* trace) {
  const double scale =
      1.0 / (static_cast<double>(config_.train.global_batch) * static_cast<double>(config_.model.context));
  at::Tensor sum;  // a device is asked for it once, at the end
  for (ShardedUnit* unit : units_) unit->BeginStep(static_cast<int>(batches.size()));
  program_->Begin(step, /*training=*/true, &batches, [&](int microbatch, const at::Tensor& hidden) {
    at::Tensor loss = model_->Loss(hidden, batches[microbatch].targets, scale, gradient_scale);
    CountLoss(loss, &sum);
    return loss;
  });
  if (trace == nullptr) {
    RunSchedule(schedule_, groups_.pipeline->rank(), *groups_.pipeline, *program_, stats);
  } else {
    TracedProgram traced(*program_, *trace);
    RunSchedule(schedule_, groups_.pipeline->rank(), *groups_.pipeline, traced, stats);
  }
  EndPass();
  return sum.defined() ? sum.item<double>() : 0.0;
}

// What was gathered, ahead of a use that did not come too, is given back.
void ParallelModel::EndPass() {
  for (ShardedUnit* unit : units_) unit->ReleaseValues();
}

void ParallelModel::Probe(FiniteProbe* probe) {
  position_.probe = probe;
}

void ParallelModel::ReduceGradients() {
  const PhaseScope phase(StepPhase::kReduce);
  for (ShardedUnit* unit : units_) unit->FinishReduce();
}

void ParallelModel::GatherParameters() {
  const PhaseScope phase(StepPhase::kGather);
  for (ShardedUnit* unit : units_) unit->StartShare();
  for (ShardedUnit* unit : units_) unit->FinishShare();
}

double ParallelModel::EvaluateLoss(const std::vector<Batch>& batches) {
  at::Tensor sum;  // a device is asked for it once, at the end
  program_->Begin(/*step=*/0, /*training=*/false, &batches, [&](int microbatch, const at::Tensor& hidden) {
    at::Tensor loss = model_->Loss(hidden, batches[microbatch].targets, 1.0, 1.0);
    CountLoss(loss, &sum);
    return loss;
  });
  RunSchedule(ForwardOnly(config_.parallel.pipeline, static_cast<int>(batches.size())),
              groups_.pipeline->rank(), *groups_.pipeline, *program_, nullptr);
  EndPass();
  return sum.defined() ? sum.item<double>() : 0.0;
}

at::Tensor ParallelModel::NextTokenLogits(const at::Tensor& window, int64_t position) {
  std::vector<Batch> batch(1);
  batch[0].inputs = window.narrow(1, first_token(), tokens_read()).contiguous().to(device_);
  batch[0].rows = {0};
  at::Tensor logits;
  program_->Begin(/*step=*/0, /*training=*/false, &batch, [&](int, const at::Tensor& hidden) {
    logits = model_->Logits(hidden, position).view({-1});
    return logits;
  });
  RunSchedule(ForwardOnly(config_.parallel.pipeline, 1), groups_.pipeline->rank(), *groups_.pipeline,
              *program_, nullptr);
  EndPass();
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
