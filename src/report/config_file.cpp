#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orthant/mesh/parallel_config.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

constexpr const char* kComment = "  # ";  // before a value's origin, as LoadedConfig::Dump writes it

std::string ValueText(const YAML::Node& node) {
  if (node.IsNull()) return "";
  if (node.IsScalar()) return node.Scalar();
  YAML::Emitter out;
  out.SetSeqFormat(YAML::Flow);
  out.SetMapFormat(YAML::Flow);
  out << node;
  return out.c_str();
}

std::string OriginAt(const std::vector<std::string>& lines, int line) {
  if (line < 0 || line >= static_cast<int>(lines.size())) return "";
  const std::string& text = lines[static_cast<size_t>(line)];
  const size_t comment = text.rfind(kComment);
  return comment == std::string::npos ? ""
                                      : std::string(absl::StripAsciiWhitespace(text.substr(comment + 4)));
}

void AddValues(const YAML::Node& map, const std::string& section, const std::vector<std::string>& lines,
               std::vector<ConfigValue>* values) {
  for (const auto& entry : map) {
    if (!entry.first.IsScalar()) continue;
    const std::string key =
        section.empty() ? entry.first.Scalar() : absl::StrCat(section, ".", entry.first.Scalar());
    if (entry.second.IsMap()) {
      AddValues(entry.second, key, lines, values);
    } else {
      values->push_back({key, ValueText(entry.second), OriginAt(lines, entry.first.Mark().line)});
    }
  }
}

}  // namespace

std::vector<ConfigValue> ParseConfig(const std::string& text, const std::string& origin,
                                     std::vector<std::string>* notes) {
  std::vector<ConfigValue> values;
  try {
    const YAML::Node top = YAML::Load(text);
    if (top.IsMap()) {
      AddValues(top, "", absl::StrSplit(text, '\n'), &values);
    } else {
      notes->push_back(absl::StrCat(origin, ": is no map of sections; the configuration is not known"));
    }
  } catch (const YAML::Exception& error) {
    values.clear();
    notes->push_back(absl::StrCat(origin, ":", error.mark.line + 1, ": is not valid YAML (", error.msg,
                                  "); the configuration is not known"));
  }
  return values;
}

const ConfigValue* RunData::Find(std::string_view key) const {
  const auto found =
      std::find_if(config.begin(), config.end(), [&](const ConfigValue& v) { return v.key == key; });
  return found == config.end() ? nullptr : &*found;
}

std::string RunData::Value(std::string_view key) const {
  const ConfigValue* found = Find(key);
  return found == nullptr ? "" : found->value;
}

int64_t RunData::Integer(std::string_view key, int64_t otherwise) const {
  int64_t value = 0;
  return absl::SimpleAtoi(Value(key), &value) ? value : otherwise;
}

const RunStart* RunData::LastStart() const {
  return starts.empty() ? nullptr : &starts.back();
}

std::optional<Mesh> RunData::TheMesh() const {
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->mesh.has_value()) return start->mesh;
  }
  if (Find("parallel.data") == nullptr) return std::nullopt;
  ParallelConfig parallel;
  parallel.data = static_cast<int>(Integer("parallel.data", 1));
  parallel.tensor = static_cast<int>(Integer("parallel.tensor", 1));
  parallel.pipeline = static_cast<int>(Integer("parallel.pipeline", 1));
  parallel.sequence = static_cast<int>(Integer("parallel.sequence", 1));
  try {
    const YAML::Node order = YAML::Load(Value("parallel.order"));
    if (order.IsSequence() && order.size() == kAxisCount) {
      parallel.order.clear();
      for (const YAML::Node& axis : order) parallel.order.push_back(axis.Scalar());
    }
  } catch (const YAML::Exception&) {  // the default order
  }
  const absl::StatusOr<Mesh> mesh = MakeMesh(parallel, parallel.degrees().world());
  return mesh.ok() ? std::optional<Mesh>(*mesh) : std::nullopt;
}

void DistinguishLabels(std::vector<RunData>* runs) {
  std::multiset<std::string> labels;
  for (const RunData& run : *runs) labels.insert(run.label);
  for (RunData& run : *runs) {
    if (labels.count(run.label) > 1) run.label = run.folder;
  }
  std::multiset<std::string> folders;
  for (RunData& run : *runs) {  // one folder named twice
    const auto times = folders.count(run.label);
    folders.insert(run.label);
    if (times > 0) absl::StrAppend(&run.label, " (", times + 1, ")");
  }
}

std::vector<ConfigDifferenceRow> CompareConfigs(const std::vector<RunData>& runs) {
  std::vector<std::string> keys;
  std::set<std::string> known = {"run.name", "run.dir"};
  for (const RunData& run : runs) {
    for (const ConfigValue& value : run.config) {
      if (known.insert(value.key).second) keys.push_back(value.key);
    }
  }
  std::vector<ConfigDifferenceRow> rows;
  for (const std::string& key : keys) {
    ConfigDifferenceRow row{key, {}};
    bool differs = false;
    for (const RunData& run : runs) {
      if (run.config.empty()) {
        row.values.push_back("-");
        continue;  // its configuration is not known: no difference
      }
      const ConfigValue* value = run.Find(key);
      row.values.push_back(value == nullptr ? "-" : value->value);
    }
    const std::string* first = nullptr;
    for (size_t i = 0; i < runs.size(); ++i) {
      if (runs[i].config.empty()) continue;
      differs = differs || (first != nullptr && *first != row.values[i]);
      first = first == nullptr ? &row.values[i] : first;
    }
    if (differs) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace orthant
