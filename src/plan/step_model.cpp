#include "orthant/plan/step_model.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

double D(int64_t value) {
  return static_cast<double>(value);
}

// Communication beside compute: the longer of the two, and what they take from each other.
struct Overlap {
  double seconds = 0, hidden = 0;
};
Overlap Beside(double compute, double communication, double interference) {
  const double hidden = std::min(compute, communication);
  return {std::max(compute, communication) + interference * hidden, hidden};
}

// ZeRO's transfers of a microbatch on a rank: seconds of a block's and of the embedding's and head's units.
struct ShardTraffic {
  double forward = 0, backward = 0;  // of a block
  double ends = 0;                   // of an end's unit, both directions
  double block_bytes = 0, ends_bytes = 0;
};

ShardTraffic TrafficOf(const Machine& machine, const Workload& w, const PlannedLayout& l) {
  ShardTraffic traffic;
  if (l.zero < 2 || l.Shards() <= 1) return traffic;
  const PlacedGroup group = ShardGroup(machine, l);
  const double block = D(w.model.BlockParameters()) / D(l.tensor);
  // On one stage, tables that are not tied are two units.
  const double tables = l.pipeline == 1 && !w.model.tie_embeddings ? 2 : 1;
  const double table = tables * D(w.model.vocab) * D(w.model.hidden) / D(l.tensor);
  const double share = D(group.size - 1) / D(group.size);
  const auto scatter = [&](double n) { return GatherSeconds(machine, group, n * w.precision.gradient); };
  traffic.backward = scatter(block);
  traffic.ends = scatter(table);
  traffic.block_bytes = share * block * w.precision.gradient;
  traffic.ends_bytes = share * table * w.precision.gradient;
  if (l.zero < 3) return traffic;
  const auto gather = [&](double n) {
    const double bytes = n * w.precision.value;
    const double host = l.offload == Offload::kAll ? bytes / D(group.size) / machine.host_bandwidth : 0;
    return GatherSeconds(machine, group, bytes) + host;
  };
  traffic.forward = gather(block);
  traffic.backward += gather(block);
  traffic.ends += 2 * gather(table);
  traffic.block_bytes += 2 * share * block * w.precision.value;
  traffic.ends_bytes += 2 * share * table * w.precision.value;
  return traffic;
}

// What is reduced and shared once a step, over data x sequence.
struct StepTraffic {
  double reduce = 0, share = 0;            // s: gradients, which backward may hide; values, after the update
  double shard_bytes = 0, copy_bytes = 0;  // sent between shards; between their replicas
};

StepTraffic OnceAStep(const Machine& machine, const Workload& w, const PlannedLayout& l, double elements) {
  StepTraffic once;
  const double gradients = elements * w.precision.gradient, values = elements * w.precision.value;
  // Without ZeRO a shard is the whole, and every replica has a copy.
  const PlacedGroup shard = ShardGroup(machine, l), copies = CopyGroup(machine, l);
  const double shard_share = D(shard.size - 1) / D(shard.size);
  if (l.zero == 1) {
    once.reduce = GatherSeconds(machine, shard, gradients);
    once.shard_bytes += shard_share * gradients;
  }
  once.reduce += AllReduceSeconds(machine, copies, gradients / D(shard.size));
  once.copy_bytes = 2 * D(copies.size - 1) / D(copies.size) * gradients / D(shard.size);
  if (l.zero == 1 || l.zero == 2) {
    once.share = GatherSeconds(machine, shard, values);
    once.shard_bytes += shard_share * values;
  }
  return once;
}

double UpdateSeconds(const Machine& machine, const Workload& w, const PlannedLayout& l, double elements) {
  const double mine = elements / D(l.Shards());
  double seconds = mine * machine.constants().optimizer_bytes / machine.MemoryRate();
  // State is read and written back, gradients go along.
  if (l.offload != Offload::kNone && machine.host_bandwidth > 0)
    seconds += mine * (2 * w.precision.optimizer + w.precision.gradient) / machine.host_bandwidth;
  return seconds;
}

double HardwareFlops(const Workload& w, const PlannedLayout& l) {
  const double tokens = D(w.TokensPerStep()), model = w.model.FlopsPerToken();
  const double head = 6.0 * D(w.model.vocab) * D(w.model.hidden);
  const double again = l.recompute == Recompute::kFull        ? (model - head) / 3
                       : l.recompute == Recompute::kSelective ? w.model.AttentionFlopsPerToken() / 3
                                                              : 0;
  return tokens * (model + again);
}

// A microbatch's seconds on each rank, and what they are made of on the average rank.
struct RankCosts {
  std::vector<double> total;
  StepParts mean;  // of a microbatch
  double data_hidden = 0;
};

