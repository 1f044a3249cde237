#include "config/loader.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/value.h"
#include "orthant/core/file.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInclude = "include";
constexpr const char* kCommandLine = "command line";

std::string Place(const std::string& name, const YAML::Mark& mark) {
  return absl::StrCat(name, ":", mark.line + 1);
}

std::string Canonical(const std::string& path) {
  std::error_code ignored;
  const fs::path canonical = fs::weakly_canonical(path, ignored);
  return canonical.empty() ? path : canonical.string();
}

bool IsList(FieldKind kind) {
  return kind == FieldKind::kIntegers || kind == FieldKind::kReals || kind == FieldKind::kTexts;
}

// yaml-cpp gives a scalar between quotes (or a block of text) the tag "!".
Scalar ScalarOf(const YAML::Node& node) {
  return {node.Scalar(), node.Tag() == "!"};
}

std::string Join(const std::string& section, const std::string& name) {
  return section.empty() ? name : absl::StrCat(section, ".", name);
}

// The elements of a list field, gathered into the one alternative that its kind has.
template <class T>
FieldValue Gather(const std::vector<FieldValue>& elements) {
  std::vector<T> values;
  for (const FieldValue& element : elements) values.push_back(std::get<T>(element));
  return values;
}

}  // namespace

ConfigLoader::ConfigLoader(const Fields& fields) : fields_(fields) {
  for (const auto& field : fields.all()) defaults_.emplace(field->key(), field->Get());
}

void ConfigLoader::Fail(const std::string& origin, const std::string& text) {
  errors_.push_back(absl::StrCat(origin, ": ", text));
}

std::string ConfigLoader::OriginOf(const std::string& key) const {
  const auto found = origins_.find(key);
  return found == origins_.end() ? "default" : found->second;
}

void ConfigLoader::LoadFile(const std::string& path, const std::string& cited) {
  const std::string canonical = Canonical(path);
  if (std::find(open_.begin(), open_.end(), canonical) != open_.end()) {
    errors_.push_back(
        absl::StrCat(cited, path, " includes itself: ", absl::StrJoin(open_, " -> "), " -> ", canonical));
    return;
  }
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    errors_.push_back(absl::StrCat(cited, std::string(text.status().message())));
    return;
  }
  open_.push_back(canonical);
  ReadDocument(*text, path);
  open_.pop_back();
}

void ConfigLoader::LoadText(const std::string& text, const std::string& name) {
  open_.push_back(Canonical(name));
  ReadDocument(text, name);
  open_.pop_back();
}

void ConfigLoader::ReadDocument(const std::string& text, const std::string& name) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty() || documents[0].IsNull()) return;
    if (documents.size() > 1) {
      return Fail(name, absl::StrCat("holds ", documents.size(),
                                     " documents (parted by '---'); only one is allowed"));
    }
    const YAML::Node& top = documents[0];
    if (!top.IsMap()) {
      return Fail(Place(name, top.Mark()), "a configuration is a map of sections, as 'model: {layers: 4}'");
    }
    // Included values first: this file's own then replace them.
    ReadIncludes(top, name);
    ReadSection(top, "", name);
  } catch (const YAML::Exception& error) {
    Fail(Place(name, error.mark), absl::StrCat("is not valid YAML: ", error.msg));
  }
}

void ConfigLoader::ReadIncludes(const YAML::Node& top, const std::string& name) {
  for (const auto& entry : top) {
    if (!entry.first.IsScalar() || entry.first.Scalar() != kInclude) continue;
    if (entry.second.IsSequence()) {
      for (const YAML::Node& path : entry.second) ReadInclude(path, name);
    } else {
      ReadInclude(entry.second, name);
    }
  }
}

void ConfigLoader::ReadInclude(const YAML::Node& path, const std::string& name) {
  const std::string place = Place(name, path.Mark());
  if (!path.IsScalar() || path.Scalar().empty()) {
    return Fail(place, "include: must be a file or a list of files, as [models/gpt2-124m.yaml]");
  }
  const fs::path target(path.Scalar());
  const fs::path file = target.is_absolute() ? target : fs::path(name).parent_path() / target;
  LoadFile(file.lexically_normal().string(), absl::StrCat(place, ": include: "));
}

