// Reads YAML files, their includes and command-line overrides into described fields, collecting every
// mistake.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "orthant/config/fields.h"

namespace YAML {
class Node;
}

namespace orthant {

class ConfigLoader {
 public:
  explicit ConfigLoader(const Fields& fields);

  // `cited`: where an include names the file ("run.yaml:1: include: "), or "".
  void LoadFile(const std::string& path, const std::string& cited);
  void LoadText(const std::string& text, const std::string& name);
  void ApplyOverride(const std::string& text);
  // Complains about required fields that nobody set; `name` is the file that should have.
  void CheckRequired(const std::string& name);

  // "FILE:LINE: ..." each, in the order of reading.
  const std::vector<std::string>& errors() const { return errors_; }
  // "run.yaml:7", "command line" or "default".
  std::string OriginOf(const std::string& key) const;

 private:
  void ReadDocument(const std::string& text, const std::string& name);
  void ReadIncludes(const YAML::Node& top, const std::string& name);
  void ReadInclude(const YAML::Node& path, const std::string& name);
  void ReadSection(const YAML::Node& map, const std::string& section, const std::string& name);
  void Assign(const Field& field, const YAML::Node& node, const std::string& origin);
  // The field that a word in the place of `section` sets: its key `layout`, as `parallel: auto` means
  // `parallel: {layout: auto}`. Null: it has none.
  const Field* WordOf(const std::string& section) const { return fields_.Find(section + ".layout"); }
  // A word in the place of a whole section: replaces what was set of it before.
  void AssignWord(const Field& word, const YAML::Node& node, const std::string& origin);
  void AssignList(const Field& field, const YAML::Node& node, const std::string& origin);
  void Fail(const std::string& origin, const std::string& text);
  std::string UnknownKey(const std::string& key) const;

  const Fields& fields_;
  std::vector<std::string> errors_;
  std::map<std::string, std::string> origins_;
  std::map<std::string, FieldValue> defaults_;
  std::vector<std::string> open_;  // files being read, outermost first, as canonical paths: finds cycles
};

}  // namespace orthant
