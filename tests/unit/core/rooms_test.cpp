// The house rules that a compiler does not check: which room may include which, and how long a file may be.
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace orthant::testing {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

constexpr int kLongestFile = 400;

// What each room may include beside itself, `core` and `config`; a room's own rooms are included in turn
// (docs/architecture.md has the same table). Bottom to top: a room names rooms above its line only.
const std::vector<std::pair<std::string, Names>>& RoomTable() {
  static const std::vector<std::pair<std::string, Names>> table = {
      {"core", {}},
      {"config", {}},
      {"mesh", {}},
      {"memory", {}},
      {"device", {}},
      {"comm", {}},
      {"nn", {"memory", "device"}},
      {"tensor_parallel", {"comm", "mesh", "nn"}},
      {"sequence_parallel", {"comm", "mesh", "nn"}},
      {"pipeline_parallel", {"comm", "mesh"}},
      {"data_parallel", {"comm", "mesh", "nn"}},
      {"model", {"tensor_parallel", "sequence_parallel", "pipeline_parallel", "data_parallel"}},
      {"optim", {"data_parallel"}},
      {"data", {"mesh"}},
      {"checkpoint", {"data_parallel", "model"}},
      {"train", {"model", "optim", "data", "checkpoint"}},
      {"bench", {"train"}},
      {"launch", {}},
      {"plan", {"mesh", "pipeline_parallel", "launch"}},
      {"doctor", {"comm", "device", "mesh", "launch"}},
      {"sweep", {}},
      {"report", {"mesh", "pipeline_parallel", "sweep"}},
      {"cli", {"train", "bench", "plan", "launch", "doctor", "sweep", "report"}},
  };
  return table;
}

std::map<std::string, Names> AllowedIncludes() {
  std::map<std::string, Names> allowed;
  for (const auto& [room, direct] : RoomTable()) {
    Names& mine = allowed[room];
    mine = direct;
    mine.insert(room);
    mine.insert("core");
    if (room != "core") mine.insert("config");
    for (const std::string& below : direct) mine.insert(allowed.at(below).begin(), allowed.at(below).end());
  }
  return allowed;
}

std::vector<fs::path> SourceFiles(const std::vector<std::string>& folders) {
  std::vector<fs::path> files;
  for (const std::string& folder : folders) {
    const fs::path top = fs::path(ORTHANT_SOURCE_DIR) / folder;
    if (!fs::exists(top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(top)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".cpp" || extension == ".cu") files.push_back(entry.path());
    }
  }
  return files;
}

// The room that a file under src/ or include/orthant/ belongs to; "" for src/main.cpp.
std::string RoomOf(const fs::path& file) {
  const fs::path below_src = fs::relative(file, fs::path(ORTHANT_SOURCE_DIR) / "src");
  const bool in_src = *below_src.begin() != "..";
  const fs::path path =
      in_src ? below_src : fs::relative(file, fs::path(ORTHANT_SOURCE_DIR) / "include/orthant");
  return path.has_parent_path() ? path.begin()->string() : "";
}

TEST(Rooms, IncludeOnlyWhatTheTableAllows) {
  const std::map<std::string, Names> allowed = AllowedIncludes();
  const std::regex include(R"(^\s*#\s*include\s*[<"](?:orthant/)?([a-z_]+)/)");
  int seen = 0;
  for (const fs::path& file : SourceFiles({"src", "include"})) {
    const std::string room = RoomOf(file);
    ASSERT_TRUE(room.empty() || allowed.count(room) == 1)
        << file << ": the room " << room << " is not in the table";
    std::ifstream in(file);
    int number = 0;
    for (std::string line; std::getline(in, line);) {
      ++number;
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      const std::string included = match[1];
      if (allowed.count(included) == 0) continue;  // another library's header
      ++seen;
      EXPECT_TRUE(room.empty() || allowed.at(room).count(included) == 1)
          << file.string() << ":" << number << ": room " << room << " may not include room " << included;
    }
  }
  EXPECT_GT(seen, 20) << "the sources were not found under " << ORTHANT_SOURCE_DIR;
}

TEST(Rooms, SpdlogStaysInCore) {
  for (const fs::path& file : SourceFiles({"src", "include"})) {
    if (RoomOf(file) == "core" && file.extension() == ".cpp") continue;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
      EXPECT_EQ(line.find("#include <spdlog"), std::string::npos) << file;
      EXPECT_EQ(line.find("#include \"spdlog"), std::string::npos) << file;
    }
  }
}

TEST(Rooms, NoFileIsLong) {
  for (const fs::path& file : SourceFiles({"src", "include", "tests", "examples"})) {
    std::ifstream in(file);
    int lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    EXPECT_LE(lines, kLongestFile) << file;
  }
}

TEST(Rooms, HeadersSayWhatTheyAreFor) {
  for (const fs::path& file : SourceFiles({"include"})) {
    std::ifstream in(file);
    std::string first;
    std::getline(in, first);
    EXPECT_EQ(first.substr(0, 3), "// ") << file << ": opens with what it is for";
  }
}

}  // namespace
}  // namespace orthant::testing