RankCosts CostsOfRanks(const Machine& machine, const PlannedLayout& l, const BlockCost& block,
                       const ShardTraffic& traffic, const std::vector<int64_t>& layers) {
  const Constants& c = machine.constants();
  const double forward = block.time.Forward(block.tensor_forward + block.sequence);
  double backward = block.time.Backward(block.tensor_backward + block.sequence);
  double compute = block.time.Forward(0) + block.time.Backward(0);
  double tensor = block.tensor_forward + block.tensor_backward, sequence = 2 * block.sequence;
  if (l.recompute == Recompute::kFull) {
    backward += forward;
    compute += block.time.Forward(0);
    tensor += block.tensor_forward;
    sequence += block.sequence;
  } else if (l.recompute == Recompute::kSelective) {
    backward += block.time.attention;
    compute += block.time.attention;
  }
  // What the floor hides of communication is not exposed.
  const double exposed = forward + backward - compute;
  const double shown = tensor + sequence > 0 ? exposed / (tensor + sequence) : 0;
  const Overlap f = Beside(forward, traffic.forward, c.interference);
  const Overlap b = Beside(backward, traffic.backward, c.interference);

  RankCosts costs;
  const double p = D(l.pipeline);
  for (int64_t rank = 0; rank < l.pipeline; ++rank) {
    int64_t mine = 0;
    for (int64_t chunk = 0; chunk < l.chunks; ++chunk)
      mine += layers[static_cast<size_t>(chunk * l.pipeline + rank)];
    const double n = D(mine), last = rank == l.pipeline - 1 ? 1 : 0, first = rank == 0 ? 1 : 0;
    const double head = last * (block.head.forward + block.head.backward);
    const double ends = std::max(first, last) * traffic.ends;
    costs.total.push_back(n * (f.seconds + b.seconds) + head + ends + last * c.microbatch_overhead);
    costs.mean.compute += (n * compute + head) / p;
    costs.mean.tensor += n * tensor * shown / p;
    costs.mean.sequence += n * sequence * shown / p;
    costs.mean.data += (n * (f.seconds + b.seconds - forward - backward) + ends) / p;
    costs.mean.overhead += last * c.microbatch_overhead / p;
    costs.data_hidden += n * (f.hidden + b.hidden) / p;
  }
  return costs;
}

LinkBytes BytesSent(const Machine& machine, const Workload& w, const PlannedLayout& l, const BlockCost& block,
                    const ShardTraffic& traffic, const StepTraffic& once, double layers) {
  LinkBytes sent;
  const double m = D(w.Microbatches(l));
  sent.Add(TensorGroup(machine, l), m * layers * block.tensor_bytes);
  sent.Add(SequenceGroup(machine, l), m * layers * block.sequence_bytes);
  sent.Add(ShardGroup(machine, l), m * (layers * traffic.block_bytes + traffic.ends_bytes));
  sent.Add(ShardGroup(machine, l), once.shard_bytes);
  sent.Add(CopyGroup(machine, l), once.copy_bytes);
  if (l.pipeline > 1) {
    const double one = D(l.micro_batch) * D(w.model.context) / D(l.sequence) * D(w.model.hidden) *
                       w.precision.value / (machine.software().split_sends ? D(l.tensor) : 1);
    (StagesCross(machine, l) ? sent.network : sent.node) += m * D(l.chunks) * one;
  }
  return sent;
}

}  // namespace

BlockCost CostOfBlock(const Machine& machine, const Workload& w, const PlannedLayout& l) {
  BlockCost cost;
  cost.time = TimeOfBlock(machine, w, l);
  cost.head = TimeOfHead(machine, w, l);
  cost.activations = ActivationsOfBlock(machine, w, l);
  const double rows = D(l.micro_batch) * D(w.model.context) / D(l.sequence);
  const double stream = rows * D(w.model.hidden) * w.precision.value;
  const double again = l.recompute == Recompute::kFull ? 1 : 0;
  if (l.tensor > 1) {
    const PlacedGroup group = TensorGroup(machine, l);
    const double share = D(l.tensor - 1) / D(l.tensor);
    // With sharded norms an all-reduce becomes a reduce-scatter and an all-gather, and backward gathers the
    // two inputs again (arXiv 2205.05198).
    const double one = AllReduceSeconds(machine, group, stream) + machine.constants().skew;
    const double more = l.tensor_sequence ? GatherSeconds(machine, group, stream) : 0;
    cost.tensor_forward = 2 * one;
    double hidden = 0, again_hidden = 0;
    if (machine.software().gradient_overlap) {
      // The gather runs beside the input's gradient, which takes about as long as the weight's.
      hidden = std::min(one, cost.time.weight_qkv) + std::min(one, cost.time.weight_mlp);
      again_hidden = std::min(more, cost.time.weight_qkv) + std::min(more, cost.time.weight_mlp);
    }
    cost.tensor_backward = 2 * one - hidden + 2 * more - again_hidden;
    hidden += again_hidden;
    cost.tensor_backward_hidden = hidden;
    cost.tensor_bytes = share * stream * (2 * (2 + 2 + 2 * again) + (l.tensor_sequence ? 2 : 0));
  }
  if (l.sequence > 1) {
    const PlacedGroup group = SequenceGroup(machine, l);
    const double part = rows / D(l.tensor) * w.precision.value;
    const double all = 2 * D(w.model.hidden) + 2 * D(w.model.KvWidth());  // q, out, k, v
    cost.sequence = AllToAllSeconds(machine, group, part * all) + 3 * machine.constants().latency +
                    4 * machine.constants().skew;
    cost.sequence_bytes = D(l.sequence - 1) / D(l.sequence) * part * all * (2 + again);
  }
  return cost;
}

