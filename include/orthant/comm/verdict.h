// The verdict: why a run ended, worked out from the flight records of its ranks. A pure function, so that
// what is said at the moment of failure can be said again later from the files.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/comm/flight_record.h"

namespace orthant {

enum class Absence { kDead, kStopped, kSilent };

// A rank without a record: its process has ended, is suspended, or has not answered.
struct AbsentRank {
  int rank = 0;
  Absence absence = Absence::kSilent;
  std::string host;  // "" and 0: not known
  int64_t pid = 0;
  std::string place;

  std::string Where() const { return place.empty() ? "rank " + std::to_string(rank) : place; }
};

// The cause of a verdict about a host that is down or cut off.
inline constexpr const char* kLostHost = "lost host";

struct Verdict {
  int exit_code = 4;
  // "error" (a rank's own), "mismatch", "dead", "unresponsive", kLostHost, "compute", "data loading", "other
  // operation", "ended", or what else the missing rank does, as "saving".
  std::string cause;
  std::vector<int> ranks;  // that are missing, differ or failed
  std::string operation;   // that was late or differs; "" when none is
  uint64_t sequence = 0;
  int64_t step = 0;
  std::string text;  // for the user: one sentence, then a line for each rank that matters
  int told_by = -1;  // the rank that told it; -1: not known
};

// `records` and `absent` hold each rank at most once, by rank.
Verdict Judge(const std::vector<FlightRecord>& records, const std::vector<AbsentRank>& absent);

// Whether it matters which rank failed and where: not for what a user's file, disk or setting did, which the
// message says.
bool AboutRanks(const Verdict& verdict);
// What the user is told: the text, and where the records are.
std::string Spoken(const Verdict& verdict, const std::string& folder);

// RUN_DIR/flight/verdict.json
std::string VerdictFile(const std::string& folder);
std::string VerdictText(const Verdict& verdict);  // as JSON
// DataError when there is none, or it cannot be read.
absl::StatusOr<Verdict> ReadVerdict(const std::string& folder);

// What the ranks of one process leave behind: their records and the verdict. Failures are passed over: a full
// disk may be the very reason. -> false when another process has given its verdict before.
void WriteFlightRecord(const std::string& folder, const FlightRecord& record);
bool WriteVerdict(const std::string& folder, const Verdict& verdict);

}  // namespace orthant
