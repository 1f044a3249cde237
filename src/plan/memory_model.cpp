#include "orthant/plan/memory_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

constexpr double kStatistics = 8;        // bytes of a norm's row: mean and deviation in fp32
constexpr double kLossBlock = 33554432;  // of logits in fp32, where a loss is made in blocks

// Microbatches that a pipeline rank holds activations of, each through all its chunks.
double LiveMicrobatches(const PlannedLayout& l, int64_t microbatches, int64_t rank) {
  const double m = static_cast<double>(microbatches), p = static_cast<double>(l.pipeline);
  if (l.pipeline == 1) return 1;
  if (l.schedule == PlanSchedule::kGpipe) return m;
  const double live = std::min(m, p - static_cast<double>(rank));
  if (l.schedule == PlanSchedule::kOneFOneB) return live;
  // arXiv 2205.05198, section 4: the first rank of an interleaved schedule holds 1 + (p-1)/(p v) times p.
  return std::min(m, live * (1 + (p - 1) / (p * static_cast<double>(l.chunks))));
}

StageMemory States(const Workload& w, const PlannedLayout& l, double elements) {
  const PlannedPrecision& e = w.precision;
  const double shards = static_cast<double>(l.Shards());
  StageMemory s;
  s.parameters = elements * e.value / (l.zero >= 3 ? shards : 1);
  s.gradients = elements * e.gradient / (l.zero >= 2 ? shards : 1);
  s.optimizer = elements * e.optimizer / (l.zero >= 1 ? shards : 1);
  if (l.offload != Offload::kNone) s.host += std::exchange(s.optimizer, 0);
  if (l.offload == Offload::kAll) s.host += std::exchange(s.parameters, 0);
  return s;
}

// Elements of blocks that ZeRO 3 has gathered ahead, of a stage that has `others` beside the unit in use.
double GatheredAhead(const Workload& w, double block, double others) {
  if (w.prefetch_bytes == 0) return 0;
  const double fit = std::floor(w.prefetch_bytes / (block * w.precision.value)) * block;
  return std::max(block, std::min(fit, others));
}

// Bytes of units that are whole for a while: under ZeRO 2 and 3 the gradient of `unit`, which is in use, and
// of one on its way, under 3 the values of `unit` and of those ahead. All are given in elements.
double UnitsWhole(const Workload& w, const PlannedLayout& l, double unit, double on_its_way, double ahead) {
  double bytes = 0;
  if (l.zero >= 2) bytes += (unit + on_its_way) * w.precision.gradient;
  if (l.zero >= 3) bytes += (unit + ahead) * w.precision.value;
  return bytes;
}

// How products are made (Software::transposes, through_float) in the workload's precision.
struct Products {
  double element = 2;       // bytes that they are made in
  bool wide = false;        // of operands that are converted first
  bool transposes = false;  // a first operand is copied
  bool apart = false;       // a weight's is a tensor of its own before it is added to the gradient
};

Products ProductsOf(const Software& software, const Workload& w) {
  Products p;
  p.wide = w.precision.value < 4 && software.through_float;
  p.element = p.wide ? 4 : w.precision.value;
  p.transposes = software.transposes && p.element == 4;
  p.apart = p.transposes || p.element != w.precision.gradient;
  return p;
}

// What the products of a matrix [out, in] take in backward beside their operands and results.
double ProductBytes(const Products& p, double rows, double out, double in) {
  const double e = p.element;
  const double input = p.wide ? e * (rows * in + out * in + rows * out) : 0;
  const double weight = (p.wide ? e * rows * (out + in) : 0) + (p.transposes ? e * rows * out : 0) +
                        (p.apart ? e * out * in : 0);
  return std::max(input, weight);
}

// The loss where the software makes it in blocks: its input's gradient, a block of logits, the table.
double BlockedLoss(const Products& p, const Workload& w, double rows, double classes) {
  const double h = static_cast<double>(w.model.hidden), e = p.element;
  const double logits = std::min(kLossBlock, 4 * rows * classes), table = classes * h * e;
  return rows * h * w.precision.value + logits * e / 4 + (e < 4 ? logits : 0) + (p.transposes ? logits : 0) +
         (p.wide ? table : 0) + (p.apart ? table : 0);
}

// The most that a block's backward takes beyond what the block kept: at the MLP's second matrix, at its
// activation, at its first matrix, at the scores. What was kept goes as it is used.
double BackwardBytes(const Machine& machine, const Workload& w, const PlannedLayout& l, double rows) {
  const PlanModel& m = w.model;
  const Products products = ProductsOf(machine.software(), w);
  const double e = w.precision.value, t = static_cast<double>(l.tensor);
  const double h = static_cast<double>(m.hidden), out = static_cast<double>(m.Ffn()) / t;
  const double in = static_cast<double>(m.FfnInputs()) / t;
  const double second = rows * (out + h) * e + ProductBytes(products, rows, h, out);
  const double activation = rows * (in + h) * e;
  const double first = rows * (2 * h - out) * e + ProductBytes(products, rows, in, h);
  double scores = 0;
  if (ScoresInMemory(machine.software(), m)) {
    const double s = static_cast<double>(m.context), heads = static_cast<double>(m.heads * l.micro_batch);
    scores = heads / (t * static_cast<double>(l.sequence)) * s * s * e - rows * (in + out) * e;
  }
  return std::max({second, activation, first, scores});
}

}  // namespace

std::string StageMemory::Largest() const {
  const std::array<std::pair<const char*, double>, 6> parts = {{{"parameters", parameters},
                                                                {"gradients", gradients},
                                                                {"optimizer state", optimizer},
                                                                {"activations", activations},
                                                                {"loss", loss},
                                                                {"working memory", working}}};
  const auto largest = std::max_element(parts.begin(), parts.end(),
                                        [](const auto& a, const auto& b) { return a.second < b.second; });
  return absl::StrCat(largest->first, " ", FormatBytes(largest->second));
}

