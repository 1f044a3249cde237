#include "comm/mpi_watchdog.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "comm/mpi_engine.h"
#include "orthant/core/signals.h"

namespace orthant::mpi {
namespace {

constexpr int kNeighbours = 2;      // each process looks after so many of its host, and calls so many hosts
constexpr double kCallEvery = 1.0;  // seconds of waiting before a host is called, and between two calls
constexpr double kSilent = 2.0;     // without an answer a host is silent
constexpr double kSilentUrgent = 0.3;
constexpr double kPoll = 0.1;        // seconds between two looks
constexpr double kWaitForEnd = 8.0;  // how long a rank in trouble waits for the verdict
constexpr double kGoodbye = 30.0;
constexpr size_t kRecordedOperations = 512;  // of a rank's file

std::chrono::duration<double> Seconds(double seconds) {
  return std::chrono::duration<double>(seconds);
}

}  // namespace

Watchdog::Watchdog(MPI_Comm world, std::shared_ptr<FlightRecorder> recorder,
                   std::function<void(int code)> end_job)
    : recorder_(std::move(recorder)),
      end_job_(std::move(end_job)),
      post_(world),
      parent_(getppid()),
      launcher_(FindLauncher()) {
  MeetPeers();
  MeetHosts();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "watchdog");
    ThreadMain();
  });
}

Watchdog::~Watchdog() {
  stop_.store(true);
  wake_.notify_all();
  thread_.join();
}

void Watchdog::MeetPeers() {
  Peer own;
  gethostname(own.host, sizeof(own.host) - 1);
  own.pid = getpid();
  own.start_time = StartTimeOf(own.pid);
  peers_.resize(static_cast<size_t>(post_.size()));
  Check(MPI_Allgather(&own, sizeof(Peer), MPI_BYTE, peers_.data(), sizeof(Peer), MPI_BYTE, post_.comm()),
        "MPI_Allgather");
  // Two containers may carry one host name and number their processes alike: only a process that is seen
  // where it says it is can be looked after.
  for (Peer& peer : peers_) {
    peer.visible = std::strncmp(peer.host, own.host, sizeof(own.host)) == 0 && peer.start_time != 0 &&
                   StartTimeOf(peer.pid) == peer.start_time;
  }
  for (int i = 1; i < post_.size() && static_cast<int>(neighbours_.size()) < kNeighbours; ++i) {
    const int peer = (post_.rank() + i) % post_.size();
    if (peers_[static_cast<size_t>(peer)].visible) neighbours_.push_back(peer);
  }
}

// Each rank calls its counterparts on the next hosts: few calls for everyone, and of each host somebody
// knows.
void Watchdog::MeetHosts() {
  std::map<std::string, std::vector<int>> ranks;
  std::vector<std::string> hosts;  // by their lowest rank
  for (int rank = 0; rank < post_.size(); ++rank) {
    const std::string host = peers_[static_cast<size_t>(rank)].host;
    if (ranks[host].empty()) hosts.push_back(host);
    ranks[host].push_back(rank);
  }
  const std::string own = peers_[static_cast<size_t>(post_.rank())].host;
  first_on_host_ = ranks[own].front() == post_.rank();
  const auto place =
      static_cast<size_t>(std::find(ranks[own].begin(), ranks[own].end(), post_.rank()) - ranks[own].begin());
  const auto at = static_cast<size_t>(std::find(hosts.begin(), hosts.end(), own) - hosts.begin());
  for (size_t i = 1; i < hosts.size() && calls_.size() < static_cast<size_t>(kNeighbours); ++i) {
    const std::vector<int>& there = ranks[hosts[(at + i) % hosts.size()]];
    calls_[there[place % there.size()]] = {};
  }
}

void Watchdog::SetPlace(std::string flight_folder, DescribeRank describe) {
  const std::lock_guard lock(mutex_);
  folder_ = std::move(flight_folder);
  describe_ = std::move(describe);
}

void Watchdog::DeadlinePassed() {
  trouble_.store(true);
  WaitForTheEnd();
}

void Watchdog::Failed(int exit_code, const std::string& message) {
  {
    const std::lock_guard lock(mutex_);
    own_code_ = exit_code;
    own_error_ = message;
  }
  trouble_.store(true);
  WaitForTheEnd();
}

void Watchdog::WaitForTheEnd() {
  wake_.notify_all();
  std::this_thread::sleep_for(Seconds(kWaitForEnd));
}

