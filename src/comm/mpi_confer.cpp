// Confer on `mpi`: plain messages on the world's control communicator, to the group's first member and back.
#include <chrono>
#include <thread>

#include "absl/strings/str_format.h"
#include "comm/mpi_communicator.h"
#include "orthant/core/hash.h"

namespace orthant::mpi {
namespace {

using Clock = std::chrono::steady_clock;

// The messages of one Confer, which end together.
class Letters {
 public:
  Letters(MPI_Comm comm, int tag, std::string group, double timeout_seconds)
      : comm_(comm),
        tag_(tag),
        group_(std::move(group)),
        deadline_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(timeout_seconds))) {}

  // `text` stays until Finish.
  void Send(const std::string& text, int to) {
    requests_.push_back(MPI_REQUEST_NULL);
    Check(MPI_Isend(text.data(), static_cast<int>(text.size()), MPI_CHAR, to, tag_, comm_, &requests_.back()),
          "MPI_Isend");
  }

  std::string Receive(int from) {
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    int found = 0;
    while (true) {
      Check(MPI_Improbe(from, tag_, comm_, &found, &message, &status), "MPI_Improbe");
      if (found != 0) break;
      Pause(from);
    }
    int length = 0;
    Check(MPI_Get_count(&status, MPI_CHAR, &length), "MPI_Get_count");
    std::string text(static_cast<size_t>(length), ' ');
    Check(MPI_Mrecv(text.data(), length, MPI_CHAR, &message, MPI_STATUS_IGNORE), "MPI_Mrecv");
    return text;
  }

  void Finish() {
    int complete = 0;
    while (true) {
      Check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &complete, MPI_STATUSES_IGNORE),
            "MPI_Testall");
      if (complete != 0) return;
      Pause(-1);
    }
  }

 private:
  void Pause(int from) const {
    if (Clock::now() >= deadline_) {
      throw CommError(absl::StrFormat("%s: %s did not come to compare what was called", group_,
                                      from < 0 ? "a rank" : absl::StrFormat("world rank %d", from)));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }

  MPI_Comm comm_;
  int tag_;
  std::string group_;
  Clock::time_point deadline_;
  std::vector<MPI_Request> requests_;
};

}  // namespace

std::string MpiCommunicator::Confer(const std::string& text, const JudgeTexts& judge) {
  // Groups of other names do not meet; of one group the messages keep their order.
  const int tag = static_cast<int>(Fnv1a64(name()) & 0x7fff);
  Letters letters(control_->comm, tag, name(), flight_recorder()->timeout());
  const int first = world_ranks().front();
  std::string said;
  if (rank() != 0) {
    letters.Send(text, first);
    said = letters.Receive(first);
    letters.Finish();
    return said;
  }
  std::vector<std::string> texts = {text};
  for (int member = 1; member < size(); ++member) texts.push_back(letters.Receive(world_ranks()[member]));
  said = judge(texts);
  for (int member = 1; member < size(); ++member) letters.Send(said, world_ranks()[member]);
  letters.Finish();
  return said;
}

}  // namespace orthant::mpi