BlockActivations ActivationsOfBlock(const Machine& machine, const Workload& workload,
                                    const PlannedLayout& l) {
  const PlanModel& m = workload.model;
  const double b = static_cast<double>(l.micro_batch), s = static_cast<double>(m.context);
  const double t = static_cast<double>(l.tensor), sp = static_cast<double>(l.sequence);
  const double e = workload.precision.value;
  const double rows = b * s / sp, held = rows / (l.tensor_sequence ? t : 1);
  const double h = static_cast<double>(m.hidden), kv = static_cast<double>(m.KvWidth());
  const double f = static_cast<double>(m.Ffn()) / t, fin = static_cast<double>(m.FfnInputs()) / t;
  const bool dropout = m.dropout > 0;
  const double heads = static_cast<double>(m.heads) / (t * sp);

  const double qkv = rows * (h + 2 * kv) / t * e;
  double core = 0;    // what selective recompute drops
  double copies = 0;  // of q, k and v by head, which products of several samples and heads want
  if (ScoresInMemory(machine.software(), m)) {
    core = b * heads * s * s * (dropout ? 2 * e + 1 : e);
    if (machine.software().attention == "fused" && b > 1 && heads > 1) copies = qkv;
  } else {
    core = b * heads * s * 4;  // log-sum-exp
  }
  const double mask = dropout ? held * h : 0;
  // Both norms keep their input and a row's statistics, both column-parallel products theirs, q, k and v, the
  // output product its own, the activation its input, the last product its own; gated ones keep the gate's
  // activation too.
  const double rest = 2 * (held * h * e + held * kStatistics) + 2 * held * h * e + rows * h / t * e +
                      rows * (fin + f) * e + (m.gated() ? rows * f * e : 0) + 2 * mask;
  BlockActivations block;
  block.whole = rest + qkv + core;  // the copies, where there are some, in the place of q, k and v
  block.kept = l.recompute == Recompute::kFull        ? held * h * e
               : l.recompute == Recompute::kSelective ? rest + qkv
                                                      : block.whole;
  block.again = l.recompute == Recompute::kFull ? block.whole + copies + rows * h * e  // and its output
                : l.recompute == Recompute::kSelective ? core + copies
                                                       : 0;
  return block;
}

double StageParameters(const PlanModel& model, const PlannedLayout& l, int64_t layers, bool first,
                       bool last) {
  const double t = static_cast<double>(l.tensor);
  double elements = static_cast<double>(layers) * static_cast<double>(model.BlockParameters()) / t;
  if (first) elements += static_cast<double>(model.EmbeddingParameters()) / t;
  if (last) elements += static_cast<double>(model.HeadParameters()) / t;
  // Tied embeddings live on both ends of a pipeline.
  if (last && !first && model.tie_embeddings)
    elements += static_cast<double>(model.vocab) * static_cast<double>(model.hidden) / t;
  return elements;
}

std::vector<StageMemory> MemoryOfStages(const Machine& machine, const Workload& w, const PlannedLayout& l,
                                        const BlockActivations& block, const std::vector<int64_t>& layers) {
  const PlanModel& m = w.model;
  const double e = w.precision.value, t = static_cast<double>(l.tensor), h = static_cast<double>(m.hidden);
  const double rows =
      static_cast<double>(l.micro_batch) * static_cast<double>(m.context) / static_cast<double>(l.sequence);
  const double held = rows / (l.tensor_sequence ? t : 1);
  const int64_t microbatches = w.Microbatches(l);
  const double block_elements = static_cast<double>(m.BlockParameters()) / t;
  const double table = static_cast<double>(m.vocab) * h / t;
  std::vector<StageMemory> stages;
  for (int64_t rank = 0; rank < l.pipeline; ++rank) {
    int64_t mine = 0;
    for (int64_t chunk = 0; chunk < l.chunks; ++chunk)
      mine += layers[static_cast<size_t>(chunk * l.pipeline + rank)];
    const bool first = rank == 0, last = rank == l.pipeline - 1;
    const double all = StageParameters(m, l, mine, first, last);
    StageMemory s = States(w, l, all);
    const double live = LiveMicrobatches(l, microbatches, rank);
    s.activations = live * static_cast<double>(mine) * block.kept;
    if (m.dropout > 0 && first) s.activations += live * held * h;  // the embedding's mask
    // What is sent and what is received ahead, both ways where a stage has two neighbours.
    if (l.pipeline > 1) s.working += (first || last ? 2 : 4) * held * h * e;
    if (last) {
      s.activations += held * h * e;  // the final norm's input
      const double classes = static_cast<double>(m.vocab) / t, per_logit = machine.software().loss_bytes;
      s.loss = per_logit > 0 ? rows * classes * per_logit
                             : BlockedLoss(ProductsOf(machine.software(), w), w, rows, classes);
    }
    // The peak is in the head or in a block's backward, when logits and the table are gone; but in a pipeline
    // the first stage's table is the gradient on its way from one microbatch's backward to the next.
    const double unit = block_elements, ends = std::max(unit, table);
    const double at_block =
        block.again + BackwardBytes(machine, w, l, rows) +
        UnitsWhole(w, l, unit, first && !last ? ends : unit, GatheredAhead(w, unit, all - unit));
    const double at_head = s.loss + (last ? UnitsWhole(w, l, ends, unit, unit) : 0);
    s.working += std::max(at_block, at_head) - s.loss;
    stages.push_back(s);
  }
  return stages;
}

}  // namespace orthant
