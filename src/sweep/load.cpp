#include <filesystem>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/config/config.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/sweep/sweep_file.h"
#include "sweep/variants.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;

// A path that the file names, from the present folder.
std::string Beside(const std::string& file, const std::string& path) {
  return fs::path(path).is_absolute() ? path
                                      : (fs::path(file).parent_path() / path).lexically_normal().string();
}

using Complain = std::function<void(const std::string& key, const std::string& rule)>;

// What the backend asks of other keys.
void CheckBackend(const SweepSettings& s, const Complain& complain) {
  if (s.backend == "threads" && !s.arguments.empty())
    complain("sweep.arguments", "threads take none; they are of the backends mpirun and submit");
  if (s.calibration == "measure" && s.backend != "threads")
    complain(
        "sweep.calibration",
        absl::StrCat("it measures this machine's threads, which say nothing of sweep.backend = ", s.backend,
                     "; give a cluster's name or file, leave it empty, or set sweep.backend=threads"));
  if (s.backend == "submit" && !absl::StrContains(s.arguments, "--time"))
    complain("sweep.arguments", "orthant submit wants a time limit for each job, as '--time 10'");
}

// Rules between keys.
void CheckSettings(const SweepFile& file, const LoadedConfig& loaded, std::vector<std::string>* errors) {
  const SweepSettings& s = file.settings;
  const Complain complain = [&](const std::string& key, const std::string& rule) {
    errors->push_back(absl::StrCat(loaded.Cite(key), ": ", rule));
  };
  CheckBackend(s, complain);
  std::set<int64_t> seen;
  for (const int64_t ranks : s.ranks) {
    if (!seen.insert(ranks).second) complain("sweep.ranks", absl::StrCat(ranks, " stands there twice"));
  }
  if (s.scaling == "weak" && s.batch_per_rank == 0)
    complain("sweep.scaling", "weak scaling wants sweep.batch_per_rank, as 4");
  if (s.scaling == "weak" && s.ranks.empty()) complain("sweep.scaling", "weak scaling wants sweep.ranks");
  if (s.scaling == "strong" && s.batch_per_rank > 0)
    complain("sweep.batch_per_rank",
             "strong scaling keeps the run's global batch; set sweep.scaling=weak, or 0");
  for (const SweepVariant& variant : file.variants) {
    for (const std::string& text : variant.overrides) {
      if (!s.ranks.empty() && absl::StartsWith(text, absl::StrCat("parallel.", variant.fill, "=")))
        errors->push_back(absl::StrCat(file.path, ": the variant ", variant.name, " sets ", text,
                                       ", but parallel.", variant.fill,
                                       " takes what sweep.ranks leaves; give it another fill, or no ranks"));
      if (s.scaling == "weak" && absl::StartsWith(text, "train.global_batch="))
        errors->push_back(absl::StrCat(file.path, ": the variant ", variant.name, " sets ", text,
                                       ", but weak scaling sets it by sweep.batch_per_rank"));
    }
  }
}

}  // namespace

absl::StatusOr<SweepFile> LoadSweepFromText(const std::string& text, const std::string& path,
                                            const std::vector<std::string>& overrides,
                                            const Fields& run_fields) {
  std::vector<std::string> errors;
  SweepFile file;
  file.path = path;
  SweepParts parts = ReadSweepParts(text, path, run_fields, &errors);
  if (parts.rest.empty()) return ConfigurationError(absl::StrJoin(errors, "\n"));
  const absl::StatusOr<LoadedConfig> loaded =
      LoadConfigFromText(parts.rest, path, overrides, [&file](Fields& fields) {
        fields.Section("sweep", "What is varied, and how it runs.",
                       [&file](Fields& f) { Describe(f, file.settings); });
      });
  if (!loaded.ok()) errors.emplace_back(loaded.status().message());
  if (!errors.empty()) return ConfigurationError(absl::StrJoin(errors, "\n"));
  SweepSettings& s = file.settings;
  file.variants = std::move(parts.variants);
  for (SweepVariant& variant : file.variants) {
    if (variant.fill.empty()) variant.fill = s.fill;
  }
  CheckSettings(file, *loaded, &errors);
  if (!errors.empty()) return ConfigurationError(absl::StrJoin(errors, "\n"));
  s.run = Beside(path, s.run);
  if (!FileExists(s.run))
    return ConfigurationError(absl::StrCat(loaded->Cite("sweep.run"), ": ", s.run, " does not exist"));
  const bool is_file = absl::StrContains(s.calibration, '/') || absl::EndsWith(s.calibration, ".yaml");
  if (is_file) s.calibration = Beside(path, s.calibration);
  if (s.dir.empty()) s.dir = absl::StrCat("sweeps/", s.name);
  return file;
}

absl::StatusOr<SweepFile> LoadSweep(const std::string& path, const std::vector<std::string>& overrides,
                                    const Fields& run_fields) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return ConfigurationError(std::string(text.status().message()));
  return LoadSweepFromText(*text, path, overrides, run_fields);
}

}  // namespace orthant
