#include "orthant/config/config.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/loader.h"
#include "config/value.h"
#include "nlohmann/json.hpp"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Column at which the dump's comments begin.
constexpr size_t kCommentColumn = 44;

absl::StatusOr<LoadedConfig> Load(const std::string& name, const std::vector<std::string>& overrides,
                                  const DescribeFunction& describe,
                                  const std::function<void(ConfigLoader&)>& read) {
  Fields fields;
  describe(fields);
  ConfigLoader loader(fields);
  read(loader);
  for (const std::string& override_text : overrides) loader.ApplyOverride(override_text);
  loader.CheckRequired(name);
  if (!loader.errors().empty()) return ConfigurationError(absl::StrJoin(loader.errors(), "\n"));
  return LoadedConfig(fields, [&](const std::string& key) { return loader.OriginOf(key); });
}

bool Ignored(const std::string& key, const std::vector<std::string>& ignored) {
  return std::any_of(ignored.begin(), ignored.end(), [&](const std::string& prefix) {
    return key == prefix || absl::StartsWith(key, prefix + ".");
  });
}

}  // namespace

LoadedConfig::LoadedConfig(const Fields& fields,
                           const std::function<std::string(const std::string&)>& origin_of) {
  for (const auto& field : fields.all()) {
    entries_.push_back({field->key(), field->kind(), field->Get(), origin_of(field->key())});
  }
  for (const SectionDescription& section : fields.sections()) sections_.push_back(section.key);
}

const LoadedConfig::Entry* LoadedConfig::Find(std::string_view key) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.key == key; });
  return found == entries_.end() ? nullptr : &*found;
}

std::string LoadedConfig::OriginOf(std::string_view key) const {
  const Entry* entry = Find(key);
  return entry == nullptr ? "" : entry->origin;
}

std::string LoadedConfig::Cite(std::string_view key) const {
  const Entry* entry = Find(key);
  if (entry == nullptr) return std::string(key);
  return absl::StrCat(entry->origin, ": ", entry->key, " = ", ValueToYaml(entry->kind, entry->value));
}

void LoadedConfig::Update(const DescribeFunction& describe) {
  Fields fields;
  describe(fields);
  for (Entry& entry : entries_) {
    const Field* field = fields.Find(entry.key);
    if (field == nullptr || field->Get() == entry.value) continue;
    entry.value = field->Get();
    entry.origin = "computed";
  }
}

std::string LoadedConfig::DumpSection(const std::string& section, int depth) const {
  const std::string indent(static_cast<size_t>(2 * depth), ' ');
  std::string text;
  for (const Entry& entry : entries_) {
    if (SectionOf(entry.key) != section) continue;
    std::string line = absl::StrCat(indent, NameOf(entry.key), ": ", ValueToYaml(entry.kind, entry.value));
    if (line.size() < kCommentColumn) line.resize(kCommentColumn, ' ');
    absl::StrAppend(&text, line, "  # ", entry.origin, "\n");
  }
  for (const std::string& child : sections_) {
    if (child.empty() || SectionOf(child) != section) continue;
    const std::string inside = DumpSection(child, depth + 1);
    if (!inside.empty()) absl::StrAppend(&text, indent, NameOf(child), ":\n", inside);
  }
  return text;
}

std::string LoadedConfig::Dump() const {
  return DumpSection("", 0);
}

nlohmann::ordered_json LoadedConfig::ToJson() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const Entry& entry : entries_) {
    std::string path = "/" + entry.key;
    std::replace(path.begin(), path.end(), '.', '/');
    nlohmann::ordered_json& place = json[nlohmann::ordered_json::json_pointer(path)];
    std::visit([&](const auto& value) { place = value; }, entry.value);
  }
  return json;
}

std::vector<ConfigDifference> LoadedConfig::Diff(const LoadedConfig& other,
                                                 const std::vector<std::string>& ignored) const {
  std::vector<ConfigDifference> differences;
  for (const Entry& entry : entries_) {
    if (Ignored(entry.key, ignored)) continue;
    const Entry* right = other.Find(entry.key);
    if (right != nullptr && right->value == entry.value) continue;
    differences.push_back({entry.key, ValueToYaml(entry.kind, entry.value),
                           right == nullptr ? "(no such key)" : ValueToYaml(right->kind, right->value)});
  }
  for (const Entry& right : other.entries_) {
    if (Find(right.key) != nullptr || Ignored(right.key, ignored)) continue;
    differences.push_back({right.key, "(no such key)", ValueToYaml(right.kind, right.value)});
  }
  return differences;
}

absl::StatusOr<LoadedConfig> LoadConfig(const std::string& path, const std::vector<std::string>& overrides,
                                        const DescribeFunction& describe) {
  return Load(path, overrides, describe, [&](ConfigLoader& loader) { loader.LoadFile(path, ""); });
}

absl::StatusOr<LoadedConfig> LoadConfigFromText(const std::string& text, const std::string& name,
                                                const std::vector<std::string>& overrides,
                                                const DescribeFunction& describe) {
  return Load(name, overrides, describe, [&](ConfigLoader& loader) { loader.LoadText(text, name); });
}

}  // namespace orthant
