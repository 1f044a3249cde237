#include "orthant/train/reporter.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "orthant/core/step_median.h"
#include "orthant/core/text.h"
#include "orthant/core/version.h"
#include "orthant/train/run_folder.h"

namespace orthant {

namespace {

// What starts.json says of this start.
nlohmann::ordered_json StartFacts(const RunFacts& facts) {
  const RunConfig& c = facts.config;
  return {{"version", kOrthantVersion},
          {"backend", facts.environment.backend},
          {"device", facts.environment.device.is_cpu() ? "cpu" : facts.environment.device_name},
          {"threads_per_rank", facts.environment.threads},
          {"ranks_per_host", facts.environment.ranks_on_host},
          {"hosts", facts.environment.hosts},  // by rank; empty: all on `host`
          {"parallel",
           {{"data", c.parallel.data},
            {"tensor", c.parallel.tensor},
            {"pipeline", c.parallel.pipeline},
            {"sequence", c.parallel.sequence},
            {"order", c.parallel.order}}},
          {"layers_per_stage", facts.layers_per_stage},
          {"microbatches", c.Microbatches()},
          {"vocabulary", facts.vocab},
          {"parameters", CountParameters(c.model, facts.vocab)},
          {"flops_per_token", FlopsPerToken(c.model, facts.vocab)},
          {"peak_flops", facts.peak_flops},
          {"peak_source", facts.peak_source},
          {"data", facts.data},
          {"notes", facts.notes}};
}

}  // namespace

Reporter::Reporter(RunFacts facts, bool json)
    : facts_(std::move(facts)),
      json_(json),
      ledger_(facts_.config.RunDir() + "/starts.json", StartFacts(facts_)) {}

void Reporter::Warn(const absl::Status& status) {
  if (!status.ok()) Print(absl::StrCat("warning    ", std::string(status.message()), "; training goes on"));
}

void Reporter::NoteEnd(const absl::Status& status) {
  const int64_t step = history_.empty() ? first_step_ : history_.back().step;
  const ExitCode code = ExitCodeOf(status);
  const char* const outcome = status.ok() ? "done" : code == ExitCode::kSignal ? "stopped" : "failed";
  Warn(ledger_.Ended(step, outcome, static_cast<int>(code), std::string(status.message())));
}

void Reporter::Print(const std::string& text) {
  if (progress_) progress_->Clear();
  std::FILE* out = json_ ? stderr : stdout;
  std::fputs(text.c_str(), out);
  if (text.empty() || text.back() != '\n') std::fputc('\n', out);
  std::fflush(out);
}

void Reporter::Begin(const std::string& mesh_map) {
  const RunConfig& c = facts_.config;
  const double per_token = FlopsPerToken(c.model, facts_.vocab);
  Print(absl::StrFormat("run        %s in %s, seed %d", c.run.name, c.RunDir(), c.run.seed));
  Print(absl::StrFormat("mesh       %s: %d ranks, %s backend, %d thread%s a rank", ToString(facts_.degrees),
                        facts_.degrees.world(), facts_.environment.backend, facts_.environment.threads,
                        facts_.environment.threads == 1 ? "" : "s"));
  if (!facts_.environment.device.is_cpu()) {
    Print(absl::StrFormat("device     %s, one a rank", facts_.environment.device_name));
  }
  if (!mesh_map.empty()) Print(mesh_map);
  Print(absl::StrFormat(
      "model      %s: %d layers x %d hidden, %d heads, context %d, vocabulary %d: %s parameters, %s",
      c.model.family, c.model.layers, c.model.hidden, c.model.heads, c.model.context, facts_.vocab,
      FormatCount(CountParameters(c.model, facts_.vocab)), c.train.dtype));
  if (c.parallel.pipeline > 1) {
    Print(absl::StrFormat("pipeline   %s, %d microbatches, layers per stage: %s", c.parallel.schedule,
                          c.Microbatches(), absl::StrJoin(facts_.layers_per_stage, " ")));
  }
  Print(absl::StrFormat("data       %s", facts_.data));
  Print(absl::StrFormat("batch      %d samples x %d tokens = %s tokens a step; %s steps",
                        c.train.global_batch, c.model.context,
                        FormatCount(c.train.global_batch * c.model.context), FormatCount(c.train.steps)));
  Print(absl::StrFormat(
      "mfu        %.4g model FLOPs a token = 6 x parameters in matrix products + 6 x layers x hidden x "
      "context (causal); peak %.4g TFLOP/s a rank, %s",
      per_token, facts_.peak_flops / 1e12, facts_.peak_source));
  for (const std::string& note : facts_.notes) Note(note);
  Print("\n" + Legend(CanDrawBoxes(1)));
  if (IsTerminal(2)) progress_ = std::make_unique<ProgressBar>("train", c.train.steps);
}

absl::Status Reporter::StartAt(const Resumed& resumed) {
  const std::string folder = facts_.config.RunDir(), path = folder + "/metrics.jsonl";
  first_step_ = resumed.step;
  history_.clear();
  validation_.clear();
  for (const std::string& note : resumed.notes) Note(note);
  if (resumed.from.empty()) {
    if (FileExists(path)) {
      Note("the run starts again; metrics.jsonl and samples.txt of the start before are kept as *.old");
    }
    if (absl::Status kept = KeepOldFiles(folder); !kept.ok()) return kept;
  } else {
    Note(absl::StrCat("the run goes on after step ", resumed.step, ", from ", resumed.from));
    for (const MetricsLine& line : ReadMetrics(path, resumed.step)) {
      if (line.val_loss) validation_.emplace_back(line.step, *line.val_loss);
    }
    if (absl::Status cut = CutSamples(folder + "/samples.txt", resumed.step); !cut.ok()) return cut;
  }
  absl::StatusOr<MetricsFile> metrics = MetricsFile::Open(path, resumed.step);
  if (!metrics.ok()) return metrics.status();
  metrics_ = *std::move(metrics);
  Warn(ledger_.Began(resumed.step, resumed.from));
  if (!facts_.config.log.tensorboard) return absl::OkStatus();
  absl::StatusOr<EventFile> events = EventFile::Create(folder + "/tensorboard", resumed.step);
  if (!events.ok()) return events.status();
  events_.emplace(*std::move(events));
  return absl::OkStatus();
}

void Reporter::Note(const std::string& text) {
  Print("note       " + text);
}

void Reporter::Saved(const SaveResult& result) {
  save_failed_ = !result.status.ok();
  if (save_failed_) {
    return Print(absl::StrCat("warning    ", std::string(result.status.message()), "; training goes on"));
  }
  Print(absl::StrFormat("saved      %s: %s in %s, training held up for %s", result.path,
                        FormatBinaryBytes(static_cast<double>(result.bytes)), FormatDuration(result.seconds),
                        FormatDuration(result.held_seconds)));
  if (!result.notice.empty()) Note(result.notice);
}

StepMetrics Reporter::MetricsOf(const StepResult& r,
                                const std::array<int64_t, kAxisCount>& comm_bytes) const {
  const RunConfig& c = facts_.config;
  const double ranks = static_cast<double>(facts_.degrees.world());
  const double tokens = static_cast<double>(c.train.global_batch * c.model.context);
  StepMetrics m;
  m.step = r.step;
  m.loss = r.loss;
  m.grad_norm = r.grad_norm;
  m.lr = r.lr;
  m.tokens = r.step * c.train.global_batch * c.model.context;
  m.dt = r.seconds;
  m.dtf = r.forward_seconds;
  m.dtb = r.backward_seconds;
  m.dto = r.optimizer_seconds;
  m.sps = static_cast<double>(c.train.global_batch) / r.seconds;
  m.sps_per_rank = m.sps / ranks;
  m.tps = tokens / r.seconds;
  m.tps_per_rank = m.tps / ranks;
  const double flops_per_rank = FlopsPerToken(c.model, facts_.vocab) * m.tps_per_rank;
  m.tflops_per_rank = flops_per_rank / 1e12;
  m.mfu = flops_per_rank / facts_.peak_flops;
  m.mem_peak_bytes = r.memory_peak.device_bytes;
  m.mem_host_peak_bytes = r.memory_peak.host_bytes;
  m.memory = r.memory;
  if (c.train.dtype == "fp16") m.loss_scale = r.loss_scale;
  m.skipped = r.skipped || r.action == AnomalyAction::kSkip;
  m.comm_bytes = comm_bytes;
  return m;
}

absl::Status Reporter::Step(const StepResult& result, const std::array<int64_t, kAxisCount>& comm_bytes,
                            const std::optional<std::pair<double, double>>& evaluation) {
  StepMetrics m = MetricsOf(result, comm_bytes);
  if (evaluation) {
    m.val_loss = evaluation->first;
    m.train_loss = evaluation->second;
    validation_.emplace_back(m.step, evaluation->first);
  }
  history_.push_back(m);
  const RunConfig& c = facts_.config;
  if (m.step % c.log.every == 0 || m.step == 1 || m.step == c.train.steps || evaluation || m.skipped)
    Print(ToConsoleLine(m));
  if (progress_) progress_->Update(m.step);
  if (events_) {
    if (absl::Status written = events_->Append(m.step, ToScalars(m)); !written.ok()) return written;
  }
  return metrics_->Append(m);
}

absl::Status Reporter::Sample(int64_t step, const std::string& prompt, const std::string& text) {
  const std::string record =
      absl::StrFormat("--- step %d\nprompt: %s\nresponse:\n%s%s\n", step, prompt, prompt, text);
  Print(record);
  const std::string path = facts_.config.RunDir() + "/samples.txt";
  std::ofstream stream(path, std::ios::app);
  stream << record << std::flush;
  return stream ? absl::OkStatus() : EnvironmentError(path + " cannot be written");
}

RunSummary Reporter::Summary() const {
  RunSummary s;
  s.parameters = CountParameters(facts_.config.model, facts_.vocab);
  s.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (history_.empty()) return s;
  s.steps = static_cast<int64_t>(history_.size());
  s.final_loss = history_.back().loss;
  if (!validation_.empty()) s.val_loss = validation_.back().second;
  std::vector<double> times;
  double total = 0, forward = 0, backward = 0, optimizer = 0;
  for (const StepMetrics& m : history_) {
    times.push_back(m.dt);
    total += m.dt;
    forward += m.dtf;
    backward += m.dtb;
    optimizer += m.dto;
  }
  s.median_dt = MedianAfterWarmUp(times);
  const StepMetrics& last = history_.back();
  s.tps = last.tps * last.dt / s.median_dt;
  s.mfu = last.mfu * last.dt / s.median_dt;
  s.forward_share = forward / total;
  s.backward_share = backward / total;
  s.optimizer_share = optimizer / total;
  s.comm_bytes_per_step = last.comm_bytes;
  s.mem_peak_bytes = last.mem_peak_bytes;
  s.mem_host_peak_bytes = last.mem_host_peak_bytes;
  s.resident_bytes = PeakResidentBytes();
  s.skipped = std::count_if(history_.begin(), history_.end(), [](const StepMetrics& m) { return m.skipped; });
  return s;
}

void Reporter::Memory(const std::vector<MemoryPeak>& peaks, const Mesh& mesh) {
  const bool boxes = CanDrawBoxes(1);
  ledger_.Memory(peaks);
  Print("\npeak device memory by stage, of the rank that holds most\n" + PeakTable(peaks, mesh, boxes));
  const std::shared_ptr<MemoryAccount> account = BoundMemory();
  if (facts_.config.log.memory != "detail" || account == nullptr) return;
  Print("\nrank 0 by phase of the step\n" + AccountTable(*account, boxes));
}

void Reporter::Failed(const absl::Status& status) {
  progress_.reset();
  NoteEnd(status);
}

void Reporter::End(const absl::Status& status) {
  progress_.reset();
  NoteEnd(status);
  if (history_.empty()) {
    Print(first_step_ > 0 ? absl::StrFormat("no steps: the run was at step %d of %d already", first_step_,
                                            facts_.config.train.steps)
                          : "no steps: the model was made, and nothing was trained");
  }
  const RunSummary s = Summary();
  const std::string plot = LossPlot(validation_, 64, 12);
  if (!plot.empty()) Print("\nvalidation loss by step\n" + plot);
  if (!history_.empty()) Print("\n" + ToText(s, CanDrawBoxes(1)));
  if (!json_) return;
  nlohmann::ordered_json out = {{"run", facts_.config.run.name},
                                {"dir", facts_.config.RunDir()},
                                {"ranks", facts_.degrees.world()},
                                {"steps", s.steps},
                                {"parameters", s.parameters},
                                {"seconds", s.seconds},
                                {"loss", s.final_loss},
                                {"median_dt", s.median_dt},
                                {"tps", s.tps},
                                {"mfu", s.mfu}};
  if (s.val_loss) out["val_loss"] = *s.val_loss;
  std::printf("%s\n", out.dump(2).c_str());
  std::fflush(stdout);
}

}  // namespace orthant
