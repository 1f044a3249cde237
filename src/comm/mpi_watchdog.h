// The watchdog of one process under MPI: a thread that looks after its neighbours and its own rank's
// deadlines, and that ends the whole job with one verdict when a rank cannot go on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "comm/mpi_launcher.h"
#include "comm/mpi_postbox.h"
#include "comm/process_state.h"
#include "orthant/comm/communicator.h"
#include "orthant/comm/verdict.h"

namespace orthant::mpi {

class Watchdog {
 public:
  // Over all processes, with their ranks in `world`. Collective. `end_job` ends all processes with a code and
  // does not return.
  Watchdog(MPI_Comm world, std::shared_ptr<FlightRecorder> recorder, std::function<void(int code)> end_job);
  // The thread ends; the job goes on unwatched.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Where records go and what ranks are called. Any thread.
  void SetPlace(std::string flight_folder, DescribeRank describe);

  // The rank's own thread cannot go on: an operation was too late ...
  void DeadlinePassed();
  // ... or it failed with this message. Both wait for the job's end, and return only when it does not come.
  void Failed(int exit_code, const std::string& message);

  // Around MPI calls that have no deadline of their own.
  void EnterBlocking() { blocking_since_.store(Clock::now().time_since_epoch().count()); }
  void LeaveBlocking() { blocking_since_.store(0); }

  // Waits until all processes have come here, so that none sees another end too early. Collective.
  void Part();

 private:
  using Clock = std::chrono::steady_clock;

  struct Peer {  // what every process tells of itself at the start
    char host[64] = "";
    int64_t pid = 0;
    uint64_t start_time = 0;
    bool visible = false;  // on this host, and seen in /proc
  };

  struct Call {  // to a rank of another host, to see whether that is still there
    Clock::time_point asked{};
    bool open = false;  // it has not answered
  };

  void MeetPeers();
  void MeetHosts();
  void ThreadMain();
  void WaitForTheEnd();
  // Answers letters until `done()` or the time has passed; true: done.
  bool ServeFor(double seconds, const std::function<bool()>& done);
  void Serve(const Postbox::Received& letter);
  void AnswerAsk(int leader);
  bool SeesTrouble();
  bool LauncherGone() const;
  // Calls those ranks of other hosts that have answered before.
  void CallHosts();
  // Ranks on hosts whose called rank has been silent for so long.
  std::vector<int> SilentFor(double seconds) const;
  std::vector<int> OwnSilent() const;  // for long enough to count as lost
  // Whether SIGTERM is the launcher's answer to a lost host, which leaves us about a second.
  bool LauncherLostAHost() const;
  double WaitedSeconds() const;
  bool HasLeft(int rank) const;
  AbsentRank Absent(int rank) const;
  ProcessState StateOfPeer(int rank) const;
  FlightRecord OwnRecord(size_t limit) const;
  void HandleTrouble();
  int FindLeader();
  void Lead();
  void Tell(Verdict verdict);
  bool OthersHaveTold(const std::string& folder, bool ours) const;
  void EndEverywhere(const Verdict& verdict);
  [[noreturn]] void EndAlone(int code);
  std::vector<FlightRecord> GatherRecords();

  std::shared_ptr<FlightRecorder> recorder_;
  std::function<void(int)> end_job_;
  Postbox post_;
  std::vector<Peer> peers_;
  std::vector<int> neighbours_;  // whom this one looks after
  std::map<int, Call> calls_;    // by rank: one on each of the next hosts
  bool first_on_host_ = true;    // the lowest rank of this host
  int64_t parent_ = 0;           // at the start
  Launcher launcher_;
  std::atomic<Clock::rep> blocking_since_{0};
  std::atomic<bool> trouble_{false};
  std::atomic<bool> stop_{false};
  std::atomic<bool> parting_{false};  // nobody is to be called any more

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::string folder_;
  DescribeRank describe_;
  int own_code_ = 0;
  std::string own_error_;

  // The thread's own.
  bool urgent_ = false;  // the launcher is about to kill us
  bool lead_ = false;    // another rank has chosen us
  int asked_by_ = -1;    // a leader that has asked for our record
  std::map<int, FlightRecord> records_;
  std::set<int> lost_;  // ranks on hosts that do not answer: nothing is expected of them
  std::set<int> pongs_;
  std::set<int> written_;
  std::thread thread_;
};

}  // namespace orthant::mpi
