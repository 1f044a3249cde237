// orthant data prepare | ledger | inspect
#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/core/version.h"
#include "orthant/data/ledger.h"
#include "orthant/data/prepare.h"
#include "orthant/train/run_config.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant data prepare --corpus shakespeare --output data/shakespeare
  orthant data prepare --input book.txt more_texts/ --tokenizer byte --output data/books
  orthant data inspect data/shakespeare
  orthant data ledger configs/shakespeare.yaml --step 7 --format json)";

// Prints what has ToText() and ToJson().
template <typename Report>
absl::Status Print(const absl::StatusOr<Report>& report, const std::string& format) {
  if (!report.ok()) return report.status();
  // File names need not be UTF-8, JSON must be.
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  std::cout << (format == "json" ? report->ToJson().dump(2, ' ', false, kReplace) + "\n" : report->ToText());
  return absl::OkStatus();
}

void AddPrepare(CLI::App& data, CommandAction* action) {
  struct Options {
    PrepareOptions prepare;
    std::string format = "text";
  };
  auto options = std::make_shared<Options>();
  options->prepare.progress = true;
  options->prepare.orthant_version = kOrthantVersion;
  CLI::App* command = data.add_subcommand("prepare", "Turn texts into token files");
  command->add_option("--input", options->prepare.inputs, "Text files, or folders of *.txt files")
      ->type_name("PATH...");
  command->add_option("--corpus", options->prepare.corpus, "A known text, downloaded: shakespeare")
      ->type_name("NAME");
  command->add_option("--archive", options->prepare.archive, "The corpus's archive, where it is already here")
      ->type_name("FILE");
  command->add_option("--tokenizer", options->prepare.tokenizer, "char (default) or byte")->type_name("KIND");
  command
      ->add_option("--output", options->prepare.output,
                   "Folder to write; data/<name of the input> by default")
      ->type_name("DIR");
  command->add_flag("--force", options->prepare.force, "Replace what the folder holds");
  AddFormat(*command, &options->format);
  command->callback([options, action] {
    *action = [options] { return Print(Prepare(options->prepare), options->format); };
  });
}

void AddLedger(CLI::App& data, CommandAction* action) {
  struct Options {
    RunFileOptions run;
    int64_t step = 1;
    std::string format = "text";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand("ledger", "List the samples that a step of a run reads");
  AddRunFile(*command, &options->run);
  command->add_option("--step", options->step, "The step, counted from 1 as in metrics.jsonl")
      ->type_name("N")
      ->required();
  AddFormat(*command, &options->format);
  command->callback([options, action] {
    *action = [options]() -> absl::Status {
      RunConfig config;
      const auto loaded = LoadRun(options->run, &config);
      if (!loaded.ok()) return loaded.status();
      return Print(ListSamples(config.data, config.run.seed, config.model.context, config.train.global_batch,
                               options->step),
                   options->format);
    };
  });
}

void AddInspect(CLI::App& data, CommandAction* action) {
  struct Options {
    std::string folder;
    std::string format = "text";
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = data.add_subcommand("inspect", "Check every byte of prepared data and say what it is");
  command->add_option("folder", options->folder, "Folder that `data prepare` wrote")
      ->type_name("DIR")
      ->required();
  AddFormat(*command, &options->format);
  command->callback([options, action] {
    *action = [options] { return Print(InspectFolder(options->folder), options->format); };
  });
}

}  // namespace

void AddData(CLI::App& app, CommandAction* action) {
  CLI::App* data =
      app.add_subcommand("data", "Prepare texts, check prepared data, list the samples of a step");
  data->require_subcommand(1);
  data->footer(kExamples);
  AddPrepare(*data, action);
  AddLedger(*data, action);
  AddInspect(*data, action);
}

}  // namespace orthant
