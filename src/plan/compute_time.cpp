#include "orthant/plan/compute_time.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace orthant {
namespace {

// Tiles that libraries choose from, and the share of the largest one's rate that each reaches (CUTLASS's
// efficiency guide gives the shapes; smaller tiles reuse less of what they load).
struct Tile {
  double rows, columns, rate;
};
constexpr std::array<Tile, 4> kTiles = {{{256, 128, 1.0}, {128, 128, 0.95}, {128, 64, 0.80}, {64, 64, 0.60}}};
constexpr double kWholeWaves = 8;  // beyond this many, waves blur

// Multiply-adds / k that the device is busy for, tiles and waves rounded up.
double EffectiveArea(double m, double n, double batch, double multiprocessors) {
  double best = INFINITY;
  for (const Tile& tile : kTiles) {
    const double tiles = batch * std::ceil(m / tile.rows) * std::ceil(n / tile.columns);
    const double waves = tiles / multiprocessors;
    const double busy = waves < kWholeWaves ? std::ceil(waves) : waves + 0.5;
    best = std::min(best, busy * multiprocessors * tile.rows * tile.columns / tile.rate);
  }
  return best;
}

// A maximum whose corner is rounded: host and device take turns at being the slower one.
double RoundedMax(double a, double b) {
  constexpr double kPower = 8;
  const double larger = std::max(a, b), smaller = std::min(a, b);
  if (larger <= 0) return 0;
  return larger * std::pow(1 + std::pow(smaller / larger, kPower), 1 / kPower);
}

constexpr double kScoreBackward = 5.0 / 3;  // of score_seconds: measured where exponentials count
constexpr double kForwardShare = 1.0 / 3;   // of a block's overhead and floor

// Shape of a microbatch on one rank.
struct Shape {
  const PlanModel& model;
  double tokens;  // b S / sp
  double t;
  double replicated;  // share of the norms' and residuals' work: 1, or 1 / t with tensor_sequence
  double scores;      // elements of b a / (t sp) S S
  double element;
  int64_t rows;

  double Hidden() const { return static_cast<double>(model.hidden); }
};

Shape ShapeOf(const Workload& w, const PlannedLayout& l) {
  const double s = static_cast<double>(w.model.context);
  const double b = static_cast<double>(l.micro_batch), t = static_cast<double>(l.tensor);
  const double sp = static_cast<double>(l.sequence);
  return {w.model,
          b * s / sp,
          t,
          l.tensor_sequence ? 1 / t : 1,
          b * static_cast<double>(w.model.heads) / (t * sp) * s * s,
          w.precision.value,
          l.micro_batch * w.model.context / l.sequence};
}

// Bytes of element-wise kernels a token; docs/planning.md lists them. Counted for 2-byte elements.
struct Moved {
  double forward, backward, attention_forward, attention_backward;
};

Moved BytesMoved(const Shape& x, const Software& software) {
  const double h = x.Hidden(), split = 1 / x.t;
  const double f = static_cast<double>(x.model.Ffn()), kv = static_cast<double>(x.model.KvWidth());
  const bool dropout = x.model.dropout > 0;
  Moved m{};
  // Norms read and write; residuals read two and write one, with dropout a mask beside.
  m.forward = (dropout ? 22 : 20) * h * x.replicated;
  m.backward = (dropout ? 44 : 32) * h * x.replicated;
  // The activation: of f columns, or of two times f where gated.
  const double activation = (x.model.gated() ? 6 : 4) * f,
               activation_backward = (x.model.gated() ? 10 : 6) * f;
  m.forward += (activation + (dropout ? 4 * h : 0)) * split;
  m.backward += (activation_backward + (dropout ? 22 * h : 0)) * split;
  if (x.model.gated()) {  // rotary positions of queries and keys
    m.forward += 4 * (h + kv) * split;
    m.backward += 4 * (h + kv) * split;
  }
  if (ScoresInMemory(software, x.model)) {
    const double scores = x.scores / x.tokens;  // a token's
    m.attention_forward = (dropout ? 9 : 4) * scores + 12 * h * split;
    m.attention_backward = (dropout ? 11 : 6) * scores + 14 * h * split;
  }
  return m;
}

}  // namespace

