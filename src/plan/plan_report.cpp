#include "orthant/plan/plan_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

std::string Gigabytes(double bytes) {
  return absl::StrFormat(bytes >= 1e9 || bytes == 0 ? "%.1f" : "%.2g", bytes / 1e9);
}

std::string Seconds(double seconds) {
  return absl::StrFormat("%.3g", seconds);
}

std::string Heading(const PlanReport& r) {
  const PlanModel& m = r.request.workload.model;
  const Machine& machine = r.request.machine;
  std::string text = absl::StrCat(
      "model      ", m.family, ": ", m.layers, " layers x ", m.hidden, " hidden, ", m.heads,
      " heads, context ", m.context, ", vocabulary ", FormatCount(m.vocab), ": ", FormatCount(m.Parameters()),
      " parameters, ", r.request.workload.dtype, "\nbatch      ",
      FormatCount(r.request.workload.global_batch), " samples, ",
      FormatCount(r.request.workload.TokensPerStep()), " tokens a step\nmachine    ", machine.name, ": ",
      FormatCount(r.request.ranks), " x ", machine.device, ", ", machine.node_ranks, " a node, ",
      absl::StrFormat("%.3g", machine.peak / 1e12), " TFLOP/s, ",
      machine.memory_bytes > 0 ? Gigabytes(r.request.Capacity()) + " GB for tensors; "
                               : "no limit of memory; ",
      machine.software().name, ", constants of ", machine.calibration.name, "\nsearch     ",
      FormatCount(r.result.layouts), " layouts, ", FormatCount(r.result.fitting), " fit, ",
      absl::StrFormat("%.2f s", r.result.seconds), "\n");
  if (!m.trainable())
    absl::StrAppend(&text, "note       Orthant cannot train the family ", m.family,
                    " yet: a plan, not a run\n");
  if (m.trainable() && machine.software().name != "Orthant")
    absl::StrAppend(&text, "note       the cluster's calibration is of ", machine.software().name,
                    ": figures are for that program\n");
  return text;
}

std::string BestTable(const PlanReport& r, TableStyle style) {
  Table table({"", "data", "tensor", "pipe", "seq", "micro", "ZeRO", "recompute", "offload", "schedule",
               "step s", "tokens/s", "mfu", "GB"});
  int place = 0;
  for (const LayoutPrediction& p : r.result.best) {
    const PlannedLayout& l = p.layout;
    table.AddRow(
        {absl::StrCat(++place), absl::StrCat(l.data), absl::StrCat(l.tensor, l.tensor_sequence ? "+ts" : ""),
         absl::StrCat(l.pipeline), absl::StrCat(l.sequence), absl::StrCat(l.micro_batch),
         absl::StrCat(l.zero, l.zero > 0 && l.shard_ranks > 0 ? absl::StrCat("/", l.shard_ranks) : ""),
         ToString(l.recompute), ToString(l.offload),
         l.pipeline == 1
             ? "-"
             : absl::StrCat(ToString(l.schedule), l.chunks > 1 ? absl::StrCat(" x", l.chunks) : ""),
         Seconds(p.time.step), FormatCount(static_cast<int64_t>(p.time.tokens_per_second)),
         absl::StrFormat("%.1f%%", 100 * p.time.mfu), Gigabytes(p.WorstStage().total())});
  }
  return table.ToString(style);
}

std::string StepText(const LayoutPrediction& p) {
  const StepParts& s = p.time.parts;
  std::string text =
      absl::StrCat("step ", FormatDuration(p.time.step), ": compute ", FormatDuration(s.compute));
  const auto part = [&text](const char* name, double seconds, double hidden) {
    if (seconds <= 0 && hidden <= 0) return;
    absl::StrAppend(&text, ", ", name, " ", FormatDuration(seconds));
    if (hidden > 0) absl::StrAppend(&text, " (and ", FormatDuration(hidden), " hidden)");
  };
  part("tensor", s.tensor, p.time.tensor_hidden);
  part("sequence", s.sequence, 0);
  part("pipeline", s.pipeline, 0);
  part("data", s.data, p.time.data_hidden);
  part("bubble", s.bubble, 0);
  part("update", s.optimizer, 0);
  part("overhead", s.overhead, 0);
  absl::StrAppend(&text,
                  absl::StrFormat("\nmfu %.1f%%, with what is computed again %.1f%%; a rank sends ",
                                  100 * p.time.mfu, 100 * p.time.hfu),
                  FormatBytes(p.time.sent.node), " in the node, ", FormatBytes(p.time.sent.network),
                  " across\n");
  return text;
}

std::string MemoryText(const LayoutPrediction& p, TableStyle style) {
  Table table(
      {"stage", "parameters", "gradients", "optimizer", "activations", "loss", "working", "all GB", "host"});
  for (size_t i = 0; i < p.memory.size(); ++i) {
    // First, second and last stage: the others lie between.
    if (p.memory.size() > 6 && i > 1 && i + 1 < p.memory.size()) continue;
    const StageMemory& s = p.memory[i];
    table.AddRow({absl::StrCat("P", i), Gigabytes(s.parameters), Gigabytes(s.gradients),
                  Gigabytes(s.optimizer), Gigabytes(s.activations), Gigabytes(s.loss), Gigabytes(s.working),
                  Gigabytes(s.total()), Gigabytes(s.host)});
  }
  return table.ToString(style);
}

Json MemoryJson(const StageMemory& s) {
  return {{"parameters", s.parameters},
          {"gradients", s.gradients},
          {"optimizer", s.optimizer},
          {"activations", s.activations},
          {"loss", s.loss},
          {"working", s.working},
          {"total", s.total()},
          {"host", s.host}};
}

