// Letters over MPI, on a communicator of their own.
#pragma once

#include <mpi.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "comm/nccl_letters.h"

namespace orthant::mpi {

class MpiLetters : public nccl::Letters {
 public:
  // Collective over `world`, which holds every process and gives the world ranks, as is the destructor.
  explicit MpiLetters(MPI_Comm world);
  ~MpiLetters() override;
  MpiLetters(const MpiLetters&) = delete;
  MpiLetters& operator=(const MpiLetters&) = delete;

  void Post(int to, const std::string& key, const std::string& text) override;
  std::optional<std::string> Take(int from, const std::string& key) override;

 private:
  struct Outgoing {
    std::string text;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void ForgetSent();  // under mutex_

  MPI_Comm comm_ = MPI_COMM_NULL;
  std::mutex mutex_;
  std::deque<std::unique_ptr<Outgoing>> outgoing_;
  std::map<std::pair<int, std::string>, std::deque<std::string>> arrived_;
};

}  // namespace orthant::mpi
