// The end of a run on threads: what its ranks were doing when the first of them failed, and the verdict.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "orthant/comm/flight_record.h"
#include "orthant/comm/local.h"
#include "orthant/train/launch.h"

namespace orthant {

// What an exception that left a rank means to the user.
absl::Status StatusOf(const std::exception_ptr& error);

class LocalInquest {
 public:
  LocalInquest(const RunPlace& place, int ranks);
  ~LocalInquest();  // all ranks have ended

  // To be called before the ranks run.
  void Attend(LocalWorld& world);
  // By each rank that ends with an error, on its thread.
  void Note(int rank, const std::exception_ptr& error);
  // The run's status, once RunLocal has thrown `error`; writes records and verdict.
  absl::Status Conclude(const std::exception_ptr& error);

 private:
  void OnFailure(const LocalWorld& world, const LocalFailure& failure);
  absl::Status Write(absl::Status status);
  void EndStuckRun();

  const RunPlace& place_;
  int ranks_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable ended_;
  bool over_ = false;
  std::optional<LocalFailure> failure_;
  std::vector<FlightRecord> records_;  // as the first failure found them
  int failed_rank_ = -1;               // the first that failed by itself, and how
  absl::Status failed_;
  std::thread rescue_;
};

}  // namespace orthant
