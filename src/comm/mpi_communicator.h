// A process's view of one MPI communicator.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/mpi_engine.h"
#include "orthant/comm/communicator.h"
#include "orthant/comm/mpi.h"

namespace orthant::mpi {

// A communicator of all processes, in the order of their ranks, for what goes beside the operations.
struct Control {
  MPI_Comm comm = MPI_COMM_NULL;
  ~Control();
};

class MpiCommunicator : public Communicator {
 public:
  // Takes `comm` over. `control`: of the world, for Confer. Collective over the members.
  MpiCommunicator(std::shared_ptr<Engine> engine, MPI_Comm comm, std::shared_ptr<Control> control,
                  std::string name, const MpiOptions& options, std::shared_ptr<FlightRecorder> recorder);

  std::unique_ptr<Communicator> Subgroup(const std::vector<int>& members, std::string name) override;

 protected:
  std::string Confer(const std::string& text, const JudgeTexts& judge) override;
  void Do(const Operation& op, const at::Tensor& output, const at::Tensor& input) override;
  Work DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) override;

 private:
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Control> control_;
  std::shared_ptr<Channel> channel_;
  MpiOptions options_;
  std::shared_ptr<Transfer> spare_;  // for blocking operations, used again and again
};

}  // namespace orthant::mpi
