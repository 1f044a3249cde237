#include "comm/mpi_letters.h"

#include "comm/mpi_engine.h"

namespace orthant::mpi {
namespace {

constexpr int kTag = 1;

}  // namespace

MpiLetters::MpiLetters(MPI_Comm world) {
  Check(MPI_Comm_dup(world, &comm_), "MPI_Comm_dup");
  Check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiLetters::~MpiLetters() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (comm_ == MPI_COMM_NULL || finalized != 0) return;
  ForgetSent();
  // Freeing is an agreement of all: with letters that nobody took there is none.
  if (outgoing_.empty()) MPI_Comm_free(&comm_);
}

void MpiLetters::ForgetSent() {
  while (!outgoing_.empty()) {
    int complete = 0;
    if (MPI_Test(&outgoing_.front()->request, &complete, MPI_STATUS_IGNORE) != MPI_SUCCESS || complete == 0) {
      return;
    }
    outgoing_.pop_front();
  }
}

// The key ends with a zero byte; what follows is the text.
void MpiLetters::Post(int to, const std::string& key, const std::string& text) {
  const std::lock_guard lock(mutex_);
  ForgetSent();
  auto letter = std::make_unique<Outgoing>();
  letter->text = key + '\0' + text;
  Check(MPI_Isend(letter->text.data(), static_cast<int>(letter->text.size()), MPI_CHAR, to, kTag, comm_,
                  &letter->request),
        "MPI_Isend");
  outgoing_.push_back(std::move(letter));
}

std::optional<std::string> MpiLetters::Take(int from, const std::string& key) {
  const std::lock_guard lock(mutex_);
  ForgetSent();
  while (true) {
    MPI_Message message = MPI_MESSAGE_NULL;
    MPI_Status status;
    int found = 0;
    Check(MPI_Improbe(MPI_ANY_SOURCE, kTag, comm_, &found, &message, &status), "MPI_Improbe");
    if (found == 0) break;
    int length = 0;
    Check(MPI_Get_count(&status, MPI_CHAR, &length), "MPI_Get_count");
    std::string text(static_cast<size_t>(length), ' ');
    Check(MPI_Mrecv(text.data(), length, MPI_CHAR, &message, MPI_STATUS_IGNORE), "MPI_Mrecv");
    const size_t end = text.find('\0');
    if (end == std::string::npos) continue;
    arrived_[{status.MPI_SOURCE, text.substr(0, end)}].push_back(text.substr(end + 1));
  }
  const auto letters = arrived_.find({from, key});
  if (letters == arrived_.end()) return std::nullopt;
  std::string text = std::move(letters->second.front());
  letters->second.pop_front();
  if (letters->second.empty()) arrived_.erase(letters);
  return text;
}

}  // namespace orthant::mpi
