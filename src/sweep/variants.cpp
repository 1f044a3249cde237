#include "sweep/variants.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

constexpr size_t kMostVariants = 100000;

// Letters, digits, '.', '-', '_' of a text: what a folder may be called everywhere.
std::string FileName(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
    if (plain || (!name.empty() && name.back() != '_')) name += plain ? c : '_';
  }
  while (!name.empty() && name.back() == '_') name.pop_back();
  return name;
}

// One dimension of the grid: a key and the texts that it may be.
struct GridKey {
  std::string key;
  std::vector<std::string> values;
};

class PartsReader {
 public:
  PartsReader(const std::string& path, const Fields& run_fields, std::vector<std::string>* errors)
      : path_(path), fields_(run_fields), errors_(errors) {}

  std::vector<SweepVariant> Read(const YAML::Node& list, const YAML::Node& grid) {
    std::vector<SweepVariant> variants;
    if (list.IsDefined()) variants = ReadList(list);
    const std::vector<GridKey> keys = grid.IsDefined() ? ReadGrid(grid) : std::vector<GridKey>();
    if (variants.empty()) variants.push_back({});
    for (const GridKey& key : keys) variants = Multiply(variants, key, grid);
    for (SweepVariant& variant : variants) {
      if (variant.name.empty()) variant.name = "as-written";
    }
    CheckNames(variants, grid.IsDefined() ? grid : list);
    return variants;
  }

  void Complain(const YAML::Node& node, const std::string& text) {
    errors_->push_back(absl::StrCat(path_, ":", node.Mark().line + 1, ": ", text));
  }

 private:
  std::vector<SweepVariant> ReadList(const YAML::Node& list) {
    std::vector<SweepVariant> variants;
    if (!list.IsSequence() || list.size() == 0) {
      Complain(list, "list: must be a list of variants, as - {name: tensor, parallel.tensor: 2}");
      return variants;
    }
    std::set<std::string> names;
    for (const YAML::Node& item : list) {
      if (!item.IsMap()) {
        Complain(item, "list: each variant is a map: name and keys of the run");
        continue;
      }
      SweepVariant variant = ReadItem(item);
      if (variant.name.empty()) {
        Complain(item, "list: a variant without a name; give it, as name: tensor");
      } else if (!names.insert(variant.name).second) {
        Complain(item,
                 absl::StrCat("list: name = ", variant.name, ": there is another variant of this name"));
      }
      variants.push_back(std::move(variant));
    }
    return variants;
  }

  // Each variant has its folder, and files beside it: no two may share one.
  void CheckNames(const std::vector<SweepVariant>& variants, const YAML::Node& at) {
    if (!errors_->empty()) return;
    std::map<std::string, const SweepVariant*> taken;
    for (const SweepVariant& variant : variants) {
      const auto [other, is_new] = taken.emplace(variant.name, &variant);
      if (!is_new)
        Complain(at, absl::StrCat("the variants ", absl::StrJoin(other->second->overrides, " "), " and ",
                                  absl::StrJoin(variant.overrides, " "), " would share the folder ",
                                  variant.name, "; give them names of their own in list"));
    }
    for (const SweepVariant& variant : variants) {
      for (const char* end : {".log", ".batch"}) {
        if (taken.count(variant.name + end) == 1)
          Complain(at, absl::StrCat("the variant ", variant.name, end, " is called as a file of the variant ",
                                    variant.name, "; give it another name"));
      }
    }
  }

  SweepVariant ReadItem(const YAML::Node& item) {
    SweepVariant variant;
    for (const auto& entry : item) {
      const std::string key = entry.first.Scalar();
      if (key == "name" && entry.second.IsScalar()) {
        variant.name = entry.second.Scalar();
        if (variant.name.empty() || variant.name != FileName(variant.name) || variant.name[0] == '.')
          Complain(entry.second, absl::StrCat("name = ", variant.name,
                                              ": it names a folder: letters, digits, '.', '-', '_'"));
      } else if (key == "fill" && entry.second.IsScalar()) {
        variant.fill = entry.second.Scalar();
        const std::vector<std::string> axes = {"data", "tensor", "pipeline", "sequence"};
        if (std::find(axes.begin(), axes.end(), variant.fill) == axes.end())
          Complain(entry.second, absl::StrCat("fill = ", variant.fill, ": must be one of ", JoinWords(axes)));
      } else {
        AddOverrides(key, entry.first, entry.second, &variant.overrides);
      }
    }
    return variant;
  }

  // A key, or a section with keys below.
  void AddOverrides(const std::string& key, const YAML::Node& at, const YAML::Node& value,
                    std::vector<std::string>* overrides) {
    if (value.IsMap()) {
      for (const auto& entry : value)
        AddOverrides(absl::StrCat(key, ".", entry.first.Scalar()), entry.first, entry.second, overrides);
      return;
    }
    if (!Known(key, at)) return;
    for (const std::string& text : *overrides) {
      if (absl::StartsWith(text, key + "=")) return Complain(at, absl::StrCat(key, ": is set twice"));
    }
    if (!value.IsDefined() || value.IsNull()) return Complain(at, absl::StrCat(key, ": has no value"));
    overrides->push_back(absl::StrCat(key, "=", TextOf(value)));
  }

