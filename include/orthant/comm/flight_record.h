// FlightRecord: what one rank's recorder holds, as a value: written to RUN_DIR/flight/rank_00003.json, sent
// to the rank that composes the verdict, read back by `orthant flight`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orthant/comm/flight_recorder.h"

namespace orthant {

// One operation of a record. Times are seconds before the record was taken; -1: it has not come to that.
struct RecordedOperation {
  uint64_t ticket = 0;
  uint64_t sequence = 0;
  int group = 0;  // index into the record's groups
  int64_t step = 0;
  std::string op;      // "all_reduce"
  std::string reduce;  // "sum"; "" where nothing is reduced
  std::string label;
  int layer = -1;
  int microbatch = -1;
  std::string dtype;
  int64_t elements = 0;
  int peer = -1;      // root or other end, as a rank of the group
  std::string state;  // "queued", "started", "done", "failed"
  double queued = -1;
  double started = -1;
  double ended = -1;

  bool over() const { return state == "done" || state == "failed"; }
  bool send() const { return op == "send"; }
  bool message() const { return op == "send" || op == "recv"; }
  // "all_reduce 'attn.out layer=7 mb=3' (sum, 128 fp32)": what members of a group must agree on.
  std::string Describe() const;
  // The same for an operation of group `name`: "tensor.all_reduce 'attn.out layer=7 mb=3' (sum, 128 fp32)".
  std::string Describe(const std::string& name) const { return name + "." + Describe(); }
};

struct FlightRecord {
  int rank = 0;  // in the world
  int world = 1;
  std::string host;
  int64_t pid = 0;
  std::string place;  // "D1-T0-P1-S0 rank 12"
  int64_t step = 0;
  std::string activity;
  double activity_seconds = 0;
  double timeout = 0;
  uint64_t waiting = 0;  // ticket of the operation that the rank's thread waits for; 0: none
  // What the rank ends with by itself: another error than a missed deadline; "" and 0: none.
  std::string error;
  int exit_code = 0;
  // Where the calls of this step leave the order of the step before, as a clause: "calls A where it called B
  // in step 4"; "" when they do not, or it is not known.
  std::string odd;
  std::vector<int> dead;     // ranks on this rank's host whose process has ended
  std::vector<int> stopped;  // and those whose process is suspended
  std::vector<int> silent;   // ranks of other hosts that did not answer this one's calls
  std::vector<FlightGroup> groups;
  std::vector<RecordedOperation> operations;  // oldest first

  const RecordedOperation* Waiting() const;    // null: none
  const RecordedOperation* LastDone() const;   // the last to complete; null: none on record
  std::string GroupName(int group) const;      // "?" when there is no such
  std::string GroupKey(int group) const;       // equal on all members of one group, and on no others
  int WorldRank(int group, int member) const;  // -1: not known
  std::string Where() const;                   // the place, or "rank 3"
};

// A snapshot; host and process are those of this process. `limit`: the newest operations only; 0: all.
FlightRecord RecordOf(const FlightRecorder& recorder, size_t limit = 0);

// Leaves what a verdict needs: unfinished operations, the last of each group and channel, the newest few.
void Trim(FlightRecord* record);

// JSON. DataError begins with `origin`.
std::string FlightRecordText(const FlightRecord& record);
absl::StatusOr<FlightRecord> ParseFlightRecord(std::string_view text, const std::string& origin);

// "0-3, 8, 10"; and back: an empty list for what is not of that form.
std::string RanksText(const std::vector<int>& ranks);
std::vector<int> ParseRanks(std::string_view text);

// RUN_DIR/flight/rank_00003.json
std::string FlightFile(const std::string& folder, int rank);
// All records of a folder, by rank; a file that cannot be read is left out. DataError when there is none.
absl::StatusOr<std::vector<FlightRecord>> ReadFlightFolder(const std::string& folder);
// Removes the records and the verdict of an earlier run, where there are any.
void ClearFlightFolder(const std::string& folder);

}  // namespace orthant
