// NCCL on FakeDevices: the ranks are threads, operations move main memory when their streams come to them. It
// checks how it is used (order across communicators, groups, calls in progress, memory, ends), and can be
// slow, hang, or fail as told.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/nccl_letters.h"
#include "comm/nccl_table.h"
#include "support/fake_device.h"
#include "support/fake_order.h"

namespace orthant::testing {

struct FakeOptions {
  FakeDeviceOptions device;
  int polls = 0;  // so many answers of "in progress" before a call has been carried out

  // Faults; ranks are the cluster's.
  int drop_group_end_on = -1;   // ncclGroupEnd does nothing on this rank
  int async_error_on = -1;      // of this rank, the communicators fail ...
  int async_error_after = 0;    // ... after so many operations
  int hang_on = -1;             // this rank's operations never begin ...
  int hang_after = 0;           // ... after so many
  int ignore_progress_on = -1;  // this rank is told that calls have been carried out when they have not
};

struct FakePart;  // one call: a collective, a send or a receive
struct FakeComm;  // a rank's end of a communicator
struct FakeCore;  // what the ends share

class FakeNccl {
 public:
  FakeNccl(int ranks, const FakeOptions& options = {});
  ~FakeNccl();

  const NcclTable& Table(int rank) const { return tables_[static_cast<size_t>(rank)]; }
  FakeDevices& devices() { return devices_; }
  // Letters between the ranks of this process.
  std::unique_ptr<nccl::Letters> MakeLetters(int rank);

  int aborts() const { return aborts_; }
  int splits() const { return splits_; }
  // All that was found, with what only the end shows: groups not ended, communicators left over, the order.
  // After the ranks' threads have ended.
  std::vector<std::string> Finish();

 private:
  friend class FakeCalls;  // the functions of the table
  friend class FakeParts;  // a kernel
  friend class FakeLetters;
  struct Rank {
    FakeNccl* all = nullptr;
    int rank = 0;
    int operations = 0;
  };
  struct Group {  // of one thread
    int rank = 0;
    int depth = 0;
    std::vector<FakePart> parts;
    std::vector<FakeComm*> aborts;
  };

  // With the devices' mutex held.
  FakeComm* Join(FakeCore* core, int rank, int device);
  FakeCore* NewCore(int size, const std::string& name);
  NcclResult Add(FakePart part);
  NcclResult Begin(FakeComm* comm, std::vector<FakePart> parts, bool in_group);
  NcclResult EndGroup(Group* group);
  bool Connected(FakeComm* comm) const;
  void Enqueue(FakeComm* comm);
  void Log(const FakeComm& comm);
  NcclResult StateOf(FakeComm* comm);
  void FinishSplit(FakeCore* parent);
  void Abort(FakeComm* comm);
  bool Usable(FakeComm* comm, const std::string& what);

  const FakeOptions options_;
  FakeDevices devices_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<NcclTable> tables_;
  std::map<std::thread::id, Group> groups_;
  std::map<std::string, FakeCore*> by_id_;
  std::vector<std::unique_ptr<FakeCore>> cores_;
  std::vector<std::unique_ptr<FakeComm>> comms_;
  std::vector<std::vector<IssuedOperation>> issued_;  // by rank
  uint64_t ids_ = 0;
  int aborts_ = 0;
  int splits_ = 0;

  std::mutex letters_mutex_;
  std::map<std::string, std::deque<std::string>> letters_;
};

}  // namespace orthant::testing
