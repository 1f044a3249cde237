// Loads a run's YAML, with includes and command-line overrides, into the variables that Fields describe, and
// keeps where each value came from: for messages, for the dump stored with the run, for comparing two runs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "orthant/config/fields.h"

namespace orthant {

using DescribeFunction = std::function<void(Fields&)>;

// One key that two configurations hold different values of, written as in YAML.
struct ConfigDifference {
  std::string key, left, right;
};

// A snapshot of every described value, with its origin. Independent of the variables after loading.
class LoadedConfig {
 public:
  struct Entry {
    std::string key;
    FieldKind kind;
    FieldValue value;
    std::string origin;  // "run.yaml:7", "command line", "default", "computed"
  };

  LoadedConfig(const Fields& fields, const std::function<std::string(const std::string&)>& origin_of);

  // Origin of a dotted key's value; "" for a key that does not exist.
  std::string OriginOf(std::string_view key) const;
  bool IsDefault(std::string_view key) const { return OriginOf(key) == "default"; }
  // "run.yaml:12: model.heads = 6": how the message of a rule that spans keys begins.
  std::string Cite(std::string_view key) const;

  // Takes the present values of the variables; the ones that changed since loading get the origin "computed".
  void Update(const DescribeFunction& describe);

  // Complete YAML: every value, with its origin as a comment. Loads back to the same values.
  std::string Dump() const;
  nlohmann::ordered_json ToJson() const;
  // The keys whose values differ, except those in sections or of keys named in `ignored` ("parallel",
  // "run.dir").
  std::vector<ConfigDifference> Diff(const LoadedConfig& other,
                                     const std::vector<std::string>& ignored = {}) const;

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  const Entry* Find(std::string_view key) const;
  std::string DumpSection(const std::string& section, int depth) const;

  std::vector<Entry> entries_;         // in the order of description
  std::vector<std::string> sections_;  // dotted, in the order of description, "" first
};

// Reads `path` and its includes, then `overrides` ("key=value"), into the variables that `describe` binds. A
// key set by several is won by: the command line, then the including file, then the later include.
// ConfigurationError with one line for every mistake found, each "FILE:LINE: key: ..." (unknown, duplicate,
// wrong type, out of range, include cycles); the variables then hold some mixture.
absl::StatusOr<LoadedConfig> LoadConfig(const std::string& path, const std::vector<std::string>& overrides,
                                        const DescribeFunction& describe);

// The same from text; `name` stands for the path in messages and for its folder in includes.
absl::StatusOr<LoadedConfig> LoadConfigFromText(const std::string& text, const std::string& name,
                                                const std::vector<std::string>& overrides,
                                                const DescribeFunction& describe);

// docs/configuration.md: a table a section, with the variables' present values as defaults.
std::string ConfigReference(const DescribeFunction& describe);

}  // namespace orthant
