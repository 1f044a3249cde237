// orthant checkpoint export PATH --format hf|safetensors --output DIR
#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/checkpoint.h"
#include "cli/run_file.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/safetensors_export.h"
#include "orthant/checkpoint/step_folders.h"

namespace orthant {
namespace {

struct Options {
  std::string path, report = "text";
  uint64_t shard_size = 5'000'000'000;
  ExportOptions options;
};

absl::Status Export(const Options& options) {
  const absl::StatusOr<std::string> folder = ResolveCheckpoint(options.path);
  if (!folder.ok()) return folder.status();
  ExportOptions exporting = options.options;
  exporting.shard_bytes = static_cast<int64_t>(options.shard_size);
  exporting.progress = OnProgressBar("export");
  const absl::StatusOr<ExportReport> report = ExportCheckpoint(*folder, exporting);
  exporting.progress = nullptr;
  if (!report.ok()) return report.status();
  if (options.report == "json") {
    PrintJson(report->ToJson());
  } else {
    std::cout << report->ToText();
  }
  return absl::OkStatus();
}

}  // namespace

void AddCheckpointExport(CLI::App& checkpoint, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      checkpoint.add_subcommand("export", "Write the parameters as Hugging Face or safetensors files");
  AddCheckpointPath(*command, "path", &options->path);
  command
      ->add_option("--format", options->options.format,
                   "hf: what GPT2LMHeadModel loads; safetensors: logical tensors under their own names")
      ->check(CLI::IsMember({"hf", "safetensors"}))
      ->required();
  command->add_option("--output", options->options.output, "Folder to write; new or empty")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--dtype", options->options.dtype,
                   "Of the values; stored: of the fp32 masters where there are any")
      ->check(CLI::IsMember({"stored", "fp64", "fp32", "bf16", "fp16"}))
      ->capture_default_str();
  command
      ->add_option("--shard-size", options->shard_size, "Most bytes of tensors in one file, as 5GB or 500MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 62))
      ->type_name("BYTES")
      ->default_str("5GB");
  AddFormat(*command, &options->report, "--report");
  command->callback([options, action] { *action = [options] { return Export(*options); }; });
}

}  // namespace orthant
