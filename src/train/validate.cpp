#include "orthant/train/validate.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"
#include "orthant/mesh/divisors.h"
#include "orthant/pipeline_parallel/partition.h"

namespace orthant {
namespace {

// Collects broken rules, one line each.
class Rules {
 public:
  Rules(const RunConfig& config, const OriginOf& origin) : config_(config), origin_(origin) {}

  // `key` = `value` must divide `whole`, which is described by `what`.
  void Divides(const std::string& key, int64_t value, int64_t whole, const std::string& what) {
    if (value > 0 && whole % value == 0) return;
    Add(key, value, absl::StrCat("must divide ", what, " = ", whole), AnyOf(NearestDivisors(whole, value)));
  }
  // `key` = `value` must be a multiple of `factor`, which is described by `what`.
  void Multiple(const std::string& key, int64_t value, int64_t factor, const std::string& what) {
    if (factor > 0 && value % factor == 0) return;
    Add(key, value, absl::StrCat("must be a multiple of ", what, " = ", factor),
        AnyOf(NearestMultiples(factor, value)));
  }
  void AtMost(const std::string& key, int64_t value, int64_t limit, const std::string& what) {
    if (value > limit)
      Add(key, value, absl::StrCat("must be at most ", what, " = ", limit), absl::StrCat(limit));
  }
  void Add(const std::string& key, int64_t value, const std::string& rule, const std::string& nearest) {
    Line(key, absl::StrCat(key, " = ", value, " ", rule, "; nearest legal: ", nearest));
  }
  void Line(const std::string& key, const std::string& text) {
    const std::string where = origin_ ? origin_(key) : "";
    lines_.push_back(where.empty() ? text : absl::StrCat(where, ": ", text));
  }
  absl::Status Result() const {
    return lines_.empty() ? absl::OkStatus() : ConfigurationError(absl::StrJoin(lines_, "\n"));
  }

