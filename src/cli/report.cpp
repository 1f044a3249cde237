// orthant report RUN_DIR...
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/picture_files.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/report/browser.h"
#include "orthant/report/charts.h"
#include "orthant/report/page.h"
#include "orthant/report/sweep_charts.h"
#include "orthant/report/sweep_page.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant report runs/demo                                  writes runs/demo/report.html
  orthant report runs/demo runs/tp4 --output both.html      the runs' curves overlaid, and what differs between them
  orthant report runs/demo --svg figures                    each plot as figures/NAME.svg
  orthant report runs/demo --png figures                    and as PNGs, by a web browser without a window
  orthant report sweeps/strong                              of a sweep's folder: scaling, efficiency, layouts

One HTML file that needs no network and no server. docs/report.md says what is on it.)";

constexpr int kPngScale = 3;  // pixels for each of the picture's units: 300 dpi at 4.6 inches

struct Options {
  std::vector<std::string> folders;
  std::string output, svg, png;
};

// The number after `name="` in the head of our own SVG.
int HeadNumber(const std::string& svg, const std::string& name) {
  const size_t at = svg.find(absl::StrCat(" ", name, "=\""));
  return at == std::string::npos ? 0
                                 : static_cast<int>(std::stod(svg.substr(at + name.size() + 3, 12)) + 0.999);
}

absl::Status WritePngs(const std::vector<Picture>& pictures, const std::string& folder) {
  const absl::StatusOr<Browser> browser = FindBrowser();
  if (!browser.ok()) return browser.status();
  if (absl::Status made = MakeDirectories(folder); !made.ok()) return made;
  for (const Picture& picture : pictures) {
    const std::string path = absl::StrCat(folder, "/", picture.name, ".png");
    const absl::Status written = WritePng(*browser, picture.svg, HeadNumber(picture.svg, "width"),
                                          HeadNumber(picture.svg, "height"), kPngScale, path);
    if (!written.ok()) return written;
    std::cout << "wrote " << path << "\n";
  }
  return absl::OkStatus();
}

// The plots as files, where they are asked for.
absl::Status WritePictures(const Options& options, const std::vector<Picture>& drawn) {
  if (options.svg.empty() && options.png.empty()) return absl::OkStatus();
  if (drawn.empty())
    return DataError(absl::StrCat(options.folders.front(), ": there is nothing to draw yet"));
  absl::Status status;
  if (!options.svg.empty()) status = WriteSvgs(drawn, options.svg, std::cout);
  if (status.ok() && !options.png.empty()) status = WritePngs(drawn, options.png);
  return status;
}

// The page, unless pictures alone are asked for. `page` makes it.
template <typename Page>
absl::Status WritePage(const Options& options, const std::string& folder, const Page& page) {
  const bool pictures = !options.svg.empty() || !options.png.empty();
  if (pictures && options.output.empty()) return absl::OkStatus();
  const std::string path = options.output.empty() ? folder + "/report.html" : options.output;
  if (absl::Status written = WriteFileAtomically(path, page()); !written.ok()) return written;
  std::cout << "wrote " << path << "\n";
  return absl::OkStatus();
}

absl::Status ReportSweep(const Options& options) {
  if (options.folders.size() > 1)
    return ConfigurationError("a sweep's folder is reported alone; name one sweep, or runs");
  const absl::StatusOr<SweepData> sweep = ReadSweep(options.folders.front());
  if (!sweep.ok()) return sweep.status();
  for (const std::string& note : sweep->notes) std::cerr << "note: " << note << "\n";
  const absl::Status page = WritePage(options, sweep->folder, [&] { return SweepPage(*sweep); });
  return page.ok() ? WritePictures(options, Pictures(*sweep)) : page;
}

absl::Status Report(const Options& options) {
  for (const std::string& folder : options.folders) {
    if (IsSweepFolder(folder)) return ReportSweep(options);
  }
  if (options.folders.size() > kMostRuns) {
    return ConfigurationError(absl::StrCat(
        options.folders.size(), " runs cannot be told apart in one plot; name at most ", kMostRuns));
  }
  std::vector<RunData> runs;
  for (const std::string& folder : options.folders) {
    absl::StatusOr<RunData> run = ReadRun(folder);
    if (!run.ok()) return run.status();
    for (const std::string& note : run->notes) std::cerr << "note: " << note << "\n";
    runs.push_back(*std::move(run));
  }
  DistinguishLabels(&runs);
  const absl::Status page = WritePage(options, runs.front().folder, [&] { return ReportPage(runs); });
  return page.ok() ? WritePictures(options, Pictures(runs)) : page;
}

}  // namespace

void AddReport(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("report", "Show runs, or a sweep, as one HTML page, or their plots as files");
  command->add_option("run_dirs", options->folders, "The runs' folders, or one sweep's")
      ->required()
      ->type_name("RUN_DIR");
  command
      ->add_option("-o,--output", options->output, "The page; default: report.html in the first run's folder")
      ->type_name("FILE");
  command->add_option("--svg", options->svg, "Write each plot as an SVG file here")->type_name("FOLDER");
  command
      ->add_option("--png", options->png,
                   "Write each plot as a PNG here (needs chromium, google-chrome or firefox)")
      ->type_name("FOLDER");
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Report(*options); }; });
}

}  // namespace orthant