Json LayoutJson(const PlannedLayout& l) {
  return {{"data", l.data},
          {"tensor", l.tensor},
          {"pipeline", l.pipeline},
          {"sequence", l.sequence},
          {"schedule", ToString(l.schedule)},
          {"chunks", l.chunks},
          {"zero", l.zero},
          {"shard_ranks", l.shard_ranks},
          {"recompute", ToString(l.recompute)},
          {"offload", ToString(l.offload)},
          {"micro_batch", l.micro_batch},
          {"tensor_sequence", l.tensor_sequence}};
}

Json PredictionJson(const LayoutPrediction& p) {
  const StepParts& s = p.time.parts;
  Json json = {{"layout", LayoutJson(p.layout)},
               {"step_seconds", p.time.step},
               {"parts",
                {{"compute", s.compute},
                 {"tensor", s.tensor},
                 {"sequence", s.sequence},
                 {"pipeline", s.pipeline},
                 {"data", s.data},
                 {"bubble", s.bubble},
                 {"optimizer", s.optimizer},
                 {"overhead", s.overhead}}},
               {"hidden", {{"tensor", p.time.tensor_hidden}, {"data", p.time.data_hidden}}},
               {"tokens_per_second", p.time.tokens_per_second},
               {"mfu", p.time.mfu},
               {"hfu", p.time.hfu},
               {"bytes_sent", {{"node", p.time.sent.node}, {"network", p.time.sent.network}}},
               {"memory", Json::array()}};
  for (const StageMemory& stage : p.memory) json["memory"].push_back(MemoryJson(stage));
  return json;
}

}  // namespace

std::string PlanText(const PlanReport& r, TableStyle style) {
  std::string text = Heading(r);
  if (!r.result.best.empty()) {
    const LayoutPrediction& best = r.result.best.front();
    absl::StrAppend(&text, "\n", BestTable(r, style), "\nthe first: ", best.layout.ToString(), "\n",
                    StepText(best), MemoryText(best, style));
  }
  if (!r.measured.empty()) text += MeasuredText(r.measured, style);
  if (!r.rejections.empty()) {
    absl::StrAppend(&text, "\nnot chosen\n");
    for (const std::string& line : r.rejections) absl::StrAppend(&text, "  ", line, "\n");
  }
  if (!r.rules.empty()) {
    absl::StrAppend(&text, "\nrules of thumb\n");
    for (const RuleVerdict& rule : r.rules) {
      absl::StrAppend(&text, rule.agrees ? "  agrees     " : "  disagrees  ", rule.rule, "\n             ",
                      rule.because, "\n");
    }
  }
  return text;
}

Json PlanJson(const PlanReport& r) {
  const Machine& machine = r.request.machine;
  Json json = {{"ranks", r.request.ranks},
               {"cluster", machine.name},
               {"software", machine.software().name},
               {"calibration", machine.calibration.name},
               {"parameters", r.request.workload.model.Parameters()},
               {"trainable", r.request.workload.model.trainable()},
               {"global_batch", r.request.workload.global_batch},
               {"capacity_bytes", machine.memory_bytes > 0 ? Json(r.request.Capacity()) : Json()},
               {"layouts", r.result.layouts},
               {"fitting", r.result.fitting},
               {"search_seconds", r.result.seconds},
               {"best", Json::array()},
               {"rejected", r.rejections},
               {"rules", Json::array()}};
  for (const LayoutPrediction& p : r.result.best) json["best"].push_back(PredictionJson(p));
  for (const RuleVerdict& rule : r.rules)
    json["rules"].push_back({{"rule", rule.rule}, {"agrees", rule.agrees}, {"because", rule.because}});
  if (!r.measured.empty()) json["measured"] = MeasuredJson(r.measured);
  return json;
}

std::string LayoutYaml(const PlannedLayout& l, const std::string& comment) {
  std::string text = absl::StrCat("# ", comment, "\nparallel: {data: ", l.data, ", tensor: ", l.tensor,
                                  ", pipeline: ", l.pipeline, ", sequence: ", l.sequence, ", zero: ", l.zero,
                                  ", schedule: ", ToString(l.schedule),
                                  ", tensor_sequence: ", l.tensor_sequence ? "true" : "false", "}\n");
  absl::StrAppend(&text, "zero: {shard_ranks: ", l.zero > 0 ? l.shard_ranks : 0,
                  ", offload: {optimizer: ", l.offload == Offload::kNone ? "none" : "host",
                  ", parameters: ", l.offload == Offload::kAll ? "host" : "none", "}}\n");
  absl::StrAppend(&text, "memory: {recompute: ", ToString(l.recompute),
                  "}\ntrain: {micro_batch: ", l.micro_batch, "}\n");
  return text;
}

std::vector<std::string> LayoutOverrides(const PlannedLayout& l) {
  return {absl::StrCat("parallel.data=", l.data),
          absl::StrCat("parallel.tensor=", l.tensor),
          absl::StrCat("parallel.pipeline=", l.pipeline),
          absl::StrCat("parallel.sequence=", l.sequence),
          absl::StrCat("parallel.zero=", l.zero),
          absl::StrCat("parallel.schedule=", ToString(l.schedule)),
          absl::StrCat("parallel.tensor_sequence=", l.tensor_sequence ? "true" : "false"),
          absl::StrCat("zero.shard_ranks=", l.zero > 0 ? l.shard_ranks : 0),
          absl::StrCat("zero.offload.optimizer=", l.offload == Offload::kNone ? "none" : "host"),
          absl::StrCat("zero.offload.parameters=", l.offload == Offload::kAll ? "host" : "none"),
          absl::StrCat("memory.recompute=", ToString(l.recompute)),
          absl::StrCat("train.micro_batch=", l.micro_batch)};
}

}  // namespace orthant
