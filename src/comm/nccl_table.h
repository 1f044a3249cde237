// NcclTable: every NCCL function that the nccl backend calls, as a table that is handed in: the library's own
// (src/comm/cuda), or a fake in tests. With types of ours, so that the backend compiles without NCCL.
#pragma once

#include <cstddef>
#include <cstdint>

#include "comm/device_table.h"

namespace orthant {

struct NcclComm;  // a communicator of the library

// The numbers are the library's (src/comm/cuda/nccl_library.cpp compares them).
enum class NcclResult : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};
enum class NcclType : int { kInt64 = 4, kFloat16 = 6, kFloat32 = 7, kFloat64 = 8, kBfloat16 = 9 };
enum class NcclReduction : int { kSum = 0, kMax = 2, kMin = 3 };

struct NcclUniqueId {
  char bytes[128] = {};
};

struct NcclConfig {
  bool blocking = false;
  bool split_share = false;  // a communicator split off shares the parent's resources
  const char* name = "";     // for the library's log
};

// As in nccl.h; `self` goes with every call. A call on a communicator that is not blocking may return
// kInProgress before it has done anything: then comm_get_async_error tells when it has.
struct NcclTable {
  void* self = nullptr;

  NcclResult (*get_version)(void* self, int* version) = nullptr;
  NcclResult (*get_unique_id)(void* self, NcclUniqueId* id) = nullptr;
  NcclResult (*comm_init_rank_config)(void* self, NcclComm** comm, int ranks, const NcclUniqueId& id,
                                      int rank, const NcclConfig& config) = nullptr;
  // Collective over the parent. In progress, *child is there only when the parent is no longer in progress.
  NcclResult (*comm_split)(void* self, NcclComm* parent, int color, int key, NcclComm** child,
                           const NcclConfig& config) = nullptr;
  NcclResult (*comm_get_async_error)(void* self, NcclComm* comm, NcclResult* state) = nullptr;
  NcclResult (*comm_abort)(void* self, NcclComm* comm) = nullptr;
  NcclResult (*comm_finalize)(void* self, NcclComm* comm) = nullptr;
  NcclResult (*comm_destroy)(void* self, NcclComm* comm) = nullptr;

  NcclResult (*all_reduce)(void* self, const void* send, void* receive, size_t count, NcclType type,
                           NcclReduction op, NcclComm* comm, DeviceStream* stream) = nullptr;
  NcclResult (*reduce)(void* self, const void* send, void* receive, size_t count, NcclType type,
                       NcclReduction op, int root, NcclComm* comm, DeviceStream* stream) = nullptr;
  NcclResult (*broadcast)(void* self, const void* send, void* receive, size_t count, NcclType type, int root,
                          NcclComm* comm, DeviceStream* stream) = nullptr;
  NcclResult (*all_gather)(void* self, const void* send, void* receive, size_t send_count, NcclType type,
                           NcclComm* comm, DeviceStream* stream) = nullptr;
  NcclResult (*reduce_scatter)(void* self, const void* send, void* receive, size_t receive_count,
                               NcclType type, NcclReduction op, NcclComm* comm,
                               DeviceStream* stream) = nullptr;
  NcclResult (*send)(void* self, const void* buffer, size_t count, NcclType type, int peer, NcclComm* comm,
                     DeviceStream* stream) = nullptr;
  NcclResult (*recv)(void* self, void* buffer, size_t count, NcclType type, int peer, NcclComm* comm,
                     DeviceStream* stream) = nullptr;
  // Of the calling thread.
  NcclResult (*group_start)(void* self) = nullptr;
  NcclResult (*group_end)(void* self) = nullptr;

  const char* (*get_error_string)(void* self, NcclResult result) = nullptr;
  const char* (*get_last_error)(void* self, NcclComm* comm) = nullptr;  // `comm` may be null
};

}  // namespace orthant
