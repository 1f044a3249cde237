// Small messages between the watchdogs of all processes, on a communicator of their own.
#pragma once

#include <mpi.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace orthant::mpi {

enum class Letter : int {
  kPing = 1,     // are you there?
  kPong = 2,     // yes
  kTrouble = 3,  // I cannot go on; with my record. Whoever receives it leads
  kAsk = 4,      // send me your record, and write it to your file
  kRecord = 5,
  kWritten = 6,
  kEnd = 7,  // the verdict is told: end with this exit code, nobody else can end you
};

class Postbox {
 public:
  // Between the processes of `world`, named by their ranks in it. Collective.
  explicit Postbox(MPI_Comm world);
  ~Postbox();
  Postbox(const Postbox&) = delete;
  Postbox& operator=(const Postbox&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm comm() const { return comm_; }

  // Never waits; a letter to a process that is gone or suspended just stays.
  void Send(int to, Letter letter, std::string text = "");

  struct Received {
    int from = 0;
    Letter letter = Letter::kPing;
    std::string text;
  };
  std::optional<Received> Take();  // none: nothing has come

 private:
  struct Outgoing {
    std::string text;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::deque<std::unique_ptr<Outgoing>> outgoing_;
};

}  // namespace orthant::mpi