double MatmulSeconds(const Machine& machine, int64_t m, int64_t n, int64_t k, int64_t batch, double bytes) {
  const double dm = static_cast<double>(m), dn = static_cast<double>(n), dk = static_cast<double>(k);
  const double db = static_cast<double>(batch);
  const double area = machine.multiprocessors > 0
                          ? EffectiveArea(dm, dn, db, static_cast<double>(machine.multiprocessors))
                          : dm * dn * db;
  // The peak is that of 16-bit elements; wider ones take their share of it.
  const double rate = machine.peak * machine.constants().matmul * 2 / bytes;
  return std::max(2 * area * dk / rate, bytes * db * (dm * dn + dm * dk + dn * dk) / machine.MemoryRate());
}

double BlockTime::Forward(double communication) const {
  return RoundedMax(forward + communication + overhead * kForwardShare, floor * kForwardShare);
}

double BlockTime::Backward(double communication) const {
  return RoundedMax(backward + communication + overhead * (1 - kForwardShare), floor * (1 - kForwardShare));
}

BlockTime TimeOfBlock(const Machine& machine, const Workload& workload, const PlannedLayout& layout) {
  const Shape x = ShapeOf(workload, layout);
  const PlanModel& m = x.model;
  const int64_t h = m.hidden, t = layout.tensor;
  const int64_t qkv = std::max<int64_t>(1, (h + 2 * m.KvWidth()) / t), heads = std::max<int64_t>(1, h / t);
  const int64_t in = std::max<int64_t>(1, m.FfnInputs() / t), out = std::max<int64_t>(1, m.Ffn() / t);
  const auto product = [&](int64_t rows, int64_t columns, int64_t depth) {
    return MatmulSeconds(machine, rows, columns, depth, 1, x.element);
  };
  BlockTime time;
  time.forward =
      product(x.rows, qkv, h) + product(x.rows, h, heads) + product(x.rows, in, h) + product(x.rows, h, out);
  time.weight_qkv = product(qkv, h, x.rows);
  time.weight_mlp = product(in, h, x.rows);
  time.backward = product(x.rows, h, qkv) + product(x.rows, heads, h) + product(x.rows, h, in) +
                  product(x.rows, out, h) + time.weight_qkv + time.weight_mlp + product(heads, h, x.rows) +
                  product(out, h, x.rows);

  const Constants& c = machine.constants();
  const double scale = x.element / 2, rate = machine.MemoryRate() / scale;
  const Moved moved = BytesMoved(x, machine.software());
  const double depth = static_cast<double>(m.head_dim());
  double core = 0, core_backward = 0;
  if (ScoresInMemory(machine.software(), m)) {
    // Each of two products of forward and four of backward: arithmetic, or scores through memory.
    const double io = (2 * x.scores + 4 * x.tokens * x.Hidden() / x.t) / rate;
    const double one = std::max(2 * x.scores * depth * scale / (0.5 * machine.peak), io);
    core = 2 * one + moved.attention_forward * x.tokens / rate;
    core_backward = 4 * one + moved.attention_backward * x.tokens / rate;
  } else {
    // Causal: half of the scores; backward has five products, at a lower rate (arXiv 2205.14135, 2307.08691).
    const double one = x.scores * depth * scale / (c.attention * machine.peak);
    const double each = x.scores * c.score_seconds;
    core = 2 * one + each;
    core_backward = 6.25 * one + kScoreBackward * each;
  }
  const double activation = x.tokens * static_cast<double>(out) * c.activation_seconds;
  time.forward += activation;
  time.backward += activation;
  time.attention = core;
  time.forward += core + moved.forward * x.tokens / rate;
  time.backward += core_backward + moved.backward * x.tokens / rate;
  time.overhead = c.layer_overhead;
  time.floor = c.layer_floor * (t > 1 ? 1 + c.tensor_floor : 1);
  return time;
}

HeadTime TimeOfHead(const Machine& machine, const Workload& workload, const PlannedLayout& layout) {
  const Shape x = ShapeOf(workload, layout);
  const int64_t h = x.model.hidden, vocab = std::max<int64_t>(1, x.model.vocab / layout.tensor);
  const double rate = machine.MemoryRate() * 2 / x.element;
  const double logits = x.tokens * static_cast<double>(vocab);
  // Logits are read, widened to fp32, reduced and exponentiated forward; their gradient is made backward.
  return {MatmulSeconds(machine, x.rows, vocab, h, 1, x.element) + 20 * logits / rate,
          MatmulSeconds(machine, x.rows, h, vocab, 1, x.element) +
              MatmulSeconds(machine, vocab, h, x.rows, 1, x.element) + 12 * logits / rate};
}

}  // namespace orthant
