#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/mesh/parallel_config.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

using nlohmann::ordered_json;

// The member `key`, or `otherwise` where it is missing or of another type.
std::string Text(const ordered_json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
}
double Number(const ordered_json& object, const char* key, double otherwise = 0) {
  return object.contains(key) && object[key].is_number() ? object[key].get<double>() : otherwise;
}
int64_t Integer(const ordered_json& object, const char* key, int64_t otherwise = 0) {
  return static_cast<int64_t>(Number(object, key, static_cast<double>(otherwise)));
}
template <typename T, typename Is>
std::vector<T> List(const ordered_json& object, const char* key, Is is) {
  std::vector<T> list;
  if (!object.contains(key) || !object[key].is_array()) return list;
  for (const ordered_json& value : object[key]) {
    if (is(value)) list.push_back(value.get<T>());
  }
  return list;
}
std::vector<std::string> Texts(const ordered_json& object, const char* key) {
  return List<std::string>(object, key, [](const ordered_json& v) { return v.is_string(); });
}

std::optional<Mesh> MeshOf(const ordered_json& start) {
  if (!start.contains("parallel") || !start["parallel"].is_object()) return std::nullopt;
  const ordered_json& p = start["parallel"];
  ParallelConfig parallel;
  parallel.data = static_cast<int>(Integer(p, "data", 1));
  parallel.tensor = static_cast<int>(Integer(p, "tensor", 1));
  parallel.pipeline = static_cast<int>(Integer(p, "pipeline", 1));
  parallel.sequence = static_cast<int>(Integer(p, "sequence", 1));
  if (const std::vector<std::string> order = Texts(p, "order"); !order.empty()) parallel.order = order;
  const absl::StatusOr<Mesh> mesh = MakeMesh(parallel, parallel.degrees().world());
  return mesh.ok() ? std::optional<Mesh>(*mesh) : std::nullopt;
}

std::vector<RankMemory> MemoryOf(const ordered_json& start) {
  std::vector<RankMemory> ranks;
  if (!start.contains("memory") || !start["memory"].is_array()) return ranks;
  for (const ordered_json& rank : start["memory"]) {
    if (!rank.is_object()) continue;
    RankMemory memory{Number(rank, "device_bytes"), Number(rank, "host_bytes"), {}};
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
  start.time = Text(json, "time");
  start.host = Text(json, "host");
  start.version = Text(json, "version");
  start.backend = Text(json, "backend");
  start.device = Text(json, "device");
  start.from = Text(json, "from");
  start.after_step = Integer(json, "after_step", -1);
  start.ranks_per_host = static_cast<int>(Integer(json, "ranks_per_host"));
  start.hosts = Texts(json, "hosts");
  start.mesh = MeshOf(json);
  start.layers_per_stage =
      List<int64_t>(json, "layers_per_stage", [](const ordered_json& v) { return v.is_number_integer(); });
  start.microbatches = Integer(json, "microbatches");
  start.parameters = Integer(json, "parameters");
  start.peak_flops = Number(json, "peak_flops");
  start.peak_source = Text(json, "peak_source");
  start.data = Text(json, "data");
  start.notes = Texts(json, "notes");
  start.memory = MemoryOf(json);
  if (!json.contains("end") || !json["end"].is_object()) return start;
  const ordered_json& end = json["end"];
  start.ended = true;
  start.end_step = Integer(end, "step");
  start.exit_code = static_cast<int>(Integer(end, "exit_code"));
  start.end_time = Text(end, "time");
  start.outcome = Text(end, "outcome");
  start.message = Text(end, "message");
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

void ParseTrace(const std::string& text, const std::string& origin, TraceData* trace,
                std::vector<std::string>* notes) {
  const ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("traceEvents") || !json["traceEvents"].is_array()) {
    notes->push_back(absl::StrCat(origin, ": is no Chrome trace; its timeline is left out"));
    return;
  }
  for (const ordered_json& event : json["traceEvents"]) {
    if (!event.is_object() || !event.contains("args") || !event["args"].is_object()) continue;
    const ordered_json& args = event["args"];
    const int rank = static_cast<int>(Integer(event, "pid"));
    if (Text(event, "name") == "clock") {
      trace->round_trip = std::max(trace->round_trip, 1e-6 * Number(args, "round_trip_us"));
      trace->lost += Integer(args, "operations_lost");
    }
    const std::string category = Text(event, "cat");
    const double begin = 1e-6 * Number(event, "ts"), end = begin + 1e-6 * Number(event, "dur");
    if (category == "compute") {
      trace->actions.push_back({rank, static_cast<int>(Integer(args, "chunk")),
                                static_cast<int>(Integer(args, "microbatch", -1)), Integer(args, "step"),
                                Text(args, "action"), begin, end});
    } else if (category == "communication") {
      trace->transfers.push_back({rank, Integer(args, "step"), Text(args, "axis"),
                                  1e-6 * Number(args, "exposed_us"), 1e-6 * Number(args, "hidden_us"),
                                  Number(args, "sent")});
    }
  }
}

}  // namespace orthant
