// The watchdog's part that ends a job: the ranks in trouble agree on a leader, who gathers the records of
// all, judges and speaks. Everything has a limit, since any process may be dead or suspended; at the worst
// two lead, and the one that creates verdict.json speaks.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "comm/mpi_watchdog.h"

namespace orthant::mpi {
namespace {

// Seconds. `urgent`: mpirun kills about one second after SIGTERM.
struct Limits {
  double ping, defer, records, files;
};
constexpr Limits kCalm = {0.5, 2.8, 1.5, 0.7};
constexpr Limits kUrgent = {0.1, 0.3, 0.35, 0.15};
constexpr int kPingedAtOnce = 8;
// Of two sides of a network that has come apart the smaller speaks later, if at all.
constexpr double kSmallerSide = 0.7;
// Letters are on their way before the process ends.
constexpr double kPosting = 0.05;
// What mpirun and its daemons need to end the ranks; after a lost host they would stay.
constexpr double kEndRanks = 1.0;
constexpr double kEndLauncher = 1.5;

}  // namespace

void Watchdog::HandleTrouble() {
  const std::vector<int> silent = OwnSilent();
  lost_.insert(silent.begin(), silent.end());
  if (!lead_) {
    const int leader = asked_by_ >= 0 ? asked_by_ : FindLeader();
    if (leader != post_.rank()) {
      const Limits& limits = urgent_ && asked_by_ < 0 ? kUrgent : kCalm;
      FlightRecord record = OwnRecord(0);
      Trim(&record);
      post_.Send(leader, Letter::kTrouble, FlightRecordText(record));
      ServeFor(limits.defer, [this] { return lead_ || stop_.load(); });
      if (stop_.load()) return;
    }
  }
  Lead();
}

// The lowest rank that answers; of those that are known to be gone nothing is asked.
int Watchdog::FindLeader() {
  const Limits& limits = urgent_ ? kUrgent : kCalm;
  const int self = post_.rank();
  for (int first = 0; first < self; first += kPingedAtOnce) {
    std::vector<int> asked;
    for (int rank = first; rank < std::min(self, first + kPingedAtOnce); ++rank) {
      if (!HasLeft(rank) && StateOfPeer(rank) == ProcessState::kRunning) asked.push_back(rank);
    }
    for (const int rank : asked) {
      pongs_.erase(rank);
      post_.Send(rank, Letter::kPing);
    }
    if (asked.empty()) continue;
    ServeFor(limits.ping, [&] { return pongs_.count(asked.front()) != 0 || lead_ || asked_by_ >= 0; });
    if (lead_) return self;
    if (asked_by_ >= 0) return asked_by_;
    for (const int rank : asked) {
      if (pongs_.count(rank) != 0) return rank;
    }
  }
  return self;
}

AbsentRank Watchdog::Absent(int rank) const {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  AbsentRank absent{rank, Absence::kSilent, peer.host, peer.pid, ""};
  switch (StateOfPeer(rank)) {
    case ProcessState::kGone:
      absent.absence = Absence::kDead;
      break;
    case ProcessState::kStopped:
      absent.absence = Absence::kStopped;
      break;
    case ProcessState::kRunning:
      break;
  }
  const std::lock_guard lock(mutex_);
  if (describe_) absent.place = describe_(rank);
  return absent;
}

std::vector<FlightRecord> Watchdog::GatherRecords() {
  const Limits& limits = urgent_ ? kUrgent : kCalm;
  std::set<int> asked;
  for (int rank = 0; rank < post_.size(); ++rank) {
    if (rank == post_.rank() || HasLeft(rank)) continue;
    asked.insert(rank);
    records_.erase(rank);  // what a rank in trouble sent before may be old
    post_.Send(rank, Letter::kAsk);
  }
  const FlightRecord own = OwnRecord(512);
  std::string folder;
  {
    const std::lock_guard lock(mutex_);
    folder = folder_;
  }
  WriteFlightRecord(folder, own);
  FlightRecord brief = own;
  Trim(&brief);
  records_[post_.rank()] = std::move(brief);
  const auto all_in = [&](const auto& answers) {
    return std::all_of(asked.begin(), asked.end(),
                       [&](int rank) { return answers.count(rank) != 0 || lost_.count(rank) != 0; });
  };
  ServeFor(limits.records, [&] { return all_in(records_); });
  if (!folder.empty()) {
    ServeFor(limits.files, [&] {
      return std::all_of(asked.begin(), asked.end(),
                         [&](int rank) { return records_.count(rank) == 0 || written_.count(rank) != 0; });
    });
  }
  std::vector<FlightRecord> records;
  for (const auto& [rank, record] : records_) records.push_back(record);
  return records;
}

void Watchdog::Lead() {
  const std::vector<FlightRecord> records = GatherRecords();
  std::vector<AbsentRank> absent;
  for (int rank = 0; rank < post_.size(); ++rank) {
    if (records_.count(rank) == 0) absent.push_back(Absent(rank));
  }
  Tell(Judge(records, absent));
}

// Whether another leader's verdict is the one that the user gets to see. `ours`: this is the lost side.
bool Watchdog::OthersHaveTold(const std::string& folder, bool ours) const {
  const absl::StatusOr<Verdict> told = ReadVerdict(folder);
  const bool beyond = told.ok() && told->told_by >= 0 && records_.count(told->told_by) == 0;
  // The files may be shared where the way to the user is not: what mpirun hears is what its own side says.
  return !beyond || (ours && !launcher_.speaks);
}

void Watchdog::Tell(Verdict verdict) {
  std::string folder;
  {
    const std::lock_guard lock(mutex_);
    folder = folder_;
  }
  verdict.told_by = post_.rank();
  const bool lost = verdict.cause == kLostHost;
  const bool ours = lost && std::count(verdict.ranks.begin(), verdict.ranks.end(), post_.rank()) != 0;
  if (ours && !urgent_) ServeFor(kSmallerSide, [this] { return stop_.load(); });
  if (WriteVerdict(folder, verdict) || (lost && !OthersHaveTold(folder, ours))) {
    const std::string text = absl::StrCat("error: ", Spoken(verdict, folder), "\n");
    std::fputs(text.c_str(), stderr);
    std::fflush(stderr);
  } else {
    // Another leader speaks, and ends the job as soon as it has.
    std::this_thread::sleep_for(std::chrono::duration<double>(kCalm.files));
  }
  if (lost) EndEverywhere(verdict);
  end_job_(verdict.exit_code);
}

// What end_job_ asks of the launcher may reach none of its daemons: everyone who has answered is told to end.
void Watchdog::EndEverywhere(const Verdict& verdict) {
  for (const auto& [rank, record] : records_) {
    if (rank != post_.rank()) post_.Send(rank, Letter::kEnd, absl::StrCat(verdict.exit_code));
  }
  ServeFor(kPosting, [] { return false; });
  if (first_on_host_) EndLauncherLater(launcher_, kEndLauncher);
}

void Watchdog::EndAlone(int code) {
  if (first_on_host_) EndLauncherLater(launcher_, kEndLauncher);
  std::this_thread::sleep_for(std::chrono::duration<double>(kEndRanks));
  std::_Exit(code);
}

}  // namespace orthant::mpi
