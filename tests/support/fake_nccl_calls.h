// The functions that FakeNccl puts into a rank's table.
#pragma once

#include "support/fake_nccl.h"

namespace orthant::testing {

class FakeCalls {
 public:
  // `rank`: a FakeNccl::Rank.
  static NcclTable Table(void* rank);

 private:
  using Rank = FakeNccl::Rank;
  static FakeNccl* All(void* self) { return static_cast<Rank*>(self)->all; }

  static NcclResult GetUniqueId(void* self, NcclUniqueId* id);
  static NcclResult Init(void* self, NcclComm** comm, int ranks, const NcclUniqueId& id, int rank,
                         const NcclConfig& config);
  static NcclResult Split(void* self, NcclComm* parent, int color, int key, NcclComm** child,
                          const NcclConfig& config);
  static NcclResult GetAsyncError(void* self, NcclComm* comm, NcclResult* state);
  static NcclResult Abort(void* self, NcclComm* comm);
  static NcclResult Finalize(void* self, NcclComm* comm);
  static NcclResult Destroy(void* self, NcclComm* comm);
  static NcclResult GroupStart(void* self);
  static NcclResult GroupEnd(void* self);
  static void FillOperations(NcclTable* table);
};

}  // namespace orthant::testing
