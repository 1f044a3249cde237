// Flight records as JSON and as files.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "orthant/comm/flight_record.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kFilePrefix = "rank_";

std::vector<std::string> Split(const std::string& text, const char* separator) {
  return absl::StrSplit(text, separator);
}

json ToJson(const FlightGroup& group) {
  return {{"name", group.name},
          {"members", RanksText(group.members)},
          {"instance", group.instance},
          {"issued", group.issued}};
}

json ToJson(const RecordedOperation& op) {
  return {{"ticket", op.ticket},
          {"group", op.group},
          {"op", op.op},
          {"sequence", op.sequence},
          {"step", op.step},
          {"label", op.label},
          {"layer", op.layer},
          {"reduce", op.reduce},
          {"dtype", op.dtype},
          {"microbatch", op.microbatch},
          {"elements", op.elements},
          {"peer", op.peer},
          {"state", op.state},
          {"queued", op.queued},
          {"started", op.started},
          {"ended", op.ended}};
}

FlightGroup GroupFrom(const json& value) {
  FlightGroup group;
  group.name = value.at("name").get<std::string>();
  group.members = ParseRanks(value.at("members").get<std::string>());
  group.instance = value.at("instance").get<int>();
  group.issued = value.at("issued").get<uint64_t>();
  return group;
}

RecordedOperation OperationFrom(const json& value) {
  RecordedOperation op;
  value.at("ticket").get_to(op.ticket);
  value.at("group").get_to(op.group);
  value.at("op").get_to(op.op);
  value.at("sequence").get_to(op.sequence);
  value.at("step").get_to(op.step);
  value.at("label").get_to(op.label);
  value.at("layer").get_to(op.layer);
  value.at("reduce").get_to(op.reduce);
  value.at("dtype").get_to(op.dtype);
  value.at("microbatch").get_to(op.microbatch);
  value.at("elements").get_to(op.elements);
  value.at("peer").get_to(op.peer);
  value.at("state").get_to(op.state);
  value.at("queued").get_to(op.queued);
  value.at("started").get_to(op.started);
  value.at("ended").get_to(op.ended);
  return op;
}

FlightRecord RecordFrom(const json& value) {
  FlightRecord record;
  value.at("rank").get_to(record.rank);
  value.at("world").get_to(record.world);
  value.at("host").get_to(record.host);
  value.at("pid").get_to(record.pid);
  value.at("place").get_to(record.place);
  value.at("step").get_to(record.step);
  value.at("activity").get_to(record.activity);
  value.at("activity_seconds").get_to(record.activity_seconds);
  value.at("timeout").get_to(record.timeout);
  value.at("waiting").get_to(record.waiting);
  value.at("error").get_to(record.error);
  value.at("exit_code").get_to(record.exit_code);
  value.at("odd").get_to(record.odd);
  record.dead = ParseRanks(value.at("dead").get<std::string>());
  record.stopped = ParseRanks(value.at("stopped").get<std::string>());
  record.silent = ParseRanks(value.value("silent", ""));
  for (const json& group : value.at("groups")) record.groups.push_back(GroupFrom(group));
  for (const json& op : value.at("operations")) record.operations.push_back(OperationFrom(op));
  return record;
}

// Whether ranks and groups are ones that there are: what reads a record uses them as indices.
bool Sound(const FlightRecord& record) {
  constexpr int kMostRanks = 1 << 24;
  if (record.world < 1 || record.world > kMostRanks || record.rank < 0 || record.rank >= record.world)
    return false;
  return std::all_of(record.operations.begin(), record.operations.end(), [&](const RecordedOperation& op) {
    return op.group >= 0 && static_cast<size_t>(op.group) < record.groups.size();
  });
}

}  // namespace

