#include "orthant/train/resume.h"

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/checkpoint/reader.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "orthant/train/broadcast_text.h"

namespace orthant {
namespace {

// The steps on disk, newest first, as rank 0 sees them.
std::vector<int64_t> StepsOnDisk(const std::string& folder, Communicator& world) {
  const std::string mine = world.rank() == 0 ? absl::StrJoin(StepsIn(folder), ",") : "";
  std::vector<int64_t> steps;
  const std::vector<std::string> texts =
      absl::StrSplit(BroadcastText(mine, 0, world), ',', absl::SkipEmpty());
  for (const std::string& text : texts) {
    int64_t step = 0;
    if (absl::SimpleAtoi(text, &step)) steps.push_back(step);
  }
  return steps;
}

// Loads one checkpoint on all ranks: everything (`all`), or its parameters. -> where it stands.
absl::StatusOr<Progress> Load(const std::string& folder, bool all, Engine& engine, Communicator& world) {
  auto reader = CheckpointReader::Open(folder);
  absl::Status status = reader.status();
  Progress progress;
  if (status.ok() && all) {
    if ((*reader)->manifest().run.value("content", "all") != "all") {
      status =
          DataError(absl::StrCat(folder,
                                 " holds parameters alone (checkpoint.content = parameters): a run cannot go "
                                 "on from it; begin a new run from it with init.from"));
    } else {
      auto read = ProgressFromJson((*reader)->manifest().run, folder);
      status = read.status();
      if (read.ok()) progress = *std::move(read);
    }
  }
  if (absl::Status opened = AgreeOnStatus(status, world); !opened.ok()) return opened;
  absl::Status loaded = LoadState(engine.model(), engine.optimizer(), **reader, all);
  if (loaded = AgreeOnStatus(loaded, world); !loaded.ok()) return loaded;
  return progress;
}

// Checkpoints of later steps belong to another course of the run than the one that begins now: they are kept,
// under names that nothing goes on from. Rank 0 alone does it.
absl::Status SetAsideNewer(const std::string& folder, int64_t step, Communicator& world) {
  absl::Status done;
  if (world.rank() == 0) {
    for (const int64_t newer : StepsIn(folder)) {
      if (newer <= step) continue;
      const std::string path = absl::StrCat(folder, "/", StepName(newer));
      std::error_code error;
      std::filesystem::remove_all(path + ".old", error);
      std::filesystem::rename(path, path + ".old", error);
      if (error) done.Update(EnvironmentError(absl::StrCat(path, " cannot be renamed: ", error.message())));
    }
    const std::string latest = folder + "/latest";
    if (step >= 0 && FileExists(latest)) done.Update(WriteFileAtomically(latest, StepName(step) + "\n"));
  }
  return AgreeOnStatus(done, world);
}

// As rank 0 sees it, so that all ranks do the same.
bool WrittenByNewer(const std::string& folder, Communicator& world) {
  const auto json = ReadJsonFile(absl::StrCat(folder, "/", kCheckpointManifest));
  const bool newer = json.ok() && json->is_object() && json->contains("format") &&
                     (*json)["format"].is_number_integer() &&
                     (*json)["format"].get<int64_t>() > kCheckpointFormat;
  return !BroadcastText(newer ? "newer" : "", 0, world).empty();
}

absl::Status NoneWhole(const std::string& folder, const std::vector<std::string>& failures) {
  return DataError(absl::StrCat("no checkpoint in ", folder, " is whole:\n  ",
                                absl::StrJoin(failures, "\n  "),
                                "\ncheckpoint.resume=never starts the run again from its beginning"));
}

absl::StatusOr<Resumed> ResumeFrom(const std::string& folder, int64_t step, Engine& engine,
                                   Communicator& world) {
  const std::string path = absl::StrCat(folder, "/", StepName(step));
  auto progress = Load(path, /*all=*/true, engine, world);
  if (!progress.ok()) return progress.status();
  engine.Restore(*progress);
  return Resumed{progress->step, path, {}};
}

// The newest of `steps` that is whole.
absl::StatusOr<Resumed> ResumeNewest(const std::string& folder, const std::vector<int64_t>& steps,
                                     Engine& engine, Communicator& world) {
  std::vector<std::string> failures;
  for (const int64_t step : steps) {
    auto resumed = ResumeFrom(folder, step, engine, world);
    if (resumed.ok()) {
      for (const std::string& failure : failures)
        resumed->notes.push_back(absl::StrCat("passed over: ", failure));
      return resumed;
    }
    if (WrittenByNewer(absl::StrCat(folder, "/", StepName(step)), world)) return resumed.status();
    failures.emplace_back(resumed.status().message());
  }
  return NoneWhole(folder, failures);
}

absl::StatusOr<Resumed> Begin(const RunConfig& config, Engine& engine, Communicator& world) {
  if (config.init.from.empty()) return Resumed{};
  // One rank decides: a run that is still training may move its latest meanwhile.
  absl::StatusOr<std::string> mine = std::string();
  if (world.rank() == 0) mine = ResolveCheckpoint(config.init.from);
  if (absl::Status there = AgreeOnStatus(mine.status(), world); !there.ok()) {
    return Annotate(there, absl::StrCat("init.from = ", config.init.from));
  }
  const std::string path = BroadcastText(*mine, 0, world);
  auto loaded = Load(path, /*all=*/false, engine, world);
  if (!loaded.ok()) return Annotate(loaded.status(), absl::StrCat("init.from = ", config.init.from));
  return Resumed{0, "", {absl::StrCat("the parameters are those of ", path)}};
}

}  // namespace

absl::StatusOr<Resumed> Resume(const RunConfig& config, Engine& engine, Communicator& world) {
  const std::string folder = config.CheckpointDir();
  // A supervisor's further attempts go on from what the ones before have saved.
  const std::string resume = AttemptNumber() > 0 ? "latest" : config.checkpoint.resume;
  if (resume == "never") {
    if (absl::Status aside = SetAsideNewer(folder, -1, world); !aside.ok()) return aside;
    return Begin(config, engine, world);
  }
  const std::vector<int64_t> steps = StepsOnDisk(folder, world);
  int64_t wanted = 0;
  const bool one = absl::SimpleAtoi(resume, &wanted);
  if (!one && steps.empty()) return Begin(config, engine, world);
  auto resumed = one ? ResumeFrom(folder, wanted, engine, world) : ResumeNewest(folder, steps, engine, world);
  if (!resumed.ok()) return resumed;
  if (absl::Status aside = SetAsideNewer(folder, resumed->step, world); !aside.ok()) return aside;
  return resumed;
}

absl::StatusOr<Resumed> RollBack(const RunConfig& config, const StepResult& failed, Engine& engine,
                                 Communicator& world) {
  const Progress before = engine.progress();
  const std::string folder = config.CheckpointDir();
  std::vector<int64_t> steps = StepsOnDisk(folder, world);
  const int64_t newest = failed.step - config.anomaly.rollback_steps;
  std::erase_if(steps, [newest](int64_t step) { return step > newest; });
  const std::string what = DescribeAnomaly(failed.anomaly, failed.loss, failed.usual_loss);
  if (steps.empty()) {
    return NumericalError(absl::StrCat("step ", failed.step, ": ", what,
                                       "; there is no checkpoint to roll back to, ",
                                       config.anomaly.rollback_steps,
                                       " steps back or more (anomaly.rollback_steps); save more often "
                                       "(checkpoint.every) or keep more (checkpoint.keep_last)"));
  }
  auto resumed = ResumeNewest(folder, steps, engine, world);
  if (!resumed.ok()) return resumed;
  Progress progress = engine.progress();
  // Everything between the checkpoint's place in the data and the failed step's batch, it included.
  const int64_t first = progress.next_batch(), next = before.next_batch() + 1;
  progress.skipped = before.skipped;
  progress.skipped.push_back({failed.step, first, next - first, what, /*rolled_back=*/true});
  progress.batches_passed = next - progress.step;
  engine.Restore(progress);
  if (absl::Status aside = SetAsideNewer(folder, resumed->step, world); !aside.ok()) return aside;
  return resumed;
}

}  // namespace orthant
