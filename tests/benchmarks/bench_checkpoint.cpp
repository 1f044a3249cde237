// Saving and loading on this machine: bench_checkpoint FOLDER --size L --threads 2
// Times a synchronous save, what an asynchronous one holds a step up for, and a load, beside the disk's own
// sequential speed (plain writes and reads of as many bytes, synced, with the page cache dropped before
// reads).
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <vector>

#include "nlohmann/json.hpp"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/comm/local.h"
#include "orthant/core/process.h"
#include "orthant/train/resume.h"
#include "orthant/train/run_facts.h"

namespace orthant {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
double Seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

struct Options {
  std::string folder, size = "L";
  int data = 1, zero = 0, threads = 2, steps = 5;
};

RunConfig ConfigOf(const Options& o) {
  RunConfig c;
  const bool large = o.size == "L";
  c.model.layers = large ? 12 : 6;
  c.model.heads = large ? 12 : 6;
  c.model.hidden = large ? 768 : 384;
  c.model.context = 256;
  c.parallel.data = o.data;
  c.parallel.zero = o.zero;
  c.train.global_batch = large ? 4 : 8;
  c.train.micro_batch = c.train.global_batch / o.data;
  c.train.steps = 1000;
  c.data.source = "synthetic";
  c.data.synthetic_vocab = large ? 50304 : 65;
  c.run.dir = o.folder;
  return c;
}

constexpr size_t kPiece = size_t{8} << 20;

// Seconds of writing `bytes` to a new file, in large pieces, and of syncing it.
double WritePlainly(const std::string& path, int64_t bytes) {
  std::vector<char> piece(kPiece, 'x');
  const auto start = Clock::now();
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  for (int64_t done = 0; done < bytes;) {
    const ssize_t n = write(file, piece.data(), std::min<size_t>(kPiece, static_cast<size_t>(bytes - done)));
    if (n <= 0) break;
    done += n;
  }
  fsync(file);
  close(file);
  return Seconds(start);
}

// Takes a file out of the page cache.
void Drop(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY);
  fsync(file);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  close(file);
}

double ReadPlainly(const std::string& path) {
  std::vector<char> piece(kPiece);
  const int file = open(path.c_str(), O_RDONLY);
  posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL);
  const auto start = Clock::now();
  while (read(file, piece.data(), kPiece) > 0) {
  }
  const double seconds = Seconds(start);
  close(file);
  return seconds;
}

void DropAll(const std::string& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) Drop(entry.path().string());
  }
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0.0 : values[values.size() / 2];
}

struct Figures {
  double gigabytes = 0, write_plain = 0, read_plain = 0, save = 0, load = 0, held = 0;
  double step = 0, step_saving = 0, save_beside = 0;
};

SaverOptions SavesTo(const RunConfig& config, bool asynchronous) {
  SaverOptions options;
  options.folder = config.CheckpointDir();
  options.keep_last = 1;
  options.asynchronous = asynchronous;
  return options;
}

