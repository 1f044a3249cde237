#include "train/launch_local.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "orthant/comm/verdict.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// A thread that computes cannot be stopped: when not all ranks have ended so long after the first failure,
// the process ends without them.
constexpr std::chrono::seconds kPatience{4};
constexpr size_t kRecordedOperations = 512;

}  // namespace

absl::Status StatusOf(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const StatusError& e) {
    return e.status();
  } catch (const CommError& e) {
    return CommunicationError(e.what());
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

LocalInquest::LocalInquest(const RunPlace& place, int ranks) : place_(place), ranks_(ranks) {}

LocalInquest::~LocalInquest() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  ended_.notify_all();
  if (rescue_.joinable()) rescue_.join();
}

void LocalInquest::Attend(LocalWorld& world) {
  world.OnFailure([this, &world](const LocalFailure& failure) { OnFailure(world, failure); });
}

void LocalInquest::OnFailure(const LocalWorld& world, const LocalFailure& failure) {
  const std::lock_guard lock(mutex_);
  failure_ = failure;
  for (int rank = 0; rank < ranks_; ++rank) {
    FlightRecord record = RecordOf(*world.flight_recorder(rank), kRecordedOperations);
    record.world = ranks_;
    if (place_.describe) record.place = place_.describe(rank);
    records_.push_back(std::move(record));
  }
  rescue_ = std::thread([this] { EndStuckRun(); });
}

void LocalInquest::Note(int rank, const std::exception_ptr& error) {
  if (FollowsFromAnother(error)) return;
  const std::lock_guard lock(mutex_);
  if (failed_rank_ >= 0) return;
  failed_rank_ = rank;
  failed_ = StatusOf(error);
}

// The verdict instead of the error that brought it about, where the records tell more. Under mutex_.
absl::Status LocalInquest::Write(absl::Status status) {
  // What every rank returns alike is no rank's failure.
  const ExitCode code = ExitCodeOf(status);
  if (records_.empty() || code == ExitCode::kNumerical || code == ExitCode::kSignal) return status;
  const bool late = failure_->deadline && code == ExitCode::kCommunication;
  const int rank = failed_rank_ >= 0 ? failed_rank_ : failure_->rank;
  if (!late && rank >= 0) {
    FlightRecord& failed = records_[static_cast<size_t>(rank)];
    failed.error = std::string(status.message());
    failed.exit_code = static_cast<int>(code);
  }
  const Verdict verdict = Judge(records_, {});
  for (const FlightRecord& record : records_) WriteFlightRecord(place_.flight_folder, record);
  WriteVerdict(place_.flight_folder, verdict);
  return StatusWithExitCode(static_cast<ExitCode>(verdict.exit_code), Spoken(verdict, place_.flight_folder));
}

absl::Status LocalInquest::Conclude(const std::exception_ptr& error) {
  const std::lock_guard lock(mutex_);
  over_ = true;
  ended_.notify_all();
  return Write(StatusOf(error));
}

void LocalInquest::EndStuckRun() {
  std::unique_lock lock(mutex_);
  if (ended_.wait_for(lock, kPatience, [this] { return over_; })) return;
  const absl::Status status = Write(failed_rank_ >= 0 ? failed_ : CommunicationError(failure_->reason));
  std::fputs(absl::StrCat("error: ", status.message(), "\n").c_str(), stderr);
  std::fflush(stderr);
  std::_Exit(static_cast<int>(ExitCodeOf(status)));
}

}  // namespace orthant
