#include "orthant/sweep/sweep_state.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/core/text.h"
#include "sweep/cut_text.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::array<CaseState, 7> kStates = {
    CaseState::kWaiting,     CaseState::kIllegal, CaseState::kRunning, CaseState::kSubmitted,
    CaseState::kInterrupted, CaseState::kFailed,  CaseState::kDone};

Json ToJson(const CaseRecord& record) {
  Json json = {{"name", record.what.name},        {"layout", record.what.layout},
               {"ranks", record.what.ranks},      {"overrides", record.what.overrides},
               {"state", ToString(record.state)}, {"exit_code", record.exit_code},
               {"starts", record.starts},         {"seconds", record.seconds},
               {"error", record.error},           {"configuration", record.configuration}};
  if (!record.job.empty()) {
    json["job"] = record.job;
    json["earlier_starts"] = record.earlier_starts;
  }
  if (record.predicted_seconds > 0)
    json["predicted"] = {{"step_seconds", record.predicted_seconds},
                         {"memory_bytes", record.predicted_bytes}};
  return json;
}

// Throws where a member is missing or of another type.
CaseRecord CaseFrom(const nlohmann::json& json) {
  CaseRecord record;
  json.at("name").get_to(record.what.name);
  json.at("layout").get_to(record.what.layout);
  json.at("ranks").get_to(record.what.ranks);
  json.at("overrides").get_to(record.what.overrides);
  const std::string state = json.at("state");
  const auto found =
      std::find_if(kStates.begin(), kStates.end(), [&](CaseState s) { return state == ToString(s); });
  if (found == kStates.end()) throw std::invalid_argument("state " + state);
  record.state = *found;
  json.at("exit_code").get_to(record.exit_code);
  json.at("starts").get_to(record.starts);
  json.at("seconds").get_to(record.seconds);
  json.at("error").get_to(record.error);
  json.at("configuration").get_to(record.configuration);
  record.job = json.value("job", "");
  record.earlier_starts = json.value("earlier_starts", 0);
  if (json.contains("predicted")) {
    json.at("predicted").at("step_seconds").get_to(record.predicted_seconds);
    json.at("predicted").at("memory_bytes").get_to(record.predicted_bytes);
  }
  return record;
}

void TakeOverCase(const CaseRecord& old, CaseRecord* now) {
  if (now->state == CaseState::kIllegal || old.state == CaseState::kIllegal) return;
  const bool cut_off = old.state == CaseState::kRunning;
  now->state = cut_off ? CaseState::kInterrupted : old.state;
  now->exit_code = old.exit_code;
  now->starts = old.starts;
  now->seconds = old.seconds;
  now->error = cut_off ? "the sweep was killed while it ran" : old.error;
  now->job = old.job;
  now->earlier_starts = old.earlier_starts;
  // One that has not begun may be another by now, and its prediction with it.
  if (now->predicted_seconds == 0 && old.configuration == now->configuration) {
    now->predicted_seconds = old.predicted_seconds;
    now->predicted_bytes = old.predicted_bytes;
  }
}

// However the paths are spelled. Absolute first: the canonical form of a file that is not there is relative.
bool SameFile(const std::string& a, const std::string& b) {
  const auto canonical = [](const std::string& path) {
    std::error_code error;
    const std::filesystem::path whole = std::filesystem::absolute(path, error);
    const std::filesystem::path found = error ? whole : std::filesystem::weakly_canonical(whole, error);
    return error ? std::filesystem::path(path) : found;
  };
  return canonical(a) == canonical(b);
}

}  // namespace

const char* ToString(CaseState state) {
  switch (state) {
    case CaseState::kWaiting:
      return "waiting";
    case CaseState::kIllegal:
      return "illegal";
    case CaseState::kRunning:
      return "running";
    case CaseState::kSubmitted:
      return "submitted";
    case CaseState::kInterrupted:
      return "interrupted";
    case CaseState::kFailed:
      return "failed";
    case CaseState::kDone:
      return "done";
  }
  return "?";
}

int SweepState::Count(CaseState state) const {
  return static_cast<int>(std::count_if(cases.begin(), cases.end(),
                                        [&](const CaseRecord& record) { return record.state == state; }));
}

