// The MPI library's own collectives, called directly: what the mpi backend is compared with.
#include <mpi.h>

#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "bench/contestant.h"

namespace orthant {
namespace {

void Check(int code, const char* call) {
  if (code != MPI_SUCCESS) throw CommError(absl::StrFormat("%s failed with MPI's code %d", call, code));
}

MPI_Datatype TypeOf(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kFloat:
      return MPI_FLOAT;
    default:
      throw CommError(absl::StrFormat("MPI has no type for %s", DtypeName(dtype)));
  }
}

class MpiOwn : public Contestant {
 public:
  explicit MpiOwn(const Communicator& group) {
    MPI_Group world = MPI_GROUP_NULL, part = MPI_GROUP_NULL;
    const std::vector<int>& ranks = group.world_ranks();
    Check(MPI_Comm_group(MPI_COMM_WORLD, &world), "MPI_Comm_group");
    Check(MPI_Group_incl(world, group.size(), ranks.data(), &part), "MPI_Group_incl");
    constexpr int kTag = 0x6b65;  // tells it apart from communicators of the backend
    Check(MPI_Comm_create_group(MPI_COMM_WORLD, part, kTag, &comm_), "MPI_Comm_create_group");
    MPI_Group_free(&part);
    MPI_Group_free(&world);
    rank_ = group.rank();
    size_ = group.size();
  }
  ~MpiOwn() override {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  MpiOwn(const MpiOwn&) = delete;
  MpiOwn& operator=(const MpiOwn&) = delete;

  void Call(BenchOp op, const BenchTensors& t) override {
    const MPI_Datatype type = TypeOf(t.whole.scalar_type());
    const int count = static_cast<int>(t.whole.numel()), each = static_cast<int>(t.share.numel());
    void *const whole = t.whole.data_ptr(), *const other = t.other.data_ptr(),
                *const share = t.share.data_ptr();
    switch (op) {
      case BenchOp::kAllReduce:
        return Check(MPI_Allreduce(MPI_IN_PLACE, whole, count, type, MPI_SUM, comm_), "MPI_Allreduce");
      case BenchOp::kAllGather:
        return Check(MPI_Allgather(share, each, type, whole, each, type, comm_), "MPI_Allgather");
      case BenchOp::kReduceScatter:
        return Check(MPI_Reduce_scatter_block(whole, share, each, type, MPI_SUM, comm_),
                     "MPI_Reduce_scatter_block");
      case BenchOp::kAllToAll:
        return Check(MPI_Alltoall(whole, each, type, other, each, type, comm_), "MPI_Alltoall");
      case BenchOp::kAllToAllSplit:
        return AllToAllSplit(t, type, each);
      case BenchOp::kBroadcast:
        return Check(MPI_Bcast(whole, count, type, 0, comm_), "MPI_Bcast");
      case BenchOp::kReduce:
        return Check(rank_ == 0 ? MPI_Reduce(MPI_IN_PLACE, whole, count, type, MPI_SUM, 0, comm_)
                                : MPI_Reduce(whole, nullptr, count, type, MPI_SUM, 0, comm_),
                     "MPI_Reduce");
      case BenchOp::kScatter:
        return Check(MPI_Scatter(whole, each, type, share, each, type, 0, comm_), "MPI_Scatter");
      case BenchOp::kGather:
        return Check(MPI_Gather(share, each, type, whole, each, type, 0, comm_), "MPI_Gather");
      case BenchOp::kSendRecv:
        return Check(MPI_Sendrecv(whole, count, type, (rank_ + 1) % size_, 0, other, count, type,
                                  (rank_ + size_ - 1) % size_, 0, comm_, MPI_STATUS_IGNORE),
                     "MPI_Sendrecv");
      case BenchOp::kPingPong:
        return PingPong(whole, other, count, type);
      case BenchOp::kBarrier:
        return Check(MPI_Barrier(comm_), "MPI_Barrier");
      case BenchOp::kCopy:
        std::memcpy(other, whole, t.whole.nbytes());
        return;
    }
  }

 private:
  void AllToAllSplit(const BenchTensors& t, MPI_Datatype type, int each) {
    counts_.assign(static_cast<size_t>(size_), each);
    offsets_.resize(counts_.size());
    for (int rank = 0; rank < size_; ++rank) offsets_[static_cast<size_t>(rank)] = rank * each;
    Check(MPI_Alltoallv(t.whole.data_ptr(), counts_.data(), offsets_.data(), type, t.other.data_ptr(),
                        counts_.data(), offsets_.data(), type, comm_),
          "MPI_Alltoallv");
  }

  void PingPong(void* whole, void* other, int count, MPI_Datatype type) {
    const int last = size_ - 1;
    if (rank_ == 0) {
      Check(MPI_Send(whole, count, type, last, 0, comm_), "MPI_Send");
      Check(MPI_Recv(other, count, type, last, 0, comm_, MPI_STATUS_IGNORE), "MPI_Recv");
    } else if (rank_ == last) {
      Check(MPI_Recv(other, count, type, 0, 0, comm_, MPI_STATUS_IGNORE), "MPI_Recv");
      Check(MPI_Send(whole, count, type, 0, 0, comm_), "MPI_Send");
    }
  }

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::vector<int> counts_, offsets_;
};

}  // namespace

std::unique_ptr<Contestant> MpiCalls(const Communicator& group) {
  return std::make_unique<MpiOwn>(group);
}

}  // namespace orthant