void Measure(const PreparedRun& run, const Options& o, Communicator& world, Figures* figures) {
  Engine engine(run.config, run.mesh, run.vocab, run.dataset, world);
  std::vector<double> steps, saving, held, beside;
  for (int i = 0; i < 2; ++i) engine.Step();  // warm
  for (int i = 0; i < o.steps; ++i) steps.push_back(engine.Step().seconds);
  const auto state = [&] { return CollectState(engine.model(), engine.optimizer(), /*all=*/true); };
  {
    Saver saver(SavesTo(run.config, /*asynchronous=*/false), world);
    std::vector<double> seconds;
    for (int i = 0; i < 3; ++i) {
      engine.Step();
      saver.Start(engine.progress().step, state(), CheckpointFacts(run, engine.progress()));
      const std::optional<SaveResult> saved = saver.Advance();
      if (saved && !saved->status.ok()) throw StatusError(saved->status);
      if (saved) seconds.push_back(saved->seconds);
      if (saved && world.rank() == 0) figures->gigabytes = static_cast<double>(saved->bytes) / 1e9;
    }
    if (world.rank() == 0) figures->save = Median(seconds);
  }
  {
    Saver saver(SavesTo(run.config, /*asynchronous=*/true), world);
    engine.BeforeUpdate([&](int unit) { saver.BeforeUpdate(unit); });
    for (int i = 0; i < o.steps; ++i) {
      saver.Start(engine.progress().step, state(), CheckpointFacts(run, engine.progress()));
      const double seconds = engine.Step().seconds;
      const std::optional<SaveResult> saved = saver.Finish();
      if (!saved || !saved->status.ok() || i == 0) continue;  // the first takes memory for the copies
      saving.push_back(seconds);
      held.push_back(saved->held_seconds);
      beside.push_back(saved->seconds);
    }
    engine.BeforeUpdate(nullptr);
  }
  std::vector<double> loads;
  for (int i = 0; i < 3; ++i) {
    world.Barrier("bench");
    if (world.rank() == 0) DropAll(run.config.CheckpointDir());
    world.Barrier("bench");
    const auto start = Clock::now();
    const absl::StatusOr<Resumed> resumed = Resume(run.config, engine, world);
    if (!resumed.ok()) throw StatusError(resumed.status());
    world.Barrier("bench");
    loads.push_back(Seconds(start));
  }
  if (world.rank() != 0) return;
  figures->load = Median(loads);
  figures->step = Median(steps);
  figures->step_saving = Median(saving);
  figures->held = Median(held);
  figures->save_beside = Median(beside);
}

int Run(const Options& o) {
  const RunConfig config = ConfigOf(o);
  const auto run = PrepareRun(config, nullptr);
  if (!run.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(run.status().message()).c_str());
    return 2;
  }
  fs::create_directories(config.CheckpointDir());
  Figures f;
  RunLocal(o.data, {.threads_per_rank = o.threads},
           [&](Communicator& world) { Measure(*run, o, world, &f); });
  std::vector<double> writes, reads;
  const std::string plain = o.folder + "/plain";
  for (int i = 0; i < 3; ++i) {
    writes.push_back(WritePlainly(plain, static_cast<int64_t>(f.gigabytes * 1e9)));
    Drop(plain);
    reads.push_back(ReadPlainly(plain));
  }
  f.write_plain = Median(writes);
  f.read_plain = Median(reads);
  fs::remove_all(config.CheckpointDir());
  fs::remove(plain);
  const nlohmann::ordered_json out = {{"size", o.size},
                                      {"ranks", o.data},
                                      {"zero", o.zero},
                                      {"gigabytes", f.gigabytes},
                                      {"disk_write_gb_s", f.gigabytes / f.write_plain},
                                      {"disk_read_gb_s", f.gigabytes / f.read_plain},
                                      {"save_s", f.save},
                                      {"save_gb_s", f.gigabytes / f.save},
                                      {"save_of_disk", f.write_plain / f.save},
                                      {"load_s", f.load},
                                      {"load_gb_s", f.gigabytes / f.load},
                                      {"load_of_disk", f.read_plain / f.load},
                                      {"held_s", f.held},
                                      {"held_of_save", f.held / f.save},
                                      {"save_beside_training_s", f.save_beside},
                                      {"step_s", f.step},
                                      {"step_while_saving_s", f.step_saving}};
  std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace orthant

int main(int argc, char** argv) {
  orthant::Options o;
  CLI::App app("Times saving and loading of checkpoints beside the disk's own speed.");
  app.add_option("folder", o.folder, "on the disk to be measured; files are made and removed there")
      ->required();
  app.add_option("--size", o.size, "M or L")->check(CLI::IsMember({"M", "L"}));
  app.add_option("--dp", o.data, "ranks");
  app.add_option("--zero", o.zero);
  app.add_option("--threads", o.threads, "threads a rank");
  app.add_option("--steps", o.steps);
  CLI11_PARSE(app, argc, argv);
  orthant::KeepFreedMemory();
  return orthant::Run(o);
}