void Watchdog::Part() {
  parting_.store(true);
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(post_.comm(), &request) != MPI_SUCCESS) return;
  const Clock::time_point start = Clock::now();
  int complete = 0;
  while (MPI_Test(&request, &complete, MPI_STATUS_IGNORE) == MPI_SUCCESS && complete == 0) {
    if (Clock::now() - start > Seconds(kGoodbye)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Watchdog::ThreadMain() {
  while (!stop_.load()) {
    while (const std::optional<Postbox::Received> letter = post_.Take()) Serve(*letter);
    CallHosts();
    if (lead_ || SeesTrouble()) HandleTrouble();
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, Seconds(asked_by_ >= 0 || StopSignal() != 0 ? kPoll / 20 : kPoll),
                   [this] { return stop_.load() || trouble_.load(); });
  }
}

ProcessState Watchdog::StateOfPeer(int rank) const {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  return peer.visible ? StateOf(peer.pid, peer.start_time) : ProcessState::kRunning;
}

bool Watchdog::LauncherGone() const {
  return getppid() != parent_;
}

// Only while this rank waits, or is about to be ended: a healthy run has no use for it.
void Watchdog::CallHosts() {
  if (calls_.empty() || parting_.load()) return;
  const bool soon = StopSignal() == SIGTERM;
  if (!soon && WaitedSeconds() < kCallEvery) return;
  const Clock::time_point now = Clock::now();
  for (auto& [rank, call] : calls_) {
    if (call.open || now - call.asked < Seconds(soon ? kPoll : kCallEvery)) continue;
    call = {now, true};
    post_.Send(rank, Letter::kPing);
  }
}

std::vector<int> Watchdog::SilentFor(double seconds) const {
  std::vector<int> silent;
  const Clock::time_point now = Clock::now();
  for (const auto& [called, call] : calls_) {
    if (!call.open || now - call.asked < Seconds(seconds)) continue;
    const char* host = peers_[static_cast<size_t>(called)].host;
    for (int rank = 0; rank < post_.size(); ++rank) {
      if (std::strcmp(peers_[static_cast<size_t>(rank)].host, host) == 0) silent.push_back(rank);
    }
  }
  std::sort(silent.begin(), silent.end());
  return silent;
}

std::vector<int> Watchdog::OwnSilent() const {
  return SilentFor(urgent_ ? kSilentUrgent : kSilent);
}

double Watchdog::WaitedSeconds() const {
  const uint64_t waiting = recorder_->waiting();
  if (waiting == 0) return 0.0;
  for (const FlightEntry& entry : recorder_->Entries()) {
    const bool over = entry.state == FlightState::kDone || entry.state == FlightState::kFailed;
    if (entry.ticket != waiting || over) continue;
    return std::chrono::duration<double>(Clock::now() - entry.queued).count();
  }
  return 0.0;
}

bool Watchdog::LauncherLostAHost() const {
  return StopSignal() == SIGTERM && launcher_.pid != 0 && !SilentFor(kSilentUrgent).empty() &&
         WaitedSeconds() > kSilentUrgent;
}

bool Watchdog::HasLeft(int rank) const {
  return lost_.count(rank) != 0 || StateOfPeer(rank) == ProcessState::kGone;
}

// Whether this process must say that the job cannot go on. SIGTERM alone is a wish to stop, which the trainer
// grants at the end of the step; together with a dead peer it is the launcher that ends the job.
bool Watchdog::SeesTrouble() {
  const auto gone = [this](int rank) { return StateOfPeer(rank) == ProcessState::kGone; };
  bool dead = std::any_of(neighbours_.begin(), neighbours_.end(), gone);
  if (!dead && StopSignal() != 0) {
    dead = LauncherGone() || LauncherLostAHost();
    for (int rank = 0; rank < post_.size() && !dead; ++rank) dead = gone(rank);
  }
  urgent_ = urgent_ || dead;
  if (dead || trouble_.load()) return true;
  const Clock::rep since = blocking_since_.load();
  if (since == 0) return false;
  const Clock::time_point start{Clock::duration(since)};
  return Clock::now() - start > Seconds(recorder_->timeout());
}

bool Watchdog::ServeFor(double seconds, const std::function<bool()>& done) {
  const Clock::time_point start = Clock::now();
  while (!done()) {
    if (Clock::now() - start > Seconds(seconds)) return false;
    if (const std::optional<Postbox::Received> letter = post_.Take()) {
      Serve(*letter);
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return true;
}

void Watchdog::Serve(const Postbox::Received& letter) {
  switch (letter.letter) {
    case Letter::kPing:
      return post_.Send(letter.from, Letter::kPong);
    case Letter::kPong:
      pongs_.insert(letter.from);
      if (const auto call = calls_.find(letter.from); call != calls_.end()) call->second.open = false;
      return;
    case Letter::kTrouble:
      lead_ = true;
      [[fallthrough]];
    case Letter::kRecord:
      if (absl::StatusOr<FlightRecord> record = ParseFlightRecord(letter.text, "a rank's record");
          record.ok()) {
        lost_.insert(record->silent.begin(), record->silent.end());
        records_[letter.from] = *std::move(record);
      }
      return;
    case Letter::kAsk:
      return AnswerAsk(letter.from);
    case Letter::kWritten:
      written_.insert(letter.from);
      return;
    case Letter::kEnd:
      EndAlone(std::atoi(letter.text.c_str()));
  }
}

FlightRecord Watchdog::OwnRecord(size_t limit) const {
  FlightRecord record = RecordOf(*recorder_, limit);
  record.world = post_.size();
  record.silent = OwnSilent();
  const std::lock_guard lock(mutex_);
  if (describe_) record.place = describe_(record.rank);
  record.error = own_error_;
  record.exit_code = own_code_;
  return record;
}

// The record goes out first: a slow disk must not make us look dead.
void Watchdog::AnswerAsk(int leader) {
  asked_by_ = leader;
  FlightRecord record = OwnRecord(kRecordedOperations);
  for (int rank = 0; rank < post_.size(); ++rank) {
    const ProcessState state = StateOfPeer(rank);
    if (state == ProcessState::kGone) record.dead.push_back(rank);
    if (state == ProcessState::kStopped) record.stopped.push_back(rank);
  }
  FlightRecord brief = record;
  Trim(&brief);
  post_.Send(leader, Letter::kRecord, FlightRecordText(brief));
  std::string folder;
  {
    const std::lock_guard lock(mutex_);
    folder = folder_;
  }
  WriteFlightRecord(folder, record);
  post_.Send(leader, Letter::kWritten);
}

}  // namespace orthant::mpi
