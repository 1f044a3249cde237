#include "orthant/train/engine.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "orthant/optim/gradient_norm.h"
#include "orthant/optim/learning_rate.h"
#include "orthant/train/broadcast_text.h"
#include "orthant/train/memory_summary.h"

namespace orthant {
namespace {

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw StatusError(value.status());
  return *std::move(value);
}

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Microbatches of the batch at `index`, counted from 0, on `device`.
std::vector<Batch> BatchesOf(Loader& loader, int64_t index, c10::Device device) {
  std::vector<Batch> batches;
  for (int64_t m = 0; m < loader.microbatches(); ++m) {
    Batch batch = ValueOrThrow(loader.Get(index, m));
    batch.inputs = batch.inputs.to(device);
    batch.targets = batch.targets.to(device);
    batches.push_back(std::move(batch));
  }
  return batches;
}

std::unique_ptr<StateStore> OptimizerStore(const RunConfig& config, const Communicator& world,
                                           c10::Device device) {
  const Tier tier = TierOf(config.zero.offload.optimizer);
  return StateStore::Create({tier, config.OffloadDir(), absl::StrCat("optimizer.rank-", world.rank()),
                             config.zero.offload.buffers, device});
}

}  // namespace

Engine::Engine(const RunConfig& config, const Mesh& mesh, int64_t vocab, const Dataset& dataset,
               Communicator& world, c10::Device device)
    : config_(config),
      dataset_(dataset),
      world_(world),
      model_(config, mesh, vocab, world, device),
      optimizer_(model_.units(), config.optimizer, OptimizerStore(config, world, device)),
      loss_scale_(config.train.loss_scale, /*active=*/config.train.dtype == "fp16"),
      spikes_(config.anomaly) {
  auto order =
      ValueOrThrow(TrainingSequence::Create(static_cast<uint64_t>(config.run.seed), dataset.train->tokens(),
                                            config.model.context, dataset.train->name()));
  loader_ =
      MakeLoader(dataset.train, std::make_shared<TrainingSequence>(std::move(order)), config.data.prefetch);
}

std::unique_ptr<Loader> Engine::MakeLoader(std::shared_ptr<const TokenSource> source,
                                           std::shared_ptr<const SampleSequence> sequence,
                                           bool prefetch) const {
  BatchGeometry geometry;
  geometry.global_batch = config_.train.global_batch;
  geometry.micro_batch = config_.train.micro_batch;
  geometry.data_degree = config_.parallel.data;
  geometry.data_rank = model_.groups().data->rank();
  geometry.sequence_begin = model_.first_token();
  geometry.sequence_length = model_.tokens_read();
  return ValueOrThrow(Loader::Create(std::move(source), std::move(sequence), geometry, prefetch));
}

void Engine::Rehearse(FaultInjector* faults) {
  faults_ = faults;
  model_.Rehearse(faults);
}

void Engine::Now(const char* activity) {
  world_.flight_recorder()->SetActivity(activity);
  if (trace_ != nullptr) trace_->Enter(activity);
}

void Engine::At(FaultPhase phase, const char* activity) {
  Now(activity);
  if (faults_ != nullptr) faults_->At(phase);
}

Progress Engine::progress() const {
  Progress progress = progress_;
  progress.loss_scale_active = loss_scale_.active();
  progress.loss_scale = loss_scale_.state();
  progress.recent_losses = spikes_.state();
  return progress;
}

void Engine::Restore(const Progress& progress) {
  progress_ = progress;
  // A run that was in another type has no scale to go on with.
  if (loss_scale_.active() && progress.loss_scale_active) loss_scale_.Restore(progress.loss_scale);
  spikes_.Restore(progress.recent_losses);
}

StepResult Engine::Step(const StepVotes& votes) {
  const Stopwatch whole;
  StepResult result;
  result.step = progress_.step + 1;
  result.loss_scale = loss_scale_.value();
  result.lr = LearningRate(config_.optimizer, result.step, config_.train.steps);
  world_.flight_recorder()->SetStep(result.step);
  if (faults_ != nullptr) faults_->EnterStep(result.step);

  At(FaultPhase::kData, "data loading");
  const std::vector<Batch> batches = BatchesOf(*loader_, progress_.next_batch(), model_.device());
  result.data_seconds = whole.Seconds();
  ExecutorStats stats;
  Now("forward and backward");
  const double loss_part = model_.ForwardBackward(result.step, batches, result.loss_scale, &stats, trace_);
  At(FaultPhase::kReduce, "gradient reduction");
  const Stopwatch reduction;
  model_.ReduceGradients();
  result.reduce_seconds = reduction.Seconds();

  const Stopwatch optimizer;
  Exchange(loss_part, votes, &result);
  if (result.action == AnomalyAction::kNone) Update(result);

  NoteMemory(&result);
  result.forward_seconds = stats.forward_seconds;
  result.backward_seconds = stats.backward_seconds;
  result.pipeline_seconds = stats.wait_seconds;
  result.optimizer_seconds = optimizer.Seconds();
  result.seconds = whole.Seconds();
  return result;
}