double PipelineSeconds(const std::vector<double>& costs, int64_t microbatches, int64_t chunks) {
  const double longest = *std::max_element(costs.begin(), costs.end());
  const double sum = std::accumulate(costs.begin(), costs.end(), 0.0);
  return D(microbatches) * longest + (sum - longest) / D(chunks);
}

StepPrediction PredictStep(const Machine& machine, const Workload& w, const PlannedLayout& l,
                           const BlockCost& block, const std::vector<int64_t>& layers) {
  const Constants& c = machine.constants();
  const double m = D(w.Microbatches(l));
  const ShardTraffic traffic = TrafficOf(machine, w, l);
  const RankCosts costs = CostsOfRanks(machine, l, block, traffic, layers);
  const double pipeline = PipelineSeconds(costs.total, w.Microbatches(l), l.chunks);

  StepPrediction result;
  StepParts& parts = result.parts;
  parts = costs.mean;
  for (double* part : {&parts.compute, &parts.tensor, &parts.sequence, &parts.data, &parts.overhead})
    *part *= m;
  result.data_hidden = costs.data_hidden * m;
  if (l.pipeline > 1) {
    parts.bubble =
        pipeline - m * std::accumulate(costs.total.begin(), costs.total.end(), 0.0) / D(l.pipeline);
    const double stream =
        D(l.micro_batch) * D(w.model.context) / D(l.sequence) * D(w.model.hidden) * w.precision.value;
    parts.pipeline = 2 * (m * D(l.chunks) + D(l.pipeline) - 1) * SendSeconds(machine, l, stream);
  }
  const int64_t first_layers = *std::max_element(layers.begin(), layers.end()) * l.chunks;
  const double elements = StageParameters(w.model, l, first_layers, true, l.pipeline == 1);
  const StepTraffic once = OnceAStep(machine, w, l, elements);
  const double window =
      machine.software().data_overlap == "backward" ? costs.total.front() * 2 / 3 : 0;  // backward's part
  const double hidden = std::min(once.reduce, window);
  result.data_hidden += hidden;
  parts.data += once.reduce - hidden + c.interference * hidden + once.share;
  parts.optimizer = UpdateSeconds(machine, w, l, elements);
  parts.overhead += c.step_overhead;
  result.tensor_hidden = m * D(first_layers) * block.tensor_backward_hidden;

  result.step = parts.compute + parts.tensor + parts.sequence + parts.pipeline + parts.data + parts.bubble +
                parts.optimizer + parts.overhead;
  const double tokens = D(w.TokensPerStep());
  const double all = result.step * machine.peak * 2 / w.precision.value * D(l.world());
  result.tokens_per_second = tokens / result.step;
  result.mfu = tokens * w.model.FlopsPerToken() / all;
  result.hfu = HardwareFlops(w, l) / all;
  result.sent = BytesSent(machine, w, l, block, traffic, once, D(first_layers));
  return result;
}

const StageMemory& LayoutPrediction::WorstStage() const {
  return *std::max_element(memory.begin(), memory.end(),
                           [](const StageMemory& a, const StageMemory& b) { return a.total() < b.total(); });
}

absl::StatusOr<LayoutPrediction> Predict(const Machine& machine, const Workload& workload,
                                         const PlannedLayout& layout) {
  const std::vector<int64_t> layers =
      StageLayers(workload.model, machine.software(), layout.pipeline * layout.chunks);
  if (layers.empty()) {
    return ConfigurationError(absl::StrCat("model.layers = ", workload.model.layers, " over ",
                                           layout.pipeline * layout.chunks,
                                           " stages: ", machine.software().name, " cannot split them so"));
  }
  const BlockCost block = CostOfBlock(machine, workload, layout);
  LayoutPrediction result;
  result.layout = layout;
  result.time = PredictStep(machine, workload, layout, block, layers);
  result.memory = MemoryOfStages(machine, workload, layout, block.activations, layers);
  result.fits = machine.memory_bytes == 0 || result.WorstStage().total() <= machine.Capacity();
  return result;
}

}  // namespace orthant
