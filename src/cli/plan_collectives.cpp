// orthant plan --collectives RUN.yaml [KEY=VALUE ...] [--ranks N]: what a run will communicate, proved free
// of conflict.
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/plan.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"
#include "orthant/data/dataset.h"
#include "orthant/mesh/divisors.h"
#include "orthant/train/collective_check.h"
#include "orthant/train/validate.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

int64_t OtherDegrees(const ParallelConfig& p) {
  return int64_t{p.tensor} * p.pipeline * p.sequence;
}

// Sets parallel.data so that the mesh has `ranks` ranks.
absl::Status Resize(int64_t ranks, RunConfig* config) {
  ParallelConfig& p = config->parallel;
  const int64_t others = OtherDegrees(p);
  if (others * p.data == ranks) return absl::OkStatus();
  const std::string given = absl::StrCat("--ranks ", ranks);
  if (ranks % others != 0) {
    return ConfigurationError(absl::StrCat(
        given, " must be a multiple of parallel.tensor x parallel.pipeline x parallel.sequence = ", others,
        "; nearest legal: ", AnyOf(NearestMultiples(others, ranks))));
  }
  p.data = static_cast<int>(ranks / others);
  const int64_t together = int64_t{p.data} * config->train.micro_batch;
  if (config->train.global_batch % together == 0) return absl::OkStatus();
  std::string text = absl::StrCat(
      given, " makes parallel.data = ", p.data, ", and train.global_batch = ", config->train.global_batch,
      " must stay a multiple of parallel.data x train.micro_batch = ", together,
      "; nearest legal: train.global_batch=", AnyOf(NearestMultiples(together, config->train.global_batch)));
  if (config->train.global_batch % config->train.micro_batch == 0) {
    std::vector<int64_t> legal;
    for (const int64_t data :
         NearestDivisors(config->train.global_batch / config->train.micro_batch, p.data)) {
      legal.push_back(data * others);
    }
    absl::StrAppend(&text, ", or --ranks ", AnyOf(legal));
  }
  return ConfigurationError(text);
}

Json AxesJson(const std::array<int64_t, kAxisCount>& bytes) {
  Json json;
  for (const Axis axis : kAxes) json[std::string(AxisName(axis))] = bytes[static_cast<size_t>(axis)];
  return json;
}

Json PassJson(const CollectivePass& pass, const MeshGroups& groups) {
  const CollectiveSummary s = Summarize(pass, groups);
  Json rows = Json::array();
  for (const CollectiveSummary::Row& row : s.rows) {
    rows.push_back({{"group", ToString(row.group)},
                    {"group_ranks", row.group_size},
                    {"operation", ToString(row.kind)},
                    {"operations_per_rank", {{"least", row.least}, {"most", row.most}}},
                    {"operations", row.total},
                    {"bytes_per_rank", row.most_bytes},
                    {"bytes", row.total_bytes}});
  }
  return {{"pass", pass.name},
          {"operations_per_rank", {{"least", s.least}, {"most", s.most}}},
          {"operations", s.total},
          {"groups", rows},
          {"comm_bytes_rank_0", AxesJson(s.first_rank_bytes)},
          {"comm_bytes_most", AxesJson(s.most_bytes)}};
}

Json ConflictJson(const CollectiveConflict& conflict, const Mesh& mesh) {
  Json sides = Json::array();
  for (const CollectiveConflict::Side& side : conflict.sides) {
    Json entry = {{"rank", side.rank}, {"place", mesh.Describe(side.rank)}};
    if (side.position > 0) {
      entry["position"] = side.position;
      entry["operation"] = Describe(side.operation);
    }
    sides.push_back(entry);
  }
  return {{"pass", conflict.pass}, {"text", conflict.ToString(mesh)}, {"sides", sides}};
}

std::string Spread(int64_t least, int64_t most) {
  return least == most ? FormatCount(most) : absl::StrCat(FormatCount(least), " to ", FormatCount(most));
}

std::string AxesText(const std::array<int64_t, kAxisCount>& bytes) {
  std::string text;
  for (const Axis axis : kAxes) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", std::string(AxisName(axis)), " ",
                    FormatCount(bytes[static_cast<size_t>(axis)]));
  }
  return text;
}

