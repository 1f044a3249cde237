// The bench of the training step as tables and JSON.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/bench/step_report.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

std::string Milli(double seconds) {
  return absl::StrFormat("%.3f", 1e3 * seconds);
}

std::string Percent(double share) {
  return absl::StrFormat("%.1f%%", 100.0 * share);
}

void AddPart(Table* table, const std::string& name, const OverRanks& over, double step) {
  table->AddRow({name, Milli(over.median), Percent(over.median / step), Milli(over.slowest),
                 absl::StrCat(over.slowest_rank)});
}

Json OverJson(const OverRanks& over) {
  return {{"median_seconds", over.median},
          {"slowest_seconds", over.slowest},
          {"slowest_rank", over.slowest_rank},
          {"slowest_over_median", over.median > 0 ? Json(over.slowest / over.median) : Json(nullptr)}};
}

Json Named(const std::string& key, const std::string& name, const Json& rest) {
  Json json = {{key, name}};
  json.update(rest);
  return json;
}

std::string Heading(const StepBenchResult& result) {
  const StepBenchFacts& f = result.facts;
  std::string text =
      absl::StrFormat("run        %s: %s, ZeRO %d, %s\n", f.run, ToString(f.mesh), f.zero, f.dtype);
  absl::StrAppendFormat(&text, "mesh       %d rank%s, %s backend, %d thread%s a rank\n", f.mesh.world(),
                        f.mesh.world() == 1 ? "" : "s", f.backend, f.threads, f.threads == 1 ? "" : "s");
  absl::StrAppendFormat(&text, "batch      %d samples, %s tokens, %d microbatch%s%s\n", f.global_batch,
                        FormatCount(f.tokens), f.microbatches, f.microbatches == 1 ? "" : "es",
                        f.mesh.pipeline > 1 ? ", " + f.schedule : "");
  absl::StrAppendFormat(&text, "mfu        %.4g model FLOPs a token; peak %.4g TFLOP/s a rank, %s\n",
                        f.flops_per_token, f.peak_flops / 1e12, f.peak_source);
  return text;
}

}  // namespace

std::string ToText(const StepBenchResult& result, bool boxes) {
  const StepReport& r = result.report;
  const TableStyle style = boxes ? TableStyle::kBoxes : TableStyle::kPlain;
  std::string text = Heading(result);
  absl::StrAppendFormat(&text, "step       %s ms median of %d, %s to %s, middle half %s to %s\n",
                        Milli(r.median), r.steps, Milli(r.min), Milli(r.max), Milli(r.lower_quartile),
                        Milli(r.upper_quartile));
  absl::StrAppendFormat(&text, "speed      %s tokens/s, %.4g model GFLOP/s a rank, mfu %s\n",
                        FormatCount(std::llround(result.TokensPerSecond())), result.FlopsPerRank() / 1e9,
                        Percent(result.Mfu()));
  absl::StrAppendFormat(&text, "first step %s after the start; peak device memory %s, resident %s\n\n",
                        FormatDuration(result.facts.first_step_seconds),
                        FormatBinaryBytes(static_cast<double>(result.facts.memory_peak_bytes)),
                        FormatBinaryBytes(static_cast<double>(result.facts.resident_bytes)));

  Table parts({"part", "median rank ms", "of the step", "slowest rank ms", "rank"});
  for (int p = 0; p < kStepParts; ++p) {
    AddPart(&parts, std::string(StepPartName(static_cast<StepPart>(p))), r.parts[static_cast<size_t>(p)],
            r.step.median);
  }
  AddPart(&parts, "other", r.other, r.step.median);
  AddPart(&parts, "step", r.step, r.step.median);
  absl::StrAppend(&text, parts.ToString(style));
  if (result.facts.mesh.world() == 1) return text;

  Table axes({"communication", "degree", "sent a step", "exposed ms", "of the step", "slowest rank ms",
              "rank", "hidden ms"});
  for (const Axis axis : kAxes) {
    const auto a = static_cast<size_t>(axis);
    if (r.exposed[a].slowest == 0) continue;
    axes.AddRow({std::string(AxisName(axis)), absl::StrCat(result.facts.mesh[axis]),
                 FormatBytes(static_cast<double>(r.sent_bytes[a])), Milli(r.exposed[a].median),
                 Percent(r.exposed[a].median / r.step.median), Milli(r.exposed[a].slowest),
                 absl::StrCat(r.exposed[a].slowest_rank), Milli(r.hidden[a].median)});
  }
  absl::StrAppend(&text, "\n", axes.ToString(style),
                  "computing, the step without exposed communication: ", Milli(r.computing.median),
                  " ms on the median rank (", Percent(r.computing.median / r.step.median), "), ",
                  Milli(r.computing.slowest), " ms on rank ", r.computing.slowest_rank, "\n");
  return text;
}