  bool Known(const std::string& key, const YAML::Node& at) {
    if (key == "run.dir" || key == "run.name") {
      Complain(at, absl::StrCat(key, ": the sweep itself gives each case its name and folder"));
      return false;
    }
    if (fields_.Find(key) != nullptr) return true;
    std::vector<std::string> known = {"name", "fill"};
    for (const auto& field : fields_.all()) known.push_back(field->key());
    const std::optional<std::string> match = ClosestMatch(key, known);
    Complain(at, absl::StrCat(key, ": a run has no such key",
                              match ? absl::StrCat("; did you mean ", *match, "?") : ""));
    return false;
  }

  static std::string TextOf(const YAML::Node& value) {
    if (!value.IsSequence()) return value.Scalar();
    std::vector<std::string> parts;
    for (const YAML::Node& part : value) parts.push_back(TextOf(part));
    return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
  }

  std::vector<GridKey> ReadGrid(const YAML::Node& grid) {
    std::vector<GridKey> keys;
    if (!grid.IsMap() || grid.size() == 0) {
      Complain(grid, "grid: must be a map of keys to lists, as parallel.tensor: [1, 2]");
      return keys;
    }
    for (const auto& entry : grid) ReadGridKey(entry.first.Scalar(), entry.first, entry.second, &keys);
    return keys;
  }

  void ReadGridKey(const std::string& key, const YAML::Node& at, const YAML::Node& value,
                   std::vector<GridKey>* keys) {
    if (value.IsMap()) {
      for (const auto& entry : value)
        ReadGridKey(absl::StrCat(key, ".", entry.first.Scalar()), entry.first, entry.second, keys);
      return;
    }
    if (!Known(key, at)) return;
    if (!value.IsSequence() || value.size() == 0)
      return Complain(at, absl::StrCat(key, ": must be a list of the values to try, as [1, 2]"));
    GridKey one{key, {}};
    for (const YAML::Node& each : value) {
      const std::string text = TextOf(each);
      if (std::find(one.values.begin(), one.values.end(), text) != one.values.end())
        Complain(each, absl::StrCat(key, " = ", text, ": stands there twice"));
      one.values.push_back(text);
    }
    keys->push_back(std::move(one));
  }

  std::vector<SweepVariant> Multiply(const std::vector<SweepVariant>& variants, const GridKey& key,
                                     const YAML::Node& grid) {
    std::vector<SweepVariant> all;
    if (variants.size() * key.values.size() > kMostVariants) {
      Complain(grid, absl::StrCat("grid: more than ", kMostVariants, " variants"));
      return variants;
    }
    for (const SweepVariant& variant : variants) {
      for (const std::string& value : key.values) {
        SweepVariant one = variant;
        for (const std::string& text : variant.overrides) {
          if (absl::StartsWith(text, key.key + "="))
            Complain(grid,
                     absl::StrCat(key.key, ": is set by the variant ", variant.name, " and by the grid"));
        }
        one.overrides.push_back(absl::StrCat(key.key, "=", value));
        const std::string part = absl::StrCat(NameOf(key.key), "-", FileName(value));
        one.name = one.name.empty() ? part : absl::StrCat(one.name, "_", part);
        all.push_back(std::move(one));
      }
    }
    return all;
  }

  const std::string& path_;
  const Fields& fields_;
  std::vector<std::string>* errors_;
};

// Blanks the lines of the top-level keys `names`.
std::string WithoutKeys(const std::string& text, const YAML::Node& top, const std::set<std::string>& names) {
  std::map<int, bool> begins;  // line of each top-level key -> whether it is to go
  for (const auto& entry : top) begins[entry.first.Mark().line] = names.count(entry.first.Scalar()) == 1;
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  bool out = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto begin = begins.find(static_cast<int>(i));
    if (begin != begins.end()) out = begin->second;
    if (out) lines[i].clear();
  }
  return absl::StrJoin(lines, "\n");
}

}  // namespace

SweepParts ReadSweepParts(const std::string& text, const std::string& path, const Fields& run_fields,
                          std::vector<std::string>* errors) {
  SweepParts parts;
  YAML::Node top;
  try {
    top = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    errors->push_back(
        absl::StrCat(path, ":", error.mark.line + 1, ": this is no YAML, or it is cut short: ", error.msg));
    return parts;
  }
  PartsReader reader(path, run_fields, errors);
  if (!top.IsMap()) {
    errors->push_back(absl::StrCat(path, ":1: a sweep's file is a map: sweep, and list, grid or both"));
    return parts;
  }
  const std::vector<std::string> known = {"sweep", "list", "grid"};
  std::set<std::string> seen;
  for (const auto& entry : top) {
    const std::string key = entry.first.Scalar();
    if (!seen.insert(key).second) reader.Complain(entry.first, absl::StrCat(key, ": stands there twice"));
    if (entry.first.Mark().column != 0)
      reader.Complain(entry.first, absl::StrCat(key, ": top-level keys begin their lines"));
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::optional<std::string> match = ClosestMatch(key, known);
    reader.Complain(entry.first, absl::StrCat(key, ": a sweep has the keys ", JoinWords(known),
                                              match ? absl::StrCat("; did you mean ", *match, "?") : ""));
  }
  if (seen.count("sweep") == 0)
    errors->push_back(absl::StrCat(path, ": there is no section sweep, which names the run"));
  if (!errors->empty()) return parts;
  parts.variants = reader.Read(top["list"], top["grid"]);
  parts.rest = WithoutKeys(text, top, {"list", "grid"});
  return parts;
}

}  // namespace orthant