std::string PassText(const CollectivePass& pass, const MeshGroups& groups) {
  const CollectiveSummary s = Summarize(pass, groups);
  std::string text = absl::StrFormat("\n%s: %s operations a rank, %s in all\n", pass.name,
                                     Spread(s.least, s.most), FormatCount(s.total));
  if (s.rows.empty()) return text;
  Table table({"group", "ranks", "operation", "a rank", "all ranks", "sent by a rank", "sent by all"});
  for (const CollectiveSummary::Row& row : s.rows) {
    table.AddRow({ToString(row.group), FormatCount(row.group_size), ToString(row.kind),
                  Spread(row.least, row.most), FormatCount(row.total),
                  FormatBytes(static_cast<double>(row.most_bytes)),
                  FormatBytes(static_cast<double>(row.total_bytes))});
  }
  absl::StrAppend(&text, table.ToString(TableStyleFor(1)));
  absl::StrAppend(&text, "bytes sent by rank 0 (comm_bytes): ", AxesText(s.first_rank_bytes), "\n");
  return text;
}

std::string Heading(const RunConfig& c, const CollectivePlan& plan) {
  std::string text =
      absl::StrCat(FormatCount(c.parallel.degrees().world()),
                   c.parallel.degrees().world() == 1 ? " rank: " : " ranks: ", ToString(c.parallel.degrees()),
                   ", ZeRO ", c.parallel.zero, ", ", c.Microbatches(),
                   c.Microbatches() == 1 ? " microbatch" : " microbatches", " of ", c.train.micro_batch);
  if (c.parallel.pipeline > 1) absl::StrAppend(&text, ", ", c.parallel.schedule);
  if (plan.evaluated < c.evaluate.batches) {
    absl::StrAppend(&text, "; evaluation: ", plan.evaluated, " of ", c.evaluate.batches,
                    " global batches, the others repeat the last");
  }
  return text + "\n";
}

}  // namespace

absl::StatusOr<int64_t> VocabularyOf(const RunConfig& config) {
  if (config.model.vocab > 0) return config.model.vocab;
  if (config.data.source == "synthetic") return config.data.synthetic_vocab;
  const absl::StatusOr<Dataset> data = OpenDataset(config.data);
  if (!data.ok()) {
    return Annotate(data.status(),
                    "model.vocab is 0, so the plan takes the vocabulary of the data (set model.vocab to "
                    "plan without data)");
  }
  return data->vocabulary_size;
}

absl::Status PlanCollectivesOf(const RunFileOptions& run, int64_t ranks, const std::string& format) {
  RunConfig config;
  const absl::StatusOr<LoadedConfig> loaded = LoadRun(run, &config);
  if (!loaded.ok()) return loaded.status();
  if (ranks > 0) {
    if (absl::Status resized = Resize(ranks, &config); !resized.ok()) return resized;
  }
  const absl::Status valid =
      ValidateRun(config, [&](const std::string& key) { return loaded->OriginOf(key); });
  if (!valid.ok()) return valid;
  const absl::StatusOr<Mesh> mesh = MakeMesh(config.parallel, config.parallel.degrees().world());
  if (!mesh.ok()) return mesh.status();
  const absl::StatusOr<int64_t> vocab = VocabularyOf(config);
  if (!vocab.ok()) return vocab.status();

  const MeshGroups groups(*mesh, config.zero.shard_ranks);
  const CollectivePlan plan = PlanCollectives(config, *mesh, *vocab);
  const std::optional<CollectiveConflict> conflict = CheckPlan(plan, groups);
  if (format == "json") {
    Json json = {{"ranks", mesh->world()},
                 {"parallel", Json::object()},
                 {"zero", config.parallel.zero},
                 {"microbatches", config.Microbatches()},
                 {"evaluated_batches", plan.evaluated},
                 {"ok", !conflict.has_value()}};
    for (const Axis axis : kAxes) json["parallel"][std::string(AxisName(axis))] = mesh->degrees()[axis];
    json["passes"] = Json::array();
    for (const CollectivePass& pass : plan.passes) json["passes"].push_back(PassJson(pass, groups));
    if (conflict) json["conflict"] = ConflictJson(*conflict, *mesh);
    std::fputs((json.dump(2) + "\n").c_str(), stdout);
  } else {
    std::string text = Heading(config, plan);
    for (const CollectivePass& pass : plan.passes) absl::StrAppend(&text, PassText(pass, groups));
    if (!conflict)
      absl::StrAppend(&text, "\nproved: every operation meets its match, and no rank waits for ever\n");
    std::fputs(text.c_str(), stdout);
  }
  return conflict ? CommunicationError(conflict->ToString(*mesh)) : absl::OkStatus();
}

}  // namespace orthant