std::string FlightRecordText(const FlightRecord& record) {
  json groups = json::array();
  for (const FlightGroup& group : record.groups) groups.push_back(ToJson(group));
  json operations = json::array();
  for (const RecordedOperation& op : record.operations) operations.push_back(ToJson(op));
  const json value = {{"rank", record.rank},
                      {"world", record.world},
                      {"host", record.host},
                      {"pid", record.pid},
                      {"place", record.place},
                      {"step", record.step},
                      {"activity", record.activity},
                      {"activity_seconds", record.activity_seconds},
                      {"timeout", record.timeout},
                      {"waiting", record.waiting},
                      {"error", record.error},
                      {"exit_code", record.exit_code},
                      {"odd", record.odd},
                      {"dead", RanksText(record.dead)},
                      {"stopped", RanksText(record.stopped)},
                      {"silent", RanksText(record.silent)},
                      {"groups", std::move(groups)},
                      {"operations", std::move(operations)}};
  // A message may quote bytes that are no UTF-8.
  return value.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<FlightRecord> ParseFlightRecord(std::string_view text, const std::string& origin) {
  const absl::StatusOr<json> value = ParseJson(text, origin);
  if (!value.ok()) return value.status();
  try {
    FlightRecord record = RecordFrom(*value);
    if (Sound(record)) return record;
    return DataError(absl::StrCat(origin, ": damaged: a rank or a group that cannot be"));
  } catch (const json::exception& error) {
    return DataError(absl::StrCat(origin, ": not a flight record: ", error.what()));
  }
}

std::string RanksText(const std::vector<int>& ranks) {
  std::string text;
  for (size_t i = 0; i < ranks.size();) {
    size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    absl::StrAppend(&text, text.empty() ? "" : ", ", ranks[i]);
    if (end - i == 2) absl::StrAppend(&text, ", ", ranks[i + 1]);
    if (end - i > 2) absl::StrAppend(&text, "-", ranks[end - 1]);
    i = end;
  }
  return text;
}

std::vector<int> ParseRanks(std::string_view text) {
  std::vector<int> ranks;
  if (text.empty()) return ranks;
  for (const std::string& part : Split(std::string(text), ", ")) {
    const std::vector<std::string> ends = Split(part, "-");
    int first = 0;
    int last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) ||
        last < first || last - first > 1 << 24) {
      return {};
    }
    for (int rank = first; rank <= last; ++rank) ranks.push_back(rank);
  }
  return ranks;
}

std::string FlightFile(const std::string& folder, int rank) {
  return absl::StrFormat("%s/%s%05d.json", folder, kFilePrefix, rank);
}

absl::StatusOr<std::vector<FlightRecord>> ReadFlightFolder(const std::string& folder) {
  std::vector<FlightRecord> records;
  std::error_code error;
  for (const fs::directory_entry& file : fs::directory_iterator(folder, error)) {
    const std::string name = file.path().filename().string();
    if (name.rfind(kFilePrefix, 0) != 0 || file.path().extension() != ".json") continue;
    const absl::StatusOr<std::string> text = ReadFile(file.path().string());
    if (!text.ok()) continue;
    absl::StatusOr<FlightRecord> record = ParseFlightRecord(*text, file.path().string());
    if (record.ok()) records.push_back(*std::move(record));
  }
  if (records.empty()) {
    return DataError(absl::StrCat(folder,
                                  " holds no flight records: they are written when a run ends because a ",
                                  "rank failed or an operation waited too long"));
  }
  std::sort(records.begin(), records.end(),
            [](const FlightRecord& a, const FlightRecord& b) { return a.rank < b.rank; });
  return records;
}

void ClearFlightFolder(const std::string& folder) {
  std::vector<fs::path> old;
  std::error_code error;
  for (const fs::directory_entry& file : fs::directory_iterator(folder, error)) {
    const std::string name = file.path().filename().string();
    if (name.rfind(kFilePrefix, 0) == 0 || name.rfind("verdict", 0) == 0) old.push_back(file.path());
  }
  for (const fs::path& path : old) fs::remove(path, error);
}

}  // namespace orthant
