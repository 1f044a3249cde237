#include "comm/mpi_postbox.h"

#include "comm/mpi_engine.h"

namespace orthant::mpi {

Postbox::Postbox(MPI_Comm world) {
  Check(MPI_Comm_dup(world, &comm_), "MPI_Comm_dup");
  Check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  Check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  Check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

Postbox::~Postbox() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (comm_ != MPI_COMM_NULL && finalized == 0 && outgoing_.empty()) MPI_Comm_free(&comm_);
}

void Postbox::Send(int to, Letter letter, std::string text) {
  auto out = std::make_unique<Outgoing>();
  out->text = std::move(text);
  // An error is the receiver's end: it will not answer, and that is looked after.
  if (MPI_Isend(out->text.data(), static_cast<int>(out->text.size()), MPI_CHAR, to, static_cast<int>(letter),
                comm_, &out->request) == MPI_SUCCESS) {
    outgoing_.push_back(std::move(out));
  }
}

std::optional<Postbox::Received> Postbox::Take() {
  std::erase_if(outgoing_, [](const std::unique_ptr<Outgoing>& out) {
    int complete = 0;
    return MPI_Test(&out->request, &complete, MPI_STATUS_IGNORE) != MPI_SUCCESS || complete != 0;
  });
  int found = 0;
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  if (MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &found, &message, &status) != MPI_SUCCESS ||
      found == 0) {
    return std::nullopt;
  }
  int length = 0;
  MPI_Get_count(&status, MPI_CHAR, &length);
  Received received{status.MPI_SOURCE, static_cast<Letter>(status.MPI_TAG), ""};
  received.text.resize(static_cast<size_t>(length));
  MPI_Mrecv(received.text.data(), length, MPI_CHAR, &message, MPI_STATUS_IGNORE);
  return received;
}

}  // namespace orthant::mpi
