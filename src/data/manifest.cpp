#include "orthant/data/manifest.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/file.h"
#include "orthant/core/hash.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr char kFormat[] = "orthant-tokens";
constexpr int64_t kVersion = 1;

nlohmann::json TokensJson(const char* file, const Manifest::Tokens& tokens) {
  nlohmann::json json = {{"file", file}, {"tokens", tokens.tokens}};
  if (!tokens.xxh64.empty()) json["xxh64"] = tokens.xxh64;
  return json;
}

// Reads the fields of one data.json; remembers the first thing wrong.
class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  int64_t Integer(const nlohmann::json& json, const char* key, int64_t lowest) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (!json.is_object() || found == json.end() || !found->is_number_integer() || *found < lowest) {
      Fail(absl::StrCat("\"", key, "\" must be a whole number of at least ", lowest));
      return lowest;
    }
    return found->get<int64_t>();
  }
  std::string Text(const nlohmann::json& json, const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (!json.is_object() || found == json.end()) return "";
    if (found->is_string()) return found->get<std::string>();
    Fail(absl::StrCat("\"", key, "\" must be a text"));
    return "";
  }
  // False where it is absent.
  bool Flag(const nlohmann::json& json, const char* key) {
    const auto found = json.find(key);
    if (found == json.end()) return false;
    if (!found->is_boolean()) Fail(absl::StrCat("\"", key, "\" must be true or false"));
    return found->is_boolean() && found->get<bool>();
  }
  Manifest::Tokens Tokens(const nlohmann::json& json, const char* key) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_object()) {
      Fail(absl::StrCat("\"", key, "\" must be an object with \"tokens\""));
      return {};
    }
    return {Integer(*found, "tokens", 1), Text(*found, "xxh64")};
  }
  void Fail(const std::string& rule) {
    if (status_.ok()) {
      status_ = DataError(absl::StrCat(path_, ": ", rule,
                                       " (format: docs/data.md); prepare the folder again with "
                                       "`orthant data prepare ... --force`"));
    }
  }
  const absl::Status& status() const { return status_; }

 private:
  std::string path_;
  absl::Status status_;
};

absl::Status CheckFormat(const nlohmann::json& json, const std::string& path) {
  const auto format = json.is_object() ? json.find("format") : json.end();
  if (!json.is_object() || format == json.end() || *format != kFormat) {
    return DataError(absl::StrCat(path, " was not written by Orthant: \"format\" must be \"", kFormat,
                                  "\"; name a folder that `orthant data prepare` wrote"));
  }
  const auto version = json.find("version");
  if (version != json.end() && version->is_number_integer() && *version == kVersion) return absl::OkStatus();
  return DataError(absl::StrCat(path, ": \"version\" is ",
                                version == json.end() ? "missing" : version->dump(),
                                ", and this Orthant reads version ", kVersion,
                                "; prepare the folder again with `orthant data prepare ... --force`"));
}

absl::StatusOr<Manifest> FromJson(const nlohmann::json& json, const std::string& path) {
  if (absl::Status status = CheckFormat(json, path); !status.ok()) return status;
  Reader read(path);
  Manifest manifest;
  manifest.orthant = read.Text(json, "orthant");
  manifest.corpus = read.Text(json, "corpus");
  manifest.vocabulary_size = read.Integer(json, "vocabulary_size", 1);
  const std::string dtype = read.Text(json, "dtype");
  if (dtype != "uint16" && dtype != "uint32") read.Fail("\"dtype\" must be \"uint16\" or \"uint32\"");
  manifest.type = dtype == "uint32" ? TokenType::kUint32 : TokenType::kUint16;
  manifest.train = read.Tokens(json, "train");
  manifest.validation = read.Tokens(json, "val");
  if (json.contains("text_units")) manifest.text_units = read.Integer(json, "text_units", 0);
  manifest.preparing = read.Flag(json, "preparing");
  if (const auto sources = json.find("sources"); sources != json.end() && sources->is_array()) {
    for (const nlohmann::json& source : *sources) {
      manifest.sources.push_back(
          {read.Text(source, "name"), read.Integer(source, "bytes", 0), read.Text(source, "xxh64")});
    }
  }
  if (const auto tokenizer = json.find("tokenizer"); tokenizer != json.end() && !tokenizer->is_null()) {
    absl::StatusOr<std::shared_ptr<const Tokenizer>> made = TokenizerFromJson(*tokenizer);
    if (!made.ok()) {
      read.Fail(std::string(made.status().message()));
    } else if ((*made)->vocabulary_size() != manifest.vocabulary_size) {
      read.Fail(absl::StrCat("the tokenizer has ", (*made)->vocabulary_size(),
                             " entries and \"vocabulary_size\" is ", manifest.vocabulary_size));
    } else {
      manifest.tokenizer = *std::move(made);
    }
  }
  if (!read.status().ok()) return read.status();
  return manifest;
}

}  // namespace

nlohmann::json ToJson(const Manifest& manifest) {
  nlohmann::json json = {{"format", kFormat},
                         {"version", kVersion},
                         {"orthant", manifest.orthant},
                         {"vocabulary_size", manifest.vocabulary_size},
                         {"dtype", TokenTypeName(manifest.type)},
                         {"text_units", manifest.text_units},
                         {"train", TokensJson(kTrainFile, manifest.train)},
                         {"val", TokensJson(kValidationFile, manifest.validation)}};
  if (manifest.preparing) json["preparing"] = true;
  if (!manifest.corpus.empty()) json["corpus"] = manifest.corpus;
  if (manifest.tokenizer != nullptr) json["tokenizer"] = manifest.tokenizer->ToJson();
  json["sources"] = nlohmann::json::array();
  for (const Manifest::Source& source : manifest.sources) {
    json["sources"].push_back({{"name", source.name}, {"bytes", source.bytes}, {"xxh64", source.xxh64}});
  }
  return json;
}

absl::StatusOr<Manifest> ReadManifest(const std::string& folder) {
  if (!IsFolder(folder)) {
    return DataError(absl::StrCat("the data folder ", folder,
                                  " does not exist; make it with `orthant data prepare "
                                  "--input TEXT --output ",
                                  folder, "`"));
  }
  const std::string path = PathIn(folder, kManifestFile);
  if (!FileExists(path)) {
    const std::string what = FileExists(PathIn(folder, kTrainFile))
                                 ? "train.bin stands there without it, and its vocabulary is not known: "
                                   "write data.json by hand (docs/data.md), or "
                                 : "the folder holds no prepared tokens: ";
    return DataError(absl::StrCat(path, " is missing; ", what,
                                  "run `orthant data prepare --input TEXT --output ", folder, "`"));
  }
  absl::StatusOr<nlohmann::json> json = ReadJsonFile(path);
  if (!json.ok()) {
    return DataError(absl::StrCat(json.status().message(),
                                  "; prepare the folder again with `orthant data prepare ... --force`"));
  }
  return FromJson(*json, path);
}

std::string PathIn(const std::string& folder, const std::string& file) {
  return (std::filesystem::path(folder) / file).string();
}

std::string ChecksumText(std::span<const std::byte> bytes) {
  return absl::StrFormat("%016x", Xxh64(bytes));
}

}  // namespace orthant
