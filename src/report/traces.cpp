#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "orthant/core/json_parts.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

using nlohmann::ordered_json;

void TakeEvent(const ordered_json& event, TraceData* trace) {
  const auto found = event.find("args");
  if (found == event.end() || !found->is_object()) return;
  const ordered_json& args = *found;
  const int rank = static_cast<int>(IntegerIn(event, "pid"));
  if (TextIn(event, "name") == "clock") {
    trace->round_trip = std::max(trace->round_trip, 1e-6 * NumberIn(args, "round_trip_us"));
    trace->lost += IntegerIn(args, "operations_lost");
  }
  const std::string category = TextIn(event, "cat");
  const double begin = 1e-6 * NumberIn(event, "ts"), end = begin + 1e-6 * NumberIn(event, "dur");
  if (category == "compute") {
    trace->actions.push_back({rank, static_cast<int>(IntegerIn(args, "microbatch", -1)),
                              IntegerIn(args, "step"), TextIn(args, "action"), begin, end});
  } else if (category == "communication") {
    trace->transfers.push_back({rank, IntegerIn(args, "step"), TextIn(args, "axis"),
                                1e-6 * NumberIn(args, "exposed_us"), 1e-6 * NumberIn(args, "hidden_us")});
  }
}

std::optional<Degrees> MeshIn(const ordered_json& other) {
  const auto found = other.find("mesh");
  if (found == other.end() || !found->is_object()) return std::nullopt;
  const auto degree = [&](const char* axis) { return static_cast<int>(IntegerIn(*found, axis, 1)); };
  return Degrees{degree("data"), degree("tensor"), degree("pipeline"), degree("sequence")};
}

std::set<int64_t> StepsOf(const TraceData& trace) {
  std::set<int64_t> steps;
  for (const TracedAction& action : trace.actions) steps.insert(action.step);
  for (const TracedTransfer& transfer : trace.transfers) steps.insert(transfer.step);
  return steps;
}

// Adds what `from` has of steps that are not in `seen`.
void AddUnseen(const TraceData& from, const std::set<int64_t>& seen, TraceData* to) {
  const auto unseen = [&](const auto& event) { return seen.count(event.step) == 0; };
  std::copy_if(from.actions.begin(), from.actions.end(), std::back_inserter(to->actions), unseen);
  std::copy_if(from.transfers.begin(), from.transfers.end(), std::back_inserter(to->transfers), unseen);
  to->round_trip = std::max(to->round_trip, from.round_trip);
  to->lost += from.lost;
}

}  // namespace

std::optional<TraceFile> ParseTrace(const std::string& text, const std::string& origin,
                                    std::vector<std::string>* notes) {
  TraceFile file;
  file.origin = origin;
  std::string section;
  // Events are dropped as soon as they are read: all of them as JSON would take several times the file's
  // size.
  const auto take = [&](int depth, ordered_json::parse_event_t event, ordered_json& parsed) {
    if (event == ordered_json::parse_event_t::key && depth == 1) section = parsed.get<std::string>();
    if (event != ordered_json::parse_event_t::object_end || depth != 2) return true;
    if (section == "traceEvents") TakeEvent(parsed, &file.data);
    return section == "otherData";
  };
  const ordered_json json = ordered_json::parse(text, take, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("traceEvents") || !json["traceEvents"].is_array()) {
    notes->push_back(absl::StrCat(origin, ": is no Chrome trace; its timeline is left out"));
    return std::nullopt;
  }
  if (const auto other = json.find("otherData"); other != json.end() && other->is_object()) {
    file.mesh = MeshIn(*other);
    file.written = TextIn(*other, "written");
  }
  return file;
}

TraceData JoinTraces(std::vector<TraceFile> files, const std::optional<Mesh>& mesh,
                     std::vector<std::string>* notes) {
  std::stable_sort(files.begin(), files.end(),
                   [](const TraceFile& a, const TraceFile& b) { return a.written < b.written; });
  TraceData joined;
  std::set<int64_t> seen;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    if (mesh && file->mesh && *file->mesh != mesh->degrees()) {
      notes->push_back(absl::StrCat(file->origin, ": is of a start on another mesh (", ToString(*file->mesh),
                                    "); its timeline is left out"));
      continue;
    }
    const std::set<int64_t> steps = StepsOf(file->data);
    if (std::includes(seen.begin(), seen.end(), steps.begin(), steps.end())) continue;
    AddUnseen(file->data, seen, &joined);
    seen.insert(steps.begin(), steps.end());
  }
  return joined;
}

}  // namespace orthant
