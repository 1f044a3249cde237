#include "orthant/checkpoint/saver.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "checkpoint/collect.h"
#include "checkpoint/placing.h"
#include "checkpoint/rank_texts.h"
#include "checkpoint/reports.h"
#include "checkpoint/shard_job.h"
#include "checkpoint/worker.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

void StatePiece::Fetch(std::byte* to) const {
  if (data != nullptr) {
    std::copy_n(data, bytes(), to);
  } else if (source.defined()) {
    at::from_blob(to, {bytes()}, at::kByte).copy_(source.view(at::kByte));
  } else {
    fetch(to);
  }
}

class Saver::Impl {
 public:
  Impl(SaverOptions options, Communicator& world)
      : options_(std::move(options)), world_(world), job_(options_) {}

  ~Impl() {
    job_.Cancel();
    worker_.Join();
    if (phase_ == Phase::kWriting) job_.Abandon();
  }

  std::optional<SaveResult> Start(int64_t step, std::vector<StatePiece> pieces, nlohmann::ordered_json run) {
    std::optional<SaveResult> previous = FinishInStart();
    start_ = Clock::now();
    result_ = SaveResult();
    result_.step = step;
    result_.path = absl::StrCat(options_.folder, "/", StepName(step));
    run_ = std::move(run);
    job_.Prepare(step, std::move(pieces), BlockOf(world_.rank(), world_.size(), options_.writers), world_);
    phase_ = Phase::kWriting;
    StartWriting();
    if (!options_.asynchronous) {
      SaveResult ended = *Finish();
      result_ = std::move(ended);
      phase_ = Phase::kEnded;
    }
    result_.held_seconds += SecondsSince(start_);
    return previous;
  }

  void BeforeUpdate(int unit) {
    if (job_.copied(unit)) return;
    const Clock::time_point start = Clock::now();
    job_.WaitForUnit(unit);
    result_.held_seconds += SecondsSince(start);
  }

  bool active() const { return phase_ != Phase::kIdle; }
  bool busy() const { return worker_.busy(); }

  std::optional<SaveResult> Advance() {
    switch (phase_) {
      case Phase::kIdle:
        return std::nullopt;
      case Phase::kWriting:
        StartPlacing();
        return std::nullopt;
      case Phase::kPlacing:
        worker_.Join();
        ReadOutcome(BroadcastFromZero(world_.rank() == 0 ? OutcomeText(result_) : "", world_), &result_);
        result_.seconds = SecondsSince(start_);
        break;
      case Phase::kEnded:
        break;
    }
    phase_ = Phase::kIdle;
    return std::exchange(result_, SaveResult());
  }

  std::optional<SaveResult> Finish() {
    while (active()) {
      if (phase_ != Phase::kEnded) WaitForAll();
      if (std::optional<SaveResult> result = Advance(); result.has_value()) return result;
    }
    return std::nullopt;
  }

 private:
  enum class Phase { kIdle, kWriting, kPlacing, kEnded };

  void StartWriting() {
    if (!job_.writes()) return;
    try {
      worker_.Start([this] { job_.Run(); });
    } catch (const std::system_error& error) {
      job_.Fail(EnvironmentError(
          absl::StrCat("the system gives no thread for writing (ulimit -u): ", error.code().message())));
    }
  }

  // What the previous save still takes is time that it holds the step up.
  std::optional<SaveResult> FinishInStart() {
    const bool ended = phase_ == Phase::kEnded;
    const Clock::time_point start = Clock::now();
    std::optional<SaveResult> result = Finish();
    if (result.has_value() && !ended) result->held_seconds += SecondsSince(start);
    return result;
  }

  // Until no rank is busy. Disks may take longer than a communication may, so none lasts longer than the
  // longest pause between two questions.
  void WaitForAll() {
    using std::chrono::milliseconds;
    milliseconds pause(2);
    while (true) {
      worker_.WaitFor(pause);
      const at::Tensor any = at::full({1}, worker_.busy() ? 1 : 0, at::kLong);
      world_.AllReduce(any, ReduceOp::kMax, "checkpoint.busy");
      if (any.item<int64_t>() == 0) return;
      pause = std::min(2 * pause, milliseconds(250));
    }
  }

  void StartPlacing() {
    worker_.Join();
    // From here on the shard belongs to rank 0, which may put it in place whatever happens to this rank.
    phase_ = Phase::kPlacing;
    std::vector<std::string> reports = GatherTexts(job_.report(), world_);
    if (world_.rank() != 0) return;
    worker_.Start([this, reports = std::move(reports)] { PlaceOrRemove(reports); });
  }

  // On rank 0's worker.
  void PlaceOrRemove(const std::vector<std::string>& reports) {
    try {
      result_.status = PlaceAll(reports);
    } catch (const std::exception& error) {
      result_.status = EnvironmentError(error.what());
    }
    if (result_.status.ok()) return;
    result_.status = Annotate(result_.status, absl::StrCat("the checkpoint of step ", result_.step,
                                                           " was not saved, earlier ones are as they were"));
    const absl::Status removed = RemoveAll(WritingFolder(options_.folder, result_.step));
    if (!removed.ok()) result_.notice = std::string(removed.message());
  }

  absl::Status PlaceAll(const std::vector<std::string>& reports) {
    absl::StatusOr<CheckpointManifest> manifest = JoinReports(reports);
    if (!manifest.ok()) return manifest.status();
    manifest->run = std::move(run_);
    result_.bytes = manifest->bytes();
    const Placement placement{options_.folder, options_.keep_last, options_.keep_every, nullptr};
    return Annotate(Place(placement, *manifest, &result_.notice), "rank 0");
  }

  const SaverOptions options_;
  Communicator& world_;
  Phase phase_ = Phase::kIdle;
  Clock::time_point start_;
  SaveResult result_;  // rank 0: of its worker while that places
  nlohmann::ordered_json run_;
  ShardJob job_;
  Worker worker_;  // last: ends before what it uses
};

Saver::Saver(SaverOptions options, Communicator& world)
    : impl_(std::make_unique<Impl>(std::move(options), world)) {}
Saver::~Saver() = default;

std::optional<SaveResult> Saver::Start(int64_t step, std::vector<StatePiece> pieces,
                                       nlohmann::ordered_json run) {
  return impl_->Start(step, std::move(pieces), std::move(run));
}
void Saver::BeforeUpdate(int unit) {
  impl_->BeforeUpdate(unit);
}
bool Saver::active() const {
  return impl_->active();
}
bool Saver::busy() const {
  return impl_->busy();
}
std::optional<SaveResult> Saver::Advance() {
  return impl_->Advance();
}
std::optional<SaveResult> Saver::Finish() {
  return impl_->Finish();
}

}  // namespace orthant
