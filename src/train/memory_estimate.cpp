#include "orthant/train/memory_estimate.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "orthant/nn/matmul.h"
#include "orthant/pipeline_parallel/generators.h"
#include "orthant/train/parallel_model.h"
#include "train/shadow_step.h"

namespace orthant {
namespace {

constexpr int64_t kStagingAlignment = 4096;  // of direct reads and writes

int64_t SizeOf(at::ScalarType type) {
  return static_cast<int64_t>(c10::elementSize(type));
}

// Staging buffers of a store whose slots hold `bytes`.
int64_t StagingBytes(const std::vector<int64_t>& bytes, int buffers) {
  if (bytes.empty()) return 0;
  const int64_t largest = *std::max_element(bytes.begin(), bytes.end());
  const int64_t rounded = (largest + kStagingAlignment - 1) / kStagingAlignment * kStagingAlignment;
  return std::min<int64_t>(buffers, static_cast<int64_t>(bytes.size())) * (rounded + kStagingAlignment);
}

UnitSplit SplitOf(const RunConfig& c) {
  return {c.zero.bucket_bytes, c.zero.tile_bytes, SizeOf(PrecisionOf(c.train).values)};
}

// Microbatches after which a longer step holds no more: 1F1B is in its rhythm, GPipe holds all.
int64_t MicrobatchesPlayed(const RunConfig& c) {
  const int64_t all = c.Microbatches();
  if (c.parallel.pipeline == 1) return std::min<int64_t>(all, 3);
  return c.parallel.schedule == "1f1b" ? std::min<int64_t>(all, 2 * c.parallel.pipeline + 10) : all;
}

class StagePlay {
 public:
  StagePlay(const RunConfig& config, int64_t vocab, const ProductKernels& kernels, const Schedule& schedule,
            int stage)
      : config_(config),
        precision_(PrecisionOf(config.train)),
        schedule_(schedule),
        rank_(stage),
        queue_(config.zero.prefetch_bytes, MostAhead(config.zero)),
        layers_(ledger_,
                ShapeOf(config.model, config.train.micro_batch, config.parallel.tensor,
                        config.parallel.sequence, config.parallel.tensor_sequence, precision_.values),
                ProductRoute::Of(precision_.values, precision_.gradients, kernels),
                config.parallel.tensor_sequence),
        stage_(config.model, ShareOf(config, vocab, stage),
               PlanStage(config.model, ShareOf(config, vocab, stage), vocab, config.parallel.tensor,
                         SplitOf(config)),
               RecomputePlanOf(config.memory), Options(), layers_) {}

  StageEstimate Play() {
    MakeOptimizer();
    for (int step = 0; step < 2; ++step) Step();  // the second knows the order of gathers
    StageEstimate estimate;
    estimate.steady = ledger_.current();
    estimate.peak = ledger_.peak();
    estimate.peak_phase = ledger_.peak_phase();
    for (const ShadowUnit* unit : stage_.units()) {
      estimate.units.push_back({unit->name(), unit->parameters(), unit->elements(), unit->share()});
    }
    return estimate;
  }

 private:
  ShadowOptions Options() {
    const ParallelConfig& p = config_.parallel;
    const int64_t ranks = int64_t{p.data} * p.sequence;
    ShadowOptions o;
    o.value_size = SizeOf(precision_.values);
    o.gradient_size = SizeOf(precision_.gradients);
    o.reduce_size = SizeOf(precision_.reduction);
    o.masters = at::isReducedFloatingType(precision_.values);
    o.one_type = precision_.gradients == precision_.reduction;
    o.zero_stage = p.zero;
    o.shards = p.zero == 0 ? 1 : config_.zero.shard_ranks > 0 ? config_.zero.shard_ranks : ranks;
    o.replicas = p.zero > 0 && o.shards < ranks;
    o.release_after_forward = config_.zero.release_after_forward;
    o.parameters = p.zero < 3 ? Tier::kDevice : TierOf(config_.zero.offload.parameters);
    o.ledger = &ledger_;
    o.queue = &queue_;
    return o;
  }

  void MakeOptimizer() {
    const Tier tier = TierOf(config_.zero.offload.optimizer);
    const bool masters = at::isReducedFloatingType(precision_.values);
    const int64_t bytes = masters ? 3 * 4 : 2 * SizeOf(precision_.gradients);
    std::vector<int64_t> slots, values;
    for (ShadowUnit* unit : stage_.units()) {
      slots.push_back(unit->share() * bytes);
      values.push_back(unit->share() * SizeOf(precision_.values));
      const MemoryLedger::Held master = unit->TakeMaster();
      if (tier == Tier::kDevice) {
        states_.push_back(ledger_.New(MemoryTag::kOptimizer, slots.back()));
      } else {
        const MemoryLedger::Held made = ledger_.New(MemoryTag::kHost, slots.back());
        if (tier == Tier::kHost) states_.push_back(ledger_.New(MemoryTag::kHost, slots.back()));
      }
    }
    const int buffers = config_.zero.offload.buffers;
    if (tier == Tier::kNvme) states_.push_back(ledger_.New(MemoryTag::kHost, StagingBytes(slots, buffers)));
    if (config_.parallel.zero == 3 && TierOf(config_.zero.offload.parameters) == Tier::kNvme) {
      states_.push_back(ledger_.New(MemoryTag::kHost, StagingBytes(values, buffers)));
    }
  }

  void Step() {
    const ActivationShape& shape = layers_.shape();
    // Inputs and targets of all microbatches.
    const MemoryLedger::Held batches =
        ledger_.Temporary(config_.data.prefetch ? 0 : 2 * 8 * shape.Rows() * config_.Microbatches());
    for (ShadowUnit* unit : stage_.units()) unit->BeginStep(schedule_.microbatches);
    ShadowStep(schedule_, rank_, ledger_, queue_, stage_, shape.Held()).Run();
    for (ShadowUnit* unit : stage_.units()) unit->Release();
    ledger_.Enter(StepPhase::kReduce);
    for (ShadowUnit* unit : stage_.units()) unit->FinishReduce();
  }

  const RunConfig& config_;
  Precision precision_;
  const Schedule& schedule_;
  int rank_;
  MemoryLedger ledger_;
  UnitQueue queue_;
  ShadowLayers layers_;
  ShadowStage stage_;
  std::vector<MemoryLedger::Held> states_;
};

}  // namespace

const StageEstimate& MemoryEstimate::worst() const {
  return *std::max_element(stages.begin(), stages.end(), [](const StageEstimate& a, const StageEstimate& b) {
    return a.peak.device_bytes < b.peak.device_bytes;
  });
}

ProductKernels ProductKernels::OfThisProcessor() {
  return {MultipliesByOneDnn(at::kFloat), ProductType(at::empty({1, 1}, at::kBFloat16)) == at::kBFloat16};
}

MemoryEstimate EstimateMemory(const RunConfig& config, int64_t vocab, const ProductKernels& kernels) {
  const Schedule schedule =
      MakeSchedule(config.parallel.schedule, {.ranks = config.parallel.pipeline,
                                              .microbatches = static_cast<int>(MicrobatchesPlayed(config))})
          .value();
  MemoryEstimate estimate;
  for (int stage = 0; stage < config.parallel.pipeline; ++stage) {
    estimate.stages.push_back(StagePlay(config, vocab, kernels, schedule, stage).Play());
  }
  return estimate;
}

}  // namespace orthant