std::string SweepStatePath(const std::string& dir) {
  return dir + "/sweep.json";
}

Json ToJson(const SweepState& state) {
  Json json = {{"format", kFormat},        {"name", state.name},       {"run", state.run},
               {"scaling", state.scaling}, {"backend", state.backend}, {"cases", Json::array()}};
  for (const CaseRecord& record : state.cases) json["cases"].push_back(ToJson(record));
  return json;
}

std::string SweepStateText(const SweepState& state) {
  return ToJson(state).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<SweepState> ReadSweepState(const std::string& dir) {
  const std::string path = SweepStatePath(dir);
  const absl::StatusOr<nlohmann::json> json = ReadJsonFile(path);
  if (!json.ok()) return json.status();
  try {
    if (json->at("format") != kFormat)
      return DataError(absl::StrCat(path, ": format ", json->at("format").dump(), " is not known here"));
    SweepState state;
    json->at("name").get_to(state.name);
    json->at("run").get_to(state.run);
    json->at("scaling").get_to(state.scaling);
    json->at("backend").get_to(state.backend);
    for (const nlohmann::json& one : json->at("cases")) state.cases.push_back(CaseFrom(one));
    return state;
  } catch (const std::exception& error) {
    return DataError(absl::StrCat(path, ": it is damaged: ", error.what(),
                                  "; the runs beside it are whole, move it away to begin the sweep anew"));
  }
}

absl::Status WriteSweepState(const std::string& dir, const SweepState& state) {
  return WriteFileAtomically(SweepStatePath(dir), SweepStateText(state));
}

absl::Status TakeOver(const SweepState& earlier, const std::string& dir, SweepState* now) {
  std::vector<std::string> differences;
  const auto differ = [&](const char* key, const std::string& was, const std::string& is) {
    if (was != is) differences.push_back(absl::StrCat("sweep.", key, " was ", was, " and is ", is));
  };
  differ("name", earlier.name, now->name);
  if (!SameFile(earlier.run, now->run)) differ("run", earlier.run, now->run);
  differ("scaling", earlier.scaling, now->scaling);
  for (const CaseRecord& old : earlier.cases) {
    const auto same = std::find_if(now->cases.begin(), now->cases.end(),
                                   [&](const CaseRecord& r) { return r.what.name == old.what.name; });
    if (same == now->cases.end()) {
      differences.push_back(absl::StrCat("the case ", old.what.name, " is not in this file"));
      continue;
    }
    if (old.starts > 0 && old.configuration != same->configuration)
      differences.push_back(absl::StrCat(
          "the case ", old.what.name, " has begun with another configuration: its overrides were ",
          absl::StrJoin(old.what.overrides, " "), ", or the run's file changed"));
    TakeOverCase(old, &*same);
  }
  if (differences.empty()) return absl::OkStatus();
  return ConfigurationError(absl::StrCat(
      SweepStatePath(dir), ": this folder holds another sweep: ", absl::StrJoin(differences, "; "),
      ". Give another sweep.dir, or move the folder away"));
}

std::string SweepTable(const SweepState& state, bool boxes) {
  Table table({"case", "ranks", "state", "seconds", "exit code", "error"});
  for (const CaseRecord& record : state.cases) {
    std::string error = record.error.substr(0, record.error.find('\n'));
    if (error.size() > 100) error = Beginning(error, 97) + "...";
    const bool ran = record.starts > 0;
    table.AddRow({record.what.name, record.what.ranks > 0 ? absl::StrCat(record.what.ranks) : "",
                  ToString(record.state),
                  ran ? FormatShortest(static_cast<int64_t>(record.seconds * 10) / 10.0) : "",
                  ran || record.exit_code != 0 ? absl::StrCat(record.exit_code) : "", error});
  }
  std::string counts;
  for (const CaseState one : kStates) {
    if (state.Count(one) > 0)
      absl::StrAppend(&counts, counts.empty() ? "" : ", ", state.Count(one), " ", ToString(one));
  }
  return absl::StrCat(table.ToString(boxes ? TableStyle::kBoxes : TableStyle::kPlain), state.cases.size(),
                      " cases: ", counts, "\n");
}

}  // namespace orthant
