#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/json_parts.h"
#include "orthant/mesh/parallel_config.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

using nlohmann::ordered_json;

std::vector<std::string> Texts(const ordered_json& object, const char* key) {
  std::vector<std::string> texts;
  if (!object.contains(key) || !object[key].is_array()) return texts;
  for (const ordered_json& value : object[key]) {
    if (value.is_string()) texts.push_back(value.get<std::string>());
  }
  return texts;
}

std::optional<Mesh> MeshOf(const ordered_json& start) {
  if (!start.contains("parallel") || !start["parallel"].is_object()) return std::nullopt;
  const ordered_json& p = start["parallel"];
  ParallelConfig parallel;
  parallel.data = static_cast<int>(IntegerIn(p, "data", 1));
  parallel.tensor = static_cast<int>(IntegerIn(p, "tensor", 1));
  parallel.pipeline = static_cast<int>(IntegerIn(p, "pipeline", 1));
  parallel.sequence = static_cast<int>(IntegerIn(p, "sequence", 1));
  if (const std::vector<std::string> order = Texts(p, "order"); !order.empty()) parallel.order = order;
  const absl::StatusOr<Mesh> mesh = MakeMesh(parallel, parallel.degrees().world());
  return mesh.ok() ? std::optional<Mesh>(*mesh) : std::nullopt;
}

std::vector<RankMemory> MemoryOf(const ordered_json& start) {
  std::vector<RankMemory> ranks;
  if (!start.contains("memory") || !start["memory"].is_array()) return ranks;
  for (const ordered_json& rank : start["memory"]) {
    if (!rank.is_object()) continue;
    RankMemory memory{NumberIn(rank, "device_bytes"), NumberIn(rank, "host_bytes"), {}};
    if (rank.contains("at_peak") && rank["at_peak"].is_object()) {
      for (const auto& [tag, bytes] : rank["at_peak"].items()) {
        if (bytes.is_number()) memory.at_peak.emplace_back(tag, bytes.get<double>());
      }
    }
    ranks.push_back(std::move(memory));
  }
  return ranks;
}

RunStart StartOf(const ordered_json& json) {
  RunStart start;
  start.time = TextIn(json, "time");
  start.host = TextIn(json, "host");
  start.version = TextIn(json, "version");
  start.backend = TextIn(json, "backend");
  start.device = TextIn(json, "device");
  start.from = TextIn(json, "from");
  start.after_step = IntegerIn(json, "after_step", -1);
  start.hosts = Texts(json, "hosts");
  start.mesh = MeshOf(json);
  start.microbatches = IntegerIn(json, "microbatches");
  start.parameters = IntegerIn(json, "parameters");
  start.peak_flops = NumberIn(json, "peak_flops");
  start.peak_source = TextIn(json, "peak_source");
  start.data = TextIn(json, "data");
  start.notes = Texts(json, "notes");
  start.memory = MemoryOf(json);
  if (!json.contains("end") || !json["end"].is_object()) return start;
  const ordered_json& end = json["end"];
  start.ended = true;
  start.end_step = IntegerIn(end, "step");
  start.exit_code = static_cast<int>(IntegerIn(end, "exit_code"));
  start.end_time = TextIn(end, "time");
  start.outcome = TextIn(end, "outcome");
  start.message = TextIn(end, "message");
  return start;
}

}  // namespace

std::vector<RunStart> ParseStarts(const std::string& text, const std::string& origin,
                                  std::vector<std::string>* notes) {
  std::vector<RunStart> starts;
  const ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("starts") || !json["starts"].is_array()) {
    notes->push_back(absl::StrCat(origin, ": is damaged; hosts, starts and the ranks' memory are not known"));
    return starts;
  }
  for (const ordered_json& start : json["starts"]) {
    if (start.is_object()) starts.push_back(StartOf(start));
  }
  return starts;
}

}  // namespace orthant
