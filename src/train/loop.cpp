#include "orthant/train/loop.h"

#include <algorithm>
#include <cmath>
#include <csignal>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/signals.h"
#include "orthant/core/status.h"
#include "orthant/train/broadcast_text.h"
#include "orthant/train/generate.h"
#include "orthant/train/replica_check.h"
#include "orthant/train/run_facts.h"
#include "orthant/train/run_state.h"

namespace orthant {
namespace {

bool EvaluateAfter(const RunConfig& config, int64_t step) {
  if (config.evaluate.batches == 0) return false;
  return step == config.train.steps || (config.evaluate.every > 0 && step % config.evaluate.every == 0);
}

SaverOptions OptionsOf(const RunConfig& config, FaultInjector* faults) {
  SaverOptions options;
  options.folder = config.CheckpointDir();
  options.keep_last = config.checkpoint.keep_last;
  options.keep_every = config.checkpoint.keep_every;
  options.writers = config.checkpoint.writers;
  options.asynchronous = config.checkpoint.asynchronous;
  if (faults != nullptr)
    options.on_write = [faults](int64_t written, int64_t total) { faults->OnWrite(written, total); };
  return options;
}

// A rank's part of the vote to stop. Parts are summed, and the rank that tells of it need not have had the
// signal.
constexpr double kTermVote = 1.0, kUsr1Vote = 1048576.0;

double StopVote() {
  return StopSignal() == 0 ? 0.0 : StopSignal() == SIGUSR1 ? kUsr1Vote : kTermVote;
}

const char* SignalName(double votes) {
  return std::fmod(votes, kUsr1Vote) > 0 ? "SIGTERM" : "SIGUSR1";
}

int64_t LastStep(const TrainConfig& config) {
  return config.stop_at > 0 ? std::min(config.stop_at, config.steps) : config.steps;
}

}  // namespace

TrainLoop::TrainLoop(const PreparedRun& run, Communicator& world, c10::Device device, Reporter* reporter,
                     FaultInjector* faults)
    : run_(run),
      world_(world),
      reporter_(reporter),
      faults_(faults),
      engine_(run.config, run.mesh, run.vocab, run.dataset, world, device),
      saver_(OptionsOf(run.config, faults), world),
      timelines_(run.config, run.mesh, world),
      last_step_(LastStep(run.config.train)) {
  engine_.Rehearse(faults);
  engine_.BeforeUpdate([this](int unit) { saver_.BeforeUpdate(unit); });
}

absl::Status TrainLoop::Run() {
  if (absl::Status begun = Begin(); !begun.ok()) return begun;
  while (engine_.progress().step < last_step_ && stop_votes_ == 0) {
    if (absl::Status stepped = Step(); !stepped.ok()) return stepped;
  }
  return End();
}

absl::Status TrainLoop::Begin() {
  if (faults_ != nullptr) faults_->EnterStep(0);
  At(FaultPhase::kLoad, "loading");
  const absl::StatusOr<Resumed> resumed = Resume(run_.config, engine_, world_);
  if (!resumed.ok()) return resumed.status();
  if (!resumed->from.empty()) saved_step_ = resumed->step;
  absl::Status ready = reporter_ == nullptr ? absl::OkStatus() : reporter_->StartAt(*resumed);
  if (ready.ok() && reporter_ != nullptr) ready = WriteSkipped();
  if (absl::Status agreed = AgreeOnStatus(ready, world_); !agreed.ok()) return agreed;
  bytes_ = engine_.model().groups().BytesSent();
  At(FaultPhase::kStart, "start");
  return absl::OkStatus();
}

absl::Status TrainLoop::Step() {
  engine_.TraceTo(timelines_.Begin(engine_.progress().step + 1));
  const StepResult result = engine_.Step(Votes());
  engine_.TraceTo(nullptr);
  if (steps_done_++ == 0) world_.flight_recorder()->set_timeout(run_.config.comm.timeout);
  switch (result.action) {
    case AnomalyAction::kNone:
      break;
    case AnomalyAction::kStop:
      return Stop(result);
    case AnomalyAction::kSkip:
      if (absl::Status skipped = Skip(result); !skipped.ok()) return skipped;
      break;
    case AnomalyAction::kRollback:
      return GoBack(result);
  }
  return AfterStep(result);
}

absl::Status TrainLoop::AfterStep(const StepResult& result) {
  const std::array<int64_t, kAxisCount> sent = BytesOfStep();  // of the step alone, not of a save under way
  if (absl::Status drawn = timelines_.End(); !drawn.ok()) {    // on rank 0 alone
    reporter_->Note(absl::StrCat("warning: the timeline of step ", result.step,
                                 " was not written: ", std::string(drawn.message())));
  }
  Follow(result.votes);
  stop_votes_ = result.votes.stop;
  std::optional<std::pair<double, double>> evaluation;
  if (EvaluateAfter(run_.config, result.step)) evaluation = Evaluate();
  if (reporter_ != nullptr) {
    if (absl::Status told = reporter_->Step(result, sent, evaluation); !told.ok()) return told;
  }
  if (evaluation) {
    if (absl::Status sampled = Sample(result.step); !sampled.ok()) return sampled;
  }
  if (absl::Status alike = CheckReplicas(result.step); !alike.ok()) return alike;
  if (SaveDue(result)) Save();
  world_.flight_recorder()->SetActivity("between steps");
  bytes_ = engine_.model().groups().BytesSent();  // evaluation and saves are not the step's
  return absl::OkStatus();
}

absl::Status TrainLoop::End() {
  const int64_t step = engine_.progress().step;
  const bool complete = step >= run_.config.train.steps;
  if (!complete || run_.config.checkpoint.at_end) {
    if (absl::Status saved = LastSave(); !saved.ok()) return saved;
  }
  Told(saver_.Finish());
  if (stop_votes_ == 0 || complete) return absl::OkStatus();
  const char* const rest = run_.config.checkpoint.content == "all"
                               ? ", and the same command goes on from there"
                               : " (checkpoint.content = parameters): a new run can begin from them with "
                                 "init.from, none can go on";
  return StatusWithExitCode(
      ExitCode::kSignal,
      absl::StrCat("stopped by ", SignalName(stop_votes_), " after step ", step,
                   "; the training state is saved in ", run_.config.CheckpointDir(), rest));
}

// Saves what is not saved yet; without it the end would lose steps, so a failure is the run's.
absl::Status TrainLoop::LastSave() {
  if (saved_step_ != engine_.progress().step) Save();
  const std::optional<SaveResult> result = saver_.Finish();
  if (!result.has_value()) return absl::OkStatus();
  if (result->status.ok()) Told(result);  // a failure is the run's own message
  return result->status;
}

StepVotes TrainLoop::Votes() const {
  StepVotes votes;
  votes.stop = StopVote();
  const double minutes = run_.config.checkpoint.every_minutes;
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - saved_at_;
  votes.save = world_.rank() == 0 && minutes > 0 && since.count() >= 60.0 * minutes ? 1.0 : 0.0;
  votes.busy = saver_.busy() ? 1.0 : 0.0;
  return votes;
}

bool TrainLoop::SaveDue(const StepResult& result) const {
  if (result.step >= last_step_ || stop_votes_ > 0) return false;  // the end saves
  const int64_t every = run_.config.checkpoint.every;
  return result.votes.save > 0 || (every > 0 && result.step % every == 0);
}

void TrainLoop::Save() {
  At(FaultPhase::kSave, "saving");
  saved_step_ = engine_.progress().step;
  if (faults_ != nullptr) faults_->EnterSave(saved_step_);
  saved_at_ = std::chrono::steady_clock::now();
  const bool all = run_.config.checkpoint.content == "all";
  Told(saver_.Start(saved_step_, CollectState(engine_.model(), engine_.optimizer(), all), Facts()));
}

void TrainLoop::Follow(const StepVotes& votes) {
  if (saver_.active() && votes.busy == 0) Told(saver_.Advance());
}

void TrainLoop::Told(const std::optional<SaveResult>& result) {
  if (!result.has_value()) return;
  if (!result->status.ok() && saved_step_ == result->step) saved_step_ = -1;
  if (reporter_ != nullptr) reporter_->Saved(*result);
}

absl::Status TrainLoop::Stop(const StepResult& r) {
  // Whatever is on its way to the disk is whole, and may be what the user goes back to.
  Told(saver_.Finish());
  if (r.anomaly == Anomaly::kSpike) {
    return NumericalError(absl::StrCat(
        "step ", r.step, ": ", DescribeAnomaly(r.anomaly, r.loss, r.usual_loss), " (anomaly.spike = stop)"));
  }
  const std::string first = engine_.FindNonFinite();
  const std::string found = first.empty() ? "all is finite when computed again"
                                          : absl::StrCat("the first that is not finite is the ", first);
  const std::string remedy =
      run_.config.train.dtype == "fp16"
          ? absl::StrCat("; train.loss_scale is down to ", r.loss_scale,
                         ": try train.dtype = bf16, or a lower optimizer.lr")
          : "; try a lower optimizer.lr, a longer optimizer.warmup or a smaller train.clip";
  return NumericalError(
      absl::StrCat("step ", r.step, ": loss ", r.loss, ", gradient norm ", r.grad_norm, ": ", found, remedy));
}

absl::Status TrainLoop::TooMany(const StepResult& r) const {
  const auto faults = static_cast<int64_t>(engine_.progress().skipped.size());
  if (faults < run_.config.anomaly.most) return absl::OkStatus();
  return NumericalError(absl::StrCat("step ", r.step, ": ", DescribeAnomaly(r.anomaly, r.loss, r.usual_loss),
                                     ", after ", faults,
                                     " skips and rollbacks (anomaly.most = ", run_.config.anomaly.most, ")"));
}

absl::Status TrainLoop::Skip(const StepResult& result) {
  if (absl::Status few = TooMany(result); !few.ok()) {
    Told(saver_.Finish());
    return few;
  }
  engine_.SkipStep(result);
  absl::Status written;
  if (reporter_ != nullptr) {
    reporter_->Note(absl::StrCat("step ", result.step, " is skipped: ",
                                 DescribeAnomaly(result.anomaly, result.loss, result.usual_loss)));
    written = WriteSkipped();
  }
  return AgreeOnStatus(written, world_);
}

absl::Status TrainLoop::GoBack(const StepResult& result) {
  if (absl::Status few = TooMany(result); !few.ok()) {
    Told(saver_.Finish());
    return few;
  }
  Told(saver_.Finish());
  FlightRecorder& recorder = *world_.flight_recorder();
  recorder.SetActivity("loading");
  recorder.set_timeout(std::max(run_.config.comm.timeout, run_.config.comm.start_timeout));
  const absl::StatusOr<Resumed> resumed = RollBack(run_.config, result, engine_, world_);
  recorder.set_timeout(run_.config.comm.timeout);
  if (!resumed.ok()) return resumed.status();
  saved_step_ = resumed->step;
  absl::Status written;
  if (reporter_ != nullptr) {
    reporter_->Note(absl::StrCat(
        "step ", result.step, ": ", DescribeAnomaly(result.anomaly, result.loss, result.usual_loss),
        "; back to step ", resumed->step, ", and the data goes on behind this step's"));
    written = reporter_->StartAt(*resumed);
    if (written.ok()) written = WriteSkipped();
  }
  if (absl::Status agreed = AgreeOnStatus(written, world_); !agreed.ok()) return agreed;
  // With what has been left out: a start after a crash knows it too.
  Save();
  Told(saver_.Finish());
  bytes_ = engine_.model().groups().BytesSent();
  return absl::OkStatus();
}

absl::Status TrainLoop::WriteSkipped() {
  return WriteSkippedLedger(run_, engine_.progress().skipped);
}

std::pair<double, double> TrainLoop::Evaluate() {
  const int64_t batches = run_.config.evaluate.batches;
  const double validation = engine_.Evaluate(/*validation=*/true, batches);
  return {validation, engine_.Evaluate(/*validation=*/false, batches)};
}

absl::Status TrainLoop::Sample(int64_t step) {
  const EvaluateConfig& e = run_.config.evaluate;
  const Tokenizer* tokenizer = run_.dataset.tokenizer.get();
  if (tokenizer == nullptr || e.sample_tokens == 0) return absl::OkStatus();
  const std::string prompt = e.prompt.empty() ? "\n" : e.prompt;
  const absl::StatusOr<std::vector<int64_t>> ids = tokenizer->Encode(prompt);
  if (!ids.ok()) return ids.status();
  const SamplingOptions options{e.sample_tokens, e.temperature, e.top_k,
                                static_cast<uint64_t>(run_.config.run.seed + step)};
  const std::vector<int64_t> text = Generate(engine_.model(), *ids, run_.config.model.context, options);
  if (reporter_ == nullptr) return absl::OkStatus();
  const absl::StatusOr<std::string> decoded = tokenizer->Decode(text);
  return decoded.ok() ? reporter_->Sample(step, prompt, *decoded) : decoded.status();
}

absl::Status TrainLoop::CheckReplicas(int64_t step) {
  if (faults_ != nullptr && faults_->Drifts()) {
    ShardedUnit& unit = *engine_.model().units().front();
    unit.OpenValues().narrow(0, 0, 1).add_(1.0);
    unit.CloseValues(/*changed=*/true);
  }
  const int64_t every = run_.config.train.check_replicas;
  if (every == 0 || step % every != 0) return absl::OkStatus();
  world_.flight_recorder()->SetActivity("comparing replicas");
  const std::string drift = FindDrift(engine_.model(), engine_.optimizer(), run_.config.model.tie_embeddings);
  if (drift.empty()) return absl::OkStatus();
  Told(saver_.Finish());
  return NumericalError(
      absl::StrCat("step ", step, ": ", drift,
                   ": what must be equal to the bit is not (train.check_replicas); a device that "
                   "computes wrongly, or a bug of Orthant's"));
}

std::array<int64_t, kAxisCount> TrainLoop::BytesOfStep() {
  std::array<int64_t, kAxisCount> now = engine_.model().groups().BytesSent();
  for (int a = 0; a < kAxisCount; ++a) now[a] -= bytes_[a];
  return now;
}

nlohmann::ordered_json TrainLoop::Facts() const {
  return world_.rank() == 0 ? CheckpointFacts(run_, engine_.progress()) : nlohmann::ordered_json();
}

void TrainLoop::At(FaultPhase phase, const char* activity) {
  world_.flight_recorder()->SetActivity(activity);
  if (faults_ != nullptr) faults_->At(phase);
}

}  // namespace orthant
