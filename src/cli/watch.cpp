// orthant watch RUN_DIR
#include "orthant/report/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"
#include "orthant/report/run_data.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant watch runs/demo              the curve of the loss, drawn again as the run goes on
  orthant watch runs/demo | cat        once, as plain text

Ends when the run is done, or with Ctrl-C; after a failure or a stop it waits for the run's next start.)";

constexpr int kMostWidth = 120, kMostPlotHeight = 16;
constexpr int kOtherLines = 8;  // of a picture, beside the plot, and of the shell

struct Options {
  std::string run_dir;
  double every = 1.0;      // seconds
  double patience = 30.0;  // seconds
};

// What the picture needs of config.yaml; looked at again until it is there.
struct Named {
  std::string name;
  int64_t total = 0;
};
Named NameOf(const std::string& folder) {
  RunData run;
  run.folder = folder;
  std::vector<std::string> ignored;
  const std::string path = folder + "/config.yaml";
  if (const absl::StatusOr<std::string> text = ReadFile(path); text.ok())
    run.config = ParseConfig(*text, path, &ignored);
  const std::string name = run.Value("run.name");
  return {name.empty() ? folder : name, run.Integer("train.steps", 0)};
}

// Draws a picture in the place of the one before.
class Screen {
 public:
  void Draw(const std::string& frame) {
    if (lines_ > 0) std::cout << "\033[" << lines_ << "A\033[J";
    std::cout << frame << std::flush;
    lines_ = std::count(frame.begin(), frame.end(), '\n');
  }

 private:
  int64_t lines_ = 0;
};

std::string Frame(const std::string& folder, const RunStatus& status, const MetricsFollower& metrics) {
  const Named named = NameOf(folder);
  const int width = std::min(TerminalWidth(STDOUT_FILENO) - 1, kMostWidth);
  const int lines = TerminalHeight(STDOUT_FILENO);
  // Lines that wrap would spoil the redrawing, and so would those above the terminal's first.
  std::string frame = WatchFrame(named.name, status, metrics, named.total, width,
                                 std::min(kMostPlotHeight, lines - kOtherLines), CanDrawBoxes(STDOUT_FILENO)),
              cut;
  if (!IsTerminal(STDOUT_FILENO)) return frame;
  int line_count = 0;
  for (size_t at = 0; at < frame.size() && ++line_count < lines;) {
    const size_t end = frame.find('\n', at);
    std::string line = frame.substr(at, end - at);
    while (DisplayWidth(line) > width) line.pop_back();
    absl::StrAppend(&cut, line, "\n");
    at = end + 1;
  }
  return cut;
}

absl::Status Watch(const Options& options) {
  const std::string& folder = options.run_dir;
  if (!IsFolder(folder))
    return DataError(absl::StrCat(folder, " is not a folder; name a run's folder, as runs/shakespeare"));
  if (!FileExists(folder + "/config.yaml") && !FileExists(folder + "/metrics.jsonl"))
    return DataError(
        absl::StrCat(folder, " holds neither config.yaml nor metrics.jsonl, so it is no run's folder"));
  MetricsFollower metrics(folder + "/metrics.jsonl");
  const bool live = IsTerminal(STDOUT_FILENO);
  Screen screen;
  std::string shown;
  std::chrono::steady_clock::time_point alive_at{};  // a run that is over already is shown once
  while (true) {
    metrics.Poll();
    const RunStatus status = StatusOfRun(folder);
    if (const std::string frame = Frame(folder, status, metrics); frame != shown) {
      screen.Draw(frame);
      shown = frame;
    }
    const auto now = std::chrono::steady_clock::now();
    const bool over = status.state == RunState::kEnded || status.state == RunState::kBroken;
    if (!over) alive_at = now;
    if (!live || status.complete ||
        (over && std::chrono::duration<double>(now - alive_at).count() >= options.patience))
      return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::duration<double>(options.every));
  }
}

}  // namespace

void AddWatch(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("watch", "Show a run's curve in the terminal while it goes on");
  command->add_option("run_dir", options->run_dir, "The run's folder")->required();
  command->add_option("--every", options->every, "Seconds between looks")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str();
  command
      ->add_option("--patience", options->patience,
                   "Seconds to wait for the next start after a failure or a stop")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Watch(*options); }; });
}

}  // namespace orthant
