#include "orthant/train/engine.h"

#include <chrono>

#include "ATen/ATen.h"
#include "orthant/optim/gradient_norm.h"
#include "orthant/optim/learning_rate.h"
#include "orthant/train/launch.h"

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

// Microbatches of the batch at `index`, counted from 0.
std::vector<Batch> BatchesOf(Loader& loader, int64_t index) {
  std::vector<Batch> batches;
  for (int64_t m = 0; m < loader.microbatches(); ++m) batches.push_back(ValueOrThrow(loader.Get(index, m)));
  return batches;
}

}  // namespace

Engine::Engine(const RunConfig& config, const Mesh& mesh, int64_t vocab, const Dataset& dataset,
               Communicator& world)
    : config_(config),
      dataset_(dataset),
      world_(world),
      model_(config, mesh, vocab, world),
      optimizer_(model_.units(), config.optimizer) {
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

StepResult Engine::Step(int64_t step) {
  const Stopwatch whole;
  const std::vector<Batch> batches = BatchesOf(*loader_, step - 1);
  ExecutorStats stats;
  const double loss_part = model_.ForwardBackward(step, batches, &stats);
  model_.ReduceGradients();

  const Stopwatch optimizer;
  // One exchange for both numbers that every rank must know.
  at::Tensor sums = at::empty({2}, at::kDouble);
  sums[0] = loss_part;
  sums[1] = SquaredNormPart(model_.units(), model_.first_replica());
  world_.AllReduce(sums, ReduceOp::kSum, "loss_and_norm");
  StepResult result;
  result.step = step;
  result.loss = sums[0].item<double>();
  result.grad_norm = std::sqrt(sums[1].item<double>());
  result.lr = LearningRate(config_.optimizer, step, config_.train.steps);
  optimizer_.Step(step, result.lr, ClipScale(result.grad_norm, config_.train.clip));
  model_.GatherParameters();

  result.forward_seconds = stats.forward_seconds;
  result.backward_seconds = stats.backward_seconds;
  result.optimizer_seconds = optimizer.Seconds();
  result.seconds = whole.Seconds();
  return result;
}

double Engine::Evaluate(bool validation, int64_t batches) {
  const std::shared_ptr<const TokenSource>& source = validation ? dataset_.validation : dataset_.train;
  auto sequence = std::make_shared<ValidationSequence>(ValueOrThrow(ValidationSequence::Create(
      source->tokens(), config_.model.context, batches * config_.train.global_batch, source->name())));
  const std::unique_ptr<Loader> loader = MakeLoader(source, std::move(sequence), /*prefetch=*/false);
  at::Tensor sum = at::zeros({1}, at::kDouble);
  for (int64_t b = 0; b < batches; ++b) sum += model_.EvaluateLoss(BatchesOf(*loader, b));
  world_.AllReduce(sum, ReduceOp::kSum, "evaluation");
  return sum.item<double>() /
         static_cast<double>(batches * config_.train.global_batch * config_.model.context);
}

}  // namespace orthant