void ConfigLoader::ReadSection(const YAML::Node& map, const std::string& section, const std::string& name) {
  std::map<std::string, int> lines;  // of the keys so far: yaml-cpp keeps duplicates without a word
  for (const auto& entry : map) {
    const std::string place = Place(name, entry.first.Mark());
    if (!entry.first.IsScalar()) {
      Fail(place, absl::StrCat("a key of ", section.empty() ? "the file" : section, " is not a word"));
      continue;
    }
    const std::string key = Join(section, entry.first.Scalar());
    const auto [first, fresh] = lines.emplace(key, entry.first.Mark().line + 1);
    if (!fresh) {
      Fail(place, absl::StrCat("duplicate key '", key, "'; it is also on line ", first->second));
      continue;
    }
    if (key == kInclude) continue;
    // A dotted key inside a file would be a second way to write the same, hidden from the check for
    // duplicates.
    const bool dotted = entry.first.Scalar().find('.') != std::string::npos;
    const Field* field = dotted ? nullptr : fields_.Find(key);
    if (field != nullptr) {
      Assign(*field, entry.second, place);
    } else if (dotted || !fields_.IsSection(key)) {
      Fail(place, UnknownKey(key));
    } else if (entry.second.IsMap()) {
      ReadSection(entry.second, key, name);
    } else if (const Field* word = WordOf(key); word != nullptr && entry.second.IsScalar()) {
      AssignWord(*word, entry.second, place);
    } else if (!entry.second.IsNull()) {
      Fail(place, absl::StrCat(key, " is a section: a map of keys, not ",
                               entry.second.IsSequence() ? "a list" : "'" + entry.second.Scalar() + "'"));
    }
  }
}

void ConfigLoader::Assign(const Field& field, const YAML::Node& node, const std::string& origin) {
  if (IsList(field.kind())) return AssignList(field, node, origin);
  if (node.IsNull()) {
    const bool text = field.kind() == FieldKind::kText;
    return Fail(origin,
                absl::StrCat(field.key(), ": has no value; ", text ? "write \"\" for an empty text, or " : "",
                             "leave the key out for its default"));
  }
  if (!node.IsScalar()) {
    const std::string what = field.kind() == FieldKind::kChoice
                                 ? absl::StrCat("one of ", JoinWords(field.allowed()))
                                 : KindName(field.kind());
    return Fail(origin,
                absl::StrCat(field.key(), ": is a ", node.IsMap() ? "map" : "list", "; it must be ", what));
  }
  auto value = ReadScalar(field, ScalarOf(node));
  if (const std::string* wrong = std::get_if<std::string>(&value)) {
    return Fail(origin, absl::StrCat(field.key(), ": ", *wrong));
  }
  field.Set(std::get<FieldValue>(value));
  origins_[field.key()] = origin;
}

void ConfigLoader::AssignWord(const Field& word, const YAML::Node& node, const std::string& origin) {
  const std::string section = SectionOf(word.key()) + ".";
  for (const auto& field : fields_.all()) {
    if (!absl::StartsWith(field->key(), section)) continue;
    field->Set(defaults_.at(field->key()));
    origins_.erase(field->key());
  }
  Assign(word, node, origin);
}

