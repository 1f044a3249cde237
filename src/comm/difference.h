// Where the ranks of a group have called different things, as far as their records tell.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "orthant/comm/communicator.h"
#include "orthant/comm/flight_record.h"

namespace orthant {

struct Difference {
  std::string group;          // its name
  std::vector<int> members;   // world ranks
  uint64_t sequence = 0;      // of the collective, or of the message from one to the other
  int64_t step = 0;           // the earliest that a caller stands in
  bool message = false;       // between two ranks: callers[0] sends
  double since = 0;           // seconds before the records were taken
  std::vector<int> ranks;     // who differ from the most, or both ends of a message
  std::string text;           // a sentence
  RecordedOperation example;  // what the first of `ranks` called
};

// The earliest difference in time between operations of the same place; none when the records agree where
// they can be compared.
std::optional<Difference> FindDifference(const std::vector<FlightRecord>& records,
                                         const DescribeRank& describe);

// For records taken when all members stand at the same point of the program: a group whose members have not
// called equally many collectives, or sent and received equally many messages. "" when all counts agree.
std::string CountDifference(const std::vector<FlightRecord>& records, const DescribeRank& describe);

// "D1-T0-P1-S0 rank 12", "rank 12", or for several "ranks 0-3, 8".
std::string NameRanks(const std::vector<int>& ranks, const DescribeRank& describe);

}  // namespace orthant
