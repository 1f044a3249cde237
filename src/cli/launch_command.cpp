#include "cli/launch_command.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "orthant/launch/batch_script.h"
#include "orthant/train/validate.h"

namespace orthant {
namespace {

std::string BaseName(const std::string& word) {
  return std::filesystem::path(word).filename().string();
}

bool IsNumber(const std::string& word) {
  int64_t number = 0;
  return absl::SimpleAtoi(word, &number) && number > 0;
}

// Options of `train` that are followed by a word of their own.
bool TakesAWord(const std::string& option) {
  return option == "--format" || option == "--cluster";
}

RunFileOptions RunBehind(const std::vector<std::string>& command, size_t word) {
  RunFileOptions run;
  for (size_t i = word + 1; i < command.size(); ++i) {
    if (absl::StartsWith(command[i], "-")) {
      if (TakesAWord(command[i])) ++i;
    } else if (run.path.empty()) {
      run.path = command[i];
    } else {
      run.overrides.push_back(command[i]);
    }
  }
  return run;
}

// The word of the last rank launcher before `end`; `end` when there is none.
size_t RankLauncher(const std::vector<std::string>& command, size_t end) {
  for (size_t i = end; i-- > 0;) {
    if (IsRankLauncher(command[i])) return i;
  }
  return end;
}

}  // namespace

bool IsMpirun(const std::string& word) {
  const std::string name = BaseName(word);
  return absl::StartsWith(name, "mpirun") || absl::StartsWith(name, "mpiexec") || name == "orterun" ||
         name == "prterun";
}

bool IsRankLauncher(const std::string& word) {
  return IsMpirun(word) || BaseName(word) == "srun";
}

std::optional<TrainCommand> FindTrain(const std::vector<std::string>& command, const std::string& self) {
  for (size_t i = 1; i < command.size(); ++i) {
    if (command[i] != "train") continue;
    const std::string& program = command[i - 1];
    if (program != self && !absl::StartsWith(BaseName(program), "orthant")) continue;
    TrainCommand train{i, RunBehind(command, i)};
    if (!train.run.path.empty()) return train;
  }
  return std::nullopt;
}

std::vector<std::string> WithRanks(std::vector<std::string> command, size_t end, int64_t ranks) {
  const size_t launcher = RankLauncher(command, end);
  if (launcher == end) return command;
  const std::string number = absl::StrCat(ranks);
  for (size_t i = launcher + 1; i < end; ++i) {
    const std::string& word = command[i];
    const bool option =
        word == "-n" || word == "-np" || word == "--n" || word == "--np" || word == "--ntasks";
    if (option && i + 1 < end && IsNumber(command[i + 1])) {
      command[i + 1] = number;
      return command;
    }
    for (const char* prefix : {"--ntasks=", "-n"}) {
      const std::string start = prefix;
      if (!absl::StartsWith(word, start) || !IsNumber(word.substr(start.size()))) continue;
      command[i] = start + number;
      return command;
    }
  }
  const auto behind = command.begin() + static_cast<std::ptrdiff_t>(launcher) + 1;
  command.insert(behind, {"-n", number});
  return command;
}

std::optional<SmallerCommand> Shrink(const std::vector<std::string>& command, const std::string& self) {
  const std::optional<TrainCommand> train = FindTrain(command, self);
  if (!train.has_value()) return std::nullopt;
  RunConfig config;
  if (!LoadRun(train->run, &config).ok()) return std::nullopt;
  SmallerCommand smaller;
  smaller.data_before = config.parallel.data;
  smaller.ranks_before = config.parallel.degrees().world();
  smaller.global_batch = config.train.global_batch;
  for (--config.parallel.data; config.parallel.data >= 1; --config.parallel.data) {
    if (!ValidateRun(config, nullptr).ok()) continue;
    smaller.data = config.parallel.data;
    smaller.ranks = config.parallel.degrees().world();
    smaller.command = WithRanks(command, train->word, smaller.ranks);
    smaller.command.push_back(
        absl::StrCat("parallel.data=", smaller.data));  // the last word for a key counts
    return smaller;
  }
  return std::nullopt;
}

std::string CommandText(const std::vector<std::string>& command) {
  return ShellLine(command);
}

}  // namespace orthant