void ConfigLoader::AssignList(const Field& field, const YAML::Node& node, const std::string& origin) {
  if (!node.IsSequence()) {
    const std::string shown = node.IsScalar() ? absl::StrCat("'", node.Scalar(), "'")
                              : node.IsMap()  ? "a map"
                                              : "nothing";
    return Fail(origin,
                absl::StrCat(field.key(), ": ", shown, " is not a ", KindName(field.kind()), ", as [a, b]"));
  }
  std::vector<FieldValue> elements;
  bool whole = true;
  for (size_t i = 0; i < node.size(); ++i) {
    std::variant<FieldValue, std::string> value = std::string("is not a single value");
    if (node[i].IsScalar()) value = ReadScalar(field, ScalarOf(node[i]));
    if (const std::string* wrong = std::get_if<std::string>(&value)) {
      Fail(origin, absl::StrCat(field.key(), "[", i, "]: ", *wrong));
      whole = false;
    } else {
      elements.push_back(std::get<FieldValue>(value));
    }
  }
  if (!whole) return;
  if (field.count() && *field.count() != elements.size()) {
    return Fail(origin, absl::StrCat(field.key(), ": has ", elements.size(), " elements; it must have ",
                                     *field.count()));
  }
  if (field.kind() == FieldKind::kIntegers) field.Set(Gather<int64_t>(elements));
  if (field.kind() == FieldKind::kReals) field.Set(Gather<double>(elements));
  if (field.kind() == FieldKind::kTexts) field.Set(Gather<std::string>(elements));
  origins_[field.key()] = origin;
}

void ConfigLoader::ApplyOverride(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Fail(kCommandLine, absl::StrCat("'", text, "' is not of the form key=value"));
  }
  const std::string key = text.substr(0, equals);
  std::string value = text.substr(equals + 1);
  const Field* field = fields_.Find(key);
  if (const Field* word = WordOf(key); word != nullptr) {
    return AssignWord(*word, YAML::Node(value), kCommandLine);
  }
  if (field == nullptr) {
    const bool section = !key.empty() && fields_.IsSection(key);
    return Fail(kCommandLine,
                section ? absl::StrCat(key, " is a section; set one of its keys, as ", key, ".KEY=VALUE")
                        : UnknownKey(key));
  }
  const bool list = IsList(field->kind());
  const bool between_quotes = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  // A scalar is taken as it stands ("ROMEO:" would be a map in YAML), unless the user quotes it as YAML does.
  if (!list && !between_quotes) return Assign(*field, YAML::Node(value), kCommandLine);
  if (list && (value.empty() || value.front() != '[')) value = absl::StrCat("[", value, "]");
  try {
    Assign(*field, YAML::Load(value), kCommandLine);
  } catch (const YAML::Exception& error) {
    Fail(kCommandLine, absl::StrCat(key, ": '", value, "' is not valid YAML: ", error.msg));
  }
}

void ConfigLoader::CheckRequired(const std::string& name) {
  for (const auto& field : fields_.all()) {
    if (field->required() && origins_.count(field->key()) == 0) {
      Fail(name, absl::StrCat(field->key(), " is missing. ", field->doc()));
    }
  }
}

// Where the mistake is most likely: another key of the same section, the same name in another section, any
// key.
std::string ConfigLoader::UnknownKey(const std::string& key) const {
  std::vector<std::string> siblings, all;
  std::optional<std::string> meant;
  const std::string section = SectionOf(key);
  const auto consider = [&](const std::string& known) {
    all.push_back(known);
    if (SectionOf(known) == section) siblings.push_back(NameOf(known));
    if (!meant && NameOf(known) == NameOf(key)) meant = known;
  };
  for (const auto& known : fields_.all()) consider(known->key());
  for (const SectionDescription& known : fields_.sections()) {
    if (!known.key.empty()) consider(known.key);
  }
  if (section.empty()) siblings.push_back(kInclude);
  const std::string unknown = absl::StrCat("unknown key '", key, "'; ");
  if (const auto sibling = ClosestMatch(NameOf(key), siblings)) {
    meant = Join(section, *sibling);
  } else if (!meant) {
    meant = ClosestMatch(key, all);
  }
  if (meant == key)
    return absl::StrCat(unknown, "sections are nested: write ", section, ": {", NameOf(key), ": ...}");
  if (meant) return absl::StrCat(unknown, "did you mean ", *meant, "?");
  return absl::StrCat(unknown, section.empty() ? "the top" : section, " has: ", JoinWords(siblings));
}

}  // namespace orthant
