// The processes of one host under MPI: who can share memory with this one, and the bells that wake them.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/bell.h"
#include "comm/shared_heap.h"
#include "comm/shared_memory.h"

namespace orthant::mpi {

class Host {
 public:
  // Collective over `world`, which holds every process and gives the world ranks. `keys`: of every process,
  // by world rank; processes with equal keys run on one host. `share`: false: this process shares nothing
  // with anybody; `reach_in`: nor its tensors; both the same on all.
  Host(MPI_Comm world, const std::vector<std::string>& keys, bool share, bool reach_in);

  // Which host a process runs on: the lowest rank there.
  int host_of(int world_rank) const { return host_of_[static_cast<size_t>(world_rank)]; }
  // Of a process of this host; null when memory is not shared with it.
  Bell* bell(int world_rank) const;
  Bell* own_bell() const { return bell(rank_); }
  // The heap of a process of this host; null when it cannot be reached.
  std::byte* heap(int world_rank) const;
  // Where in this process's heap an address is; -1: not in it.
  int64_t OffsetInHeap(const void* address) const;
  // Says on stderr, once a host, that memory cannot be shared, and that messages do its work.
  void Tell(const std::string& why) const;

 private:
  void ShareHeaps(MPI_Comm host);

  int rank_ = 0;
  std::vector<int> host_of_;
  std::vector<int> place_;  // among the processes of its host
  SharedMemory memory_;
  const SharedHeap* own_heap_ = nullptr;  // null: tensors are not shared here
  std::vector<SharedMemory> heaps_;       // by place; empty, or those of all
  mutable bool told_ = false;
};

// New memory that all members of `comm` have mapped, or the same kind of answer on all: Unavailable when one
// of them cannot. Collective.
absl::StatusOr<SharedMemory> ShareAmong(MPI_Comm comm, int64_t bytes);

}  // namespace orthant::mpi