void Engine::NoteMemory(StepResult* result) const {
  const std::shared_ptr<MemoryAccount> memory = BoundMemory();
  if (memory == nullptr) return;
  result->memory = BytesOn(model_.device(), *memory);
  result->memory_peak = PeakOn(model_.device(), *memory);
}

void Engine::Exchange(double loss_part, const StepVotes& votes, StepResult* result) {
  // One exchange for all numbers that every rank must know.
  at::Tensor sums = at::empty({kStepSums}, at::kDouble);
  double* sum = sums.data_ptr<double>();
  sum[0] = faults_ == nullptr ? loss_part : faults_->Loss(loss_part);
  sum[1] = SquaredNormPart(model_.units());
  sum[2] = model_.groups().HashBalance();
  sum[3] = votes.stop;
  sum[4] = votes.save;
  sum[5] = votes.busy;
  world_.AllReduce(sums, ReduceOp::kSum, "loss_and_norm");
  if (sum[2] != 0.0) throw CommError(model_.groups().ExplainImbalance());
  result->loss = sum[0];
  result->grad_norm = std::sqrt(sum[1]) / result->loss_scale;
  result->votes = {sum[3], sum[4], sum[5]};

  const bool finite = std::isfinite(result->loss) && std::isfinite(result->grad_norm);
  const LossScale::Verdict verdict = loss_scale_.After(finite);
  result->skipped = verdict == LossScale::Verdict::kSkip;
  if (verdict == LossScale::Verdict::kStop) {
    result->anomaly = Anomaly::kNonFinite;
  } else if (finite && spikes_.IsSpike(result->loss)) {
    result->anomaly = Anomaly::kSpike;
    result->usual_loss = spikes_.Median();
  }
  result->action = ActionFor(config_.anomaly, result->anomaly);
}

void Engine::Update(const StepResult& result) {
  progress_.step = result.step;
  if (result.skipped) return;
  At(FaultPhase::kOptimizer, "optimizer");
  // Skipped steps are no steps to AdamW's bias corrections.
  ++progress_.updates;
  optimizer_.Step(progress_.updates, result.lr,
                  ClipScale(result.grad_norm, config_.train.clip) / result.loss_scale, before_update_);
  model_.GatherParameters();
  spikes_.Keep(result.loss);
  world_.flight_recorder()->SetActivity("between steps");
}

void Engine::SkipStep(const StepResult& result) {
  const std::string reason = DescribeAnomaly(result.anomaly, result.loss, result.usual_loss);
  progress_.skipped.push_back({result.step, progress_.next_batch(), 1, reason, /*rolled_back=*/false});
  progress_.step = result.step;
}

std::string Engine::FindNonFinite() {
  FiniteProbe probe;
  model_.Probe(&probe);
  model_.ForwardBackward(progress_.step + 1, BatchesOf(*loader_, progress_.next_batch(), model_.device()),
                         loss_scale_.value(), nullptr);
  model_.ReduceGradients();
  model_.Probe(nullptr);
  at::Tensor earliest = at::full({1}, probe.key(), at::kLong);
  world_.AllReduce(earliest, ReduceOp::kMin, "probe.key");
  const bool mine = probe.found() && probe.key() == earliest.item<int64_t>();
  at::Tensor rank = at::full({1}, mine ? world_.rank() : world_.size(), at::kLong);
  world_.AllReduce(rank, ReduceOp::kMin, "probe.rank");
  const int root = static_cast<int>(rank.item<int64_t>());
  if (root == world_.size()) return "";  // finite when computed again
  const int64_t microbatch = earliest.item<int64_t>() >> 32;
  return absl::StrCat(BroadcastText(probe.what(), root, world_), " on rank ", root, ", microbatch ",
                      microbatch);
}

double Engine::Evaluate(bool validation, int64_t batches) {
  const std::shared_ptr<const TokenSource>& source = validation ? dataset_.validation : dataset_.train;
  auto sequence = std::make_shared<ValidationSequence>(ValueOrThrow(ValidationSequence::Create(
      source->tokens(), config_.model.context, batches * config_.train.global_batch, source->name())));
  const std::unique_ptr<Loader> loader = MakeLoader(source, std::move(sequence), /*prefetch=*/false);
  at::Tensor sum = at::zeros({1}, at::kDouble);
  const PhaseScope phase(StepPhase::kEvaluate);
  At(FaultPhase::kEvaluate, "evaluation");
  for (int64_t b = 0; b < batches; ++b) sum += model_.EvaluateLoss(BatchesOf(*loader, b, model_.device()));
  world_.AllReduce(sum, ReduceOp::kSum, "evaluation");
  return sum.item<double>() /
         static_cast<double>(batches * config_.train.global_batch * config_.model.context);
}

}  // namespace orthant