 private:
  const RunConfig& config_;
  const OriginOf& origin_;
  std::vector<std::string> lines_;
};

void CheckModel(const RunConfig& c, Rules& rules) {
  rules.Divides("model.heads", c.model.heads, c.model.hidden, "model.hidden");
  rules.Divides("parallel.tensor", c.parallel.tensor, c.model.heads, "model.heads");
  if (c.model.heads % c.parallel.tensor == 0) {
    rules.Divides("parallel.sequence", c.parallel.sequence, c.model.heads / c.parallel.tensor,
                  "model.heads / parallel.tensor");
  }
  rules.Divides("parallel.sequence", c.parallel.sequence, c.model.context, "model.context");
  if (c.parallel.tensor_sequence && c.model.context % c.parallel.sequence == 0) {
    rules.Divides("parallel.tensor", c.parallel.tensor, c.model.context / c.parallel.sequence,
                  "model.context / parallel.sequence (parallel.tensor_sequence is on)");
  }
  rules.AtMost("parallel.pipeline", c.parallel.pipeline, c.model.layers, "model.layers");
}

void CheckBatch(const RunConfig& c, Rules& rules) {
  const int64_t together = c.parallel.data * c.train.micro_batch;
  if (c.train.global_batch % together == 0) return;
  rules.Multiple("train.global_batch", c.train.global_batch, together, "parallel.data x train.micro_batch");
}

void CheckZero(const RunConfig& c, Rules& rules) {
  const int64_t ranks = int64_t{c.parallel.data} * c.parallel.sequence;
  if (c.zero.shard_ranks > 0) {
    rules.Divides("zero.shard_ranks", c.zero.shard_ranks, ranks, "parallel.data x parallel.sequence");
  }
  if (c.zero.offload.optimizer != "none" && c.parallel.zero < 1) {
    rules.Line("zero.offload.optimizer",
               absl::StrCat("zero.offload.optimizer = ", c.zero.offload.optimizer,
                            " needs parallel.zero = 1, 2 or 3, and it is 0; set parallel.zero=1, or "
                            "zero.offload.optimizer=none"));
  }
  if (c.zero.offload.parameters != "none" && c.parallel.zero < 3) {
    rules.Line("zero.offload.parameters",
               absl::StrCat("zero.offload.parameters = ", c.zero.offload.parameters,
                            " needs parallel.zero = 3, and it is ", c.parallel.zero,
                            ", which keeps whole parameters on the device; set parallel.zero=3, or "
                            "zero.offload.parameters=none"));
  }
}

void CheckDevice(const RunConfig& c, Rules& rules) {
  if (c.comm.backend == "nccl" && c.train.device == "cpu") {
    rules.Line(
        "comm.backend",
        "comm.backend = nccl carries tensors on GPUs, and train.device = cpu; set comm.backend=auto, or "
        "train.device=cuda");
  }
  if (c.comm.backend == "mpi" && c.train.device == "cuda") {
    rules.Line("comm.backend",
               "comm.backend = mpi carries tensors in main memory, and train.device = cuda; set "
               "comm.backend=auto, or train.device=cpu");
  }
}

void CheckLossScale(const RunConfig& c, Rules& rules) {
  const LossScaleConfig& scale = c.train.loss_scale;
  if (scale.smallest <= scale.initial) return;
  rules.Line("train.loss_scale.smallest", absl::StrCat("train.loss_scale.smallest = ", scale.smallest,
                                                       " must be at most train.loss_scale.initial = ",
                                                       scale.initial, "; nearest legal: ", scale.initial));
}

// What the end, the place to go on from and the rehearsed faults may be.
void CheckCourse(const RunConfig& c, Rules& rules) {
  rules.AtMost("train.stop_at", c.train.stop_at, c.train.steps, "train.steps");
  for (const int64_t step : c.log.trace.steps)
    rules.AtMost("log.trace.steps", step, c.train.steps, "train.steps");
  const std::string& resume = c.checkpoint.resume;
  int64_t step = 0;
  if (resume != "latest" && resume != "never" && (!absl::SimpleAtoi(resume, &step) || step < 0)) {
    rules.Line("checkpoint.resume", absl::StrCat("checkpoint.resume = ", resume,
                                                 " is none of latest, never, and a step such as 500"));
  }
  const bool rolls_back = c.anomaly.non_finite == "rollback" || c.anomaly.spike == "rollback";
  if (rolls_back && c.checkpoint.content != "all") {
    rules.Line("checkpoint.content", absl::StrCat("checkpoint.content = ", c.checkpoint.content,
                                                  ": anomaly's rollback needs checkpoint.content = all"));
  }
  const int64_t ranks = c.parallel.degrees().world();
  rules.AtMost("checkpoint.writers", c.checkpoint.writers, ranks, "ranks of the mesh");
  for (const std::string& text : c.fault.inject) {
    const absl::StatusOr<Fault> fault = ParseFault(text);
    if (!fault.ok()) {
      rules.Line("fault.inject", std::string(fault.status().message()));
    } else if (fault->rank >= ranks) {
      rules.Line("fault.inject", absl::StrCat("fault.inject: '", text, "': there is no rank ", fault->rank,
                                              "; the ranks are 0 to ", ranks - 1));
    }
  }
}

}  // namespace

absl::Status ValidateRun(const RunConfig& c, const OriginOf& origin) {
  Rules rules(c, origin);
  CheckModel(c, rules);
  CheckBatch(c, rules);
  CheckZero(c, rules);
  CheckDevice(c, rules);
  CheckLossScale(c, rules);
  CheckCourse(c, rules);
  if (!c.parallel.stages.empty() && c.parallel.pipeline <= c.model.layers) {
    const absl::Status stages = ValidateStages(c.parallel.stages, c.model.layers, c.parallel.pipeline);
    if (!stages.ok()) rules.Line("parallel.stages", std::string(stages.message()));
  }
  if (const absl::Status order = ParseOrder(c.parallel.order).status(); !order.ok()) {
    rules.Line("parallel.order", std::string(order.message()));
  }
  if (c.optimizer.decay != "constant" && c.optimizer.min_lr > c.optimizer.lr) {
    rules.Line("optimizer.min_lr", absl::StrCat("optimizer.min_lr = ", c.optimizer.min_lr,
                                                " must be at most optimizer.lr = ", c.optimizer.lr,
                                                "; nearest legal: ", c.optimizer.lr));
  }
  return rules.Result();
}

std::vector<std::string> RunNotes(const RunConfig& c, int64_t vocab) {
  std::vector<std::string> notes;
  const int64_t t = c.parallel.tensor, padded = (vocab + t - 1) / t * t;
  if (padded != vocab) {
    notes.push_back(absl::StrCat("vocabulary of ", vocab, " classes padded to ", padded,
                                 " so that parallel.tensor = ", t,
                                 " divides it; padded classes take no part"));
  }
  if (c.parallel.tensor_sequence && t == 1) {
    notes.push_back("parallel.tensor_sequence has no effect: parallel.tensor is 1");
  }
  if (c.parallel.zero > 0 && c.parallel.data * c.parallel.sequence == 1) {
    notes.push_back("parallel.zero saves nothing by itself: parallel.data x parallel.sequence is 1");
  }
  if (c.zero.tile_bytes > 0 && c.parallel.zero < 3) {
    notes.push_back("zero.tile_bytes saves no memory below parallel.zero = 3: the tiles are never released");
  }
  return notes;
}

absl::StatusOr<int64_t> ResolveVocabulary(const RunConfig& config, int64_t data_vocab,
                                          const OriginOf& origin) {
  if (config.model.vocab == 0) return data_vocab;
  if (config.model.vocab >= data_vocab) return config.model.vocab;
  const std::string where = origin ? origin("model.vocab") : "";
  return ConfigurationError(
      absl::StrCat(where.empty() ? "" : where + ": ", "model.vocab = ", config.model.vocab,
                   " is smaller than the data's vocabulary of ", data_vocab,
                   " classes; nearest legal: ", data_vocab, ", or 0 to take the data's"));
}

}  // namespace orthant