Json ToJson(const StepBenchResult& result) {
  const StepBenchFacts& f = result.facts;
  const StepReport& r = result.report;
  Json json = {{"run", f.run}, {"backend", f.backend}, {"ranks", f.mesh.world()}};
  for (const Axis axis : kAxes) json["mesh"][std::string(AxisName(axis))] = f.mesh[axis];
  json.update(
      Json{{"zero", f.zero},
           {"threads_per_rank", f.threads},
           {"dtype", f.dtype},
           {"global_batch", f.global_batch},
           {"microbatches", f.microbatches},
           {"tokens_per_step", f.tokens},
           {"warmup", f.warmup},
           {"steps", r.steps},
           {"step",
            {{"median_seconds", r.median},
             {"min_seconds", r.min},
             {"max_seconds", r.max},
             {"lower_quartile_seconds", r.lower_quartile},
             {"upper_quartile_seconds", r.upper_quartile}}},
           {"tokens_per_second", result.TokensPerSecond()},
           {"tokens_per_second_per_rank", result.TokensPerSecond() / static_cast<double>(f.mesh.world())},
           {"flops_per_token", f.flops_per_token},
           {"flops_per_second_per_rank", result.FlopsPerRank()},
           {"peak_flops_per_rank", f.peak_flops},
           {"peak_source", f.peak_source},
           {"mfu", result.Mfu()}});
  json["parts"] = Json::array();
  for (int p = 0; p < kStepParts; ++p) {
    json["parts"].push_back(Named("part", std::string(StepPartName(static_cast<StepPart>(p))),
                                  OverJson(r.parts[static_cast<size_t>(p)])));
  }
  json["parts"].push_back(Named("part", "other", OverJson(r.other)));
  json["rank_step"] = OverJson(r.step);
  json["computing"] = OverJson(r.computing);
  json["axes"] = Json::array();
  for (const Axis axis : kAxes) {
    const auto a = static_cast<size_t>(axis);
    json["axes"].push_back({{"axis", AxisName(axis)},
                            {"degree", f.mesh[axis]},
                            {"sent_bytes", r.sent_bytes[a]},
                            {"exposed", OverJson(r.exposed[a])},
                            {"hidden", OverJson(r.hidden[a])}});
  }
  json.update(Json{{"first_step_seconds", f.first_step_seconds},
                   {"first_loss", f.first_loss},
                   {"last_loss", f.last_loss},
                   {"memory_peak_bytes", f.memory_peak_bytes},
                   {"resident_bytes", f.resident_bytes}});
  return json;
}

std::string ResultLine(const StepBenchResult& result) {
  const StepBenchFacts& f = result.facts;
  const StepReport& r = result.report;
  const Json json = {{"tag", f.run},
                     {"size", f.run},
                     {"impl", "orthant"},
                     {"dtype", f.dtype},
                     {"ranks", f.mesh.world()},
                     {"dp", f.mesh.data},
                     {"tp", f.mesh.tensor},
                     {"pp", f.mesh.pipeline},
                     {"sp", f.mesh.sequence},
                     {"zero", f.zero},
                     {"micro", f.microbatches},
                     {"threads", f.threads},
                     {"steps", r.steps},
                     {"min_ms", 1e3 * r.min},
                     {"med_ms", 1e3 * r.median},
                     {"max_ms", 1e3 * r.max},
                     {"tok_s", result.TokensPerSecond()},
                     {"gflops", result.FlopsPerRank() * static_cast<double>(f.mesh.world()) / 1e9},
                     {"first_step_s", f.first_step_seconds},
                     {"device_mib", f.memory_peak_bytes >> 20},
                     {"rss_mib", f.resident_bytes >> 20},
                     {"loss0", f.first_loss},
                     {"last_loss", f.last_loss}};
  return absl::StrCat("RESULT ", json.dump(), "\n");
}

}  // namespace orthant
