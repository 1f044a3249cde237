#include "comm/mpi_host.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "comm/mpi_engine.h"

namespace orthant::mpi {
namespace {

constexpr int64_t kSmallestHeap = int64_t{1} << 30;  // bytes of addresses

}  // namespace

absl::StatusOr<SharedMemory> ShareAmong(MPI_Comm comm, int64_t bytes) {
  int rank = 0;
  Check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  absl::StatusOr<SharedMemory> memory = absl::UnavailableError("");
  SharedMemoryHandle handle;
  if (rank == 0) {
    memory = SharedMemory::Create(bytes);
    if (memory.ok()) handle = memory->handle();
  }
  Check(MPI_Bcast(&handle, sizeof(handle), MPI_BYTE, 0, comm), "MPI_Bcast");
  if (rank != 0) {
    memory = handle.pid != 0 ? SharedMemory::Attach(handle)
                             : absl::UnavailableError("another process could not make the memory");
  }
  int mine = memory.ok() ? 1 : 0;
  int all = 0;
  Check(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, comm), "MPI_Allreduce");
  if (!memory.ok()) return memory.status();
  if (all == 0) return absl::UnavailableError("another process could not map the memory");
  memory->Close();
  return memory;
}

Host::Host(MPI_Comm world, const std::vector<std::string>& keys, bool share, bool reach_in) {
  Check(MPI_Comm_rank(world, &rank_), "MPI_Comm_rank");
  std::vector<int> members(keys.size(), 0);  // of each host so far
  for (const std::string& key : keys) {
    const auto first = static_cast<size_t>(std::find(keys.begin(), keys.end(), key) - keys.begin());
    host_of_.push_back(static_cast<int>(first));
    place_.push_back(members[first]++);
  }
  const int own = host_of(rank_);
  if (!share) return;
  MPI_Comm host = MPI_COMM_NULL;
  Check(MPI_Comm_split(world, own, rank_, &host), "MPI_Comm_split");
  // A process that is alone has memory of its own to sleep on.
  absl::StatusOr<SharedMemory> memory =
      ShareAmong(host, static_cast<int64_t>(sizeof(Bell)) * members[static_cast<size_t>(own)]);
  if (memory.ok()) {
    memory_ = *std::move(memory);
    if (reach_in && members[static_cast<size_t>(own)] > 1) ShareHeaps(host);
  } else {
    Tell(std::string(memory.status().message()));
  }
  Check(MPI_Comm_free(&host), "MPI_Comm_free");
}

void Host::ShareHeaps(MPI_Comm host) {
  int size = 0;
  Check(MPI_Comm_size(host, &size), "MPI_Comm_size");
  // Together all heaps have twice as many addresses as there is memory: room for what lies scattered.
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  const absl::StatusOr<const SharedHeap*> own = InstallSharedHeap(std::max(kSmallestHeap, 2 * memory / size));
  std::vector<SharedMemoryHandle> handles(static_cast<size_t>(size));
  const SharedMemoryHandle handle = own.ok() ? (*own)->handle() : SharedMemoryHandle();
  Check(MPI_Allgather(&handle, sizeof(handle), MPI_BYTE, handles.data(), sizeof(handle), MPI_BYTE, host),
        "MPI_Allgather");
  std::vector<SharedMemory> heaps;
  for (const SharedMemoryHandle& other : handles) {
    absl::StatusOr<SharedMemory> heap = SharedMemory::Attach(other);
    if (!heap.ok()) break;
    heaps.push_back(*std::move(heap));
  }
  int mine = heaps.size() == handles.size() ? 1 : 0;
  int all = 0;
  Check(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, host), "MPI_Allreduce");
  if (all == 0) return;  // large tensors are copied, as small ones are
  own_heap_ = *own;
  heaps_ = std::move(heaps);
}

std::byte* Host::heap(int world_rank) const {
  if (heaps_.empty() || host_of(world_rank) != host_of(rank_)) return nullptr;
  return heaps_[static_cast<size_t>(place_[static_cast<size_t>(world_rank)])].data();
}

int64_t Host::OffsetInHeap(const void* address) const {
  return own_heap_ == nullptr ? -1 : own_heap_->OffsetOf(address);
}

void Host::Tell(const std::string& why) const {
  if (told_ || place_[static_cast<size_t>(rank_)] != 0) return;
  told_ = true;
  std::fprintf(stderr,
               "rank %d: the ranks of this host cannot share memory and exchange messages instead, which is "
               "slower: %s\n",
               rank_, why.c_str());
}

Bell* Host::bell(int world_rank) const {
  if (!memory_ || host_of(world_rank) != host_of(rank_)) return nullptr;
  return reinterpret_cast<Bell*>(memory_.data()) + place_[static_cast<size_t>(world_rank)];
}

}  // namespace orthant::mpi
