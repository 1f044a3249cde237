// The NCCL library as a table. Only in builds with CUDA.
#include <nccl.h>

#include "comm/nccl_table.h"
#include "orthant/comm/nccl.h"

namespace orthant {
namespace {

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 22, 0), "NCCL 2.22 is needed: ncclCommAbort in a group");
static_assert(static_cast<int>(NcclResult::kUnhandledCudaError) == ncclUnhandledCudaError);
static_assert(static_cast<int>(NcclResult::kSystemError) == ncclSystemError);
static_assert(static_cast<int>(NcclResult::kInternalError) == ncclInternalError);
static_assert(static_cast<int>(NcclResult::kInvalidArgument) == ncclInvalidArgument);
static_assert(static_cast<int>(NcclResult::kInvalidUsage) == ncclInvalidUsage);
static_assert(static_cast<int>(NcclResult::kRemoteError) == ncclRemoteError);
static_assert(static_cast<int>(NcclResult::kInProgress) == ncclInProgress);
static_assert(static_cast<int>(NcclType::kInt64) == ncclInt64);
static_assert(static_cast<int>(NcclType::kFloat16) == ncclFloat16);
static_assert(static_cast<int>(NcclType::kFloat32) == ncclFloat32);
static_assert(static_cast<int>(NcclType::kFloat64) == ncclFloat64);
static_assert(static_cast<int>(NcclType::kBfloat16) == ncclBfloat16);
static_assert(static_cast<int>(NcclReduction::kSum) == ncclSum);
static_assert(static_cast<int>(NcclReduction::kMax) == ncclMax);
static_assert(static_cast<int>(NcclReduction::kMin) == ncclMin);
static_assert(sizeof(NcclUniqueId) == sizeof(ncclUniqueId));

NcclResult From(ncclResult_t result) {
  return static_cast<NcclResult>(result);
}
ncclComm_t To(NcclComm* comm) {
  return reinterpret_cast<ncclComm_t>(comm);
}
cudaStream_t To(DeviceStream* stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}
ncclDataType_t To(NcclType type) {
  return static_cast<ncclDataType_t>(type);
}
ncclRedOp_t To(NcclReduction op) {
  return static_cast<ncclRedOp_t>(op);
}

ncclConfig_t To(const NcclConfig& config) {
  ncclConfig_t made = NCCL_CONFIG_INITIALIZER;
  made.blocking = config.blocking ? 1 : 0;
  made.splitShare = config.split_share ? 1 : 0;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0)
  if (*config.name != '\0') made.commName = config.name;
#endif
  return made;
}

NcclResult GetVersion(void*, int* version) {
  return From(ncclGetVersion(version));
}
NcclResult GetUniqueId(void*, NcclUniqueId* id) {
  return From(ncclGetUniqueId(reinterpret_cast<ncclUniqueId*>(id)));
}
NcclResult InitRankConfig(void*, NcclComm** comm, int ranks, const NcclUniqueId& id, int rank,
                          const NcclConfig& config) {
  ncclConfig_t made = To(config);
  return From(ncclCommInitRankConfig(reinterpret_cast<ncclComm_t*>(comm), ranks,
                                     reinterpret_cast<const ncclUniqueId&>(id), rank, &made));
}
NcclResult Split(void*, NcclComm* parent, int color, int key, NcclComm** child, const NcclConfig& config) {
  ncclConfig_t made = To(config);
  return From(ncclCommSplit(To(parent), color, key, reinterpret_cast<ncclComm_t*>(child), &made));
}
NcclResult GetAsyncError(void*, NcclComm* comm, NcclResult* state) {
  ncclResult_t found = ncclSuccess;
  const ncclResult_t result = ncclCommGetAsyncError(To(comm), &found);
  *state = From(found);
  return From(result);
}
NcclResult Abort(void*, NcclComm* comm) {
  return From(ncclCommAbort(To(comm)));
}
NcclResult Finalize(void*, NcclComm* comm) {
  return From(ncclCommFinalize(To(comm)));
}
NcclResult Destroy(void*, NcclComm* comm) {
  return From(ncclCommDestroy(To(comm)));
}

NcclResult AllReduce(void*, const void* send, void* receive, size_t count, NcclType type, NcclReduction op,
                     NcclComm* comm, DeviceStream* stream) {
  return From(ncclAllReduce(send, receive, count, To(type), To(op), To(comm), To(stream)));
}
NcclResult Reduce(void*, const void* send, void* receive, size_t count, NcclType type, NcclReduction op,
                  int root, NcclComm* comm, DeviceStream* stream) {
  return From(ncclReduce(send, receive, count, To(type), To(op), root, To(comm), To(stream)));
}
NcclResult Broadcast(void*, const void* send, void* receive, size_t count, NcclType type, int root,
                     NcclComm* comm, DeviceStream* stream) {
  return From(ncclBroadcast(send, receive, count, To(type), root, To(comm), To(stream)));
}
NcclResult AllGather(void*, const void* send, void* receive, size_t send_count, NcclType type, NcclComm* comm,
                     DeviceStream* stream) {
  return From(ncclAllGather(send, receive, send_count, To(type), To(comm), To(stream)));
}
NcclResult ReduceScatter(void*, const void* send, void* receive, size_t receive_count, NcclType type,
                         NcclReduction op, NcclComm* comm, DeviceStream* stream) {
  return From(ncclReduceScatter(send, receive, receive_count, To(type), To(op), To(comm), To(stream)));
}
NcclResult Send(void*, const void* buffer, size_t count, NcclType type, int peer, NcclComm* comm,
                DeviceStream* stream) {
  return From(ncclSend(buffer, count, To(type), peer, To(comm), To(stream)));
}
NcclResult Recv(void*, void* buffer, size_t count, NcclType type, int peer, NcclComm* comm,
                DeviceStream* stream) {
  return From(ncclRecv(buffer, count, To(type), peer, To(comm), To(stream)));
}
NcclResult GroupStart(void*) {
  return From(ncclGroupStart());
}
NcclResult GroupEnd(void*) {
  return From(ncclGroupEnd());
}
const char* ErrorString(void*, NcclResult result) {
  return ncclGetErrorString(static_cast<ncclResult_t>(result));
}
const char* LastError(void*, NcclComm* comm) {
  return ncclGetLastError(To(comm));
}

constexpr NcclTable kTable = {
    .self = nullptr,
    .get_version = GetVersion,
    .get_unique_id = GetUniqueId,
    .comm_init_rank_config = InitRankConfig,
    .comm_split = Split,
    .comm_get_async_error = GetAsyncError,
    .comm_abort = Abort,
    .comm_finalize = Finalize,
    .comm_destroy = Destroy,
    .all_reduce = AllReduce,
    .reduce = Reduce,
    .broadcast = Broadcast,
    .all_gather = AllGather,
    .reduce_scatter = ReduceScatter,
    .send = Send,
    .recv = Recv,
    .group_start = GroupStart,
    .group_end = GroupEnd,
    .get_error_string = ErrorString,
    .get_last_error = LastError,
};

}  // namespace

const NcclTable* RealNcclTable() {
  return &kTable;
}

}  // namespace orthant
