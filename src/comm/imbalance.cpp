// What a rolling hash that does not balance is about: the members' records of the group, put side by side.
#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "comm/difference.h"

namespace orthant {
namespace {

// Operations that the members of a large group exchange, all together.
constexpr size_t kOperationsInAll = 65536;
constexpr size_t kFewest = 16;

// This rank's record without other groups' operations.
FlightRecord OfGroup(const FlightRecorder& recorder, int group, size_t most) {
  FlightRecord record = RecordOf(recorder);
  std::erase_if(record.operations, [group](const RecordedOperation& op) { return op.group != group; });
  if (record.operations.size() > most) {
    record.operations.erase(record.operations.begin(),
                            record.operations.end() - static_cast<ptrdiff_t>(most));
  }
  record.groups = {record.groups[static_cast<size_t>(group)]};
  // Nobody has told the record how large the world is; it holds the members at least.
  for (const int member : record.groups.front().members) record.world = std::max(record.world, member + 1);
  for (RecordedOperation& op : record.operations) op.group = 0;
  return record;
}

std::string JudgeGroup(const std::vector<std::string>& texts, const std::string& name,
                       const DescribeRank& describe) {
  double balance = 0;
  size_t operations = 0;
  std::vector<FlightRecord> records;
  for (const std::string& text : texts) {
    const size_t line = text.find('\n');
    double own = 0;
    if (!absl::SimpleAtod(text.substr(0, line), &own)) return "";
    balance += own;
    absl::StatusOr<FlightRecord> record = ParseFlightRecord(text.substr(line), "a rank's record");
    if (!record.ok()) return std::string(record.status().message());
    operations = std::max(operations, record->operations.size());
    records.push_back(*std::move(record));
  }
  if (balance == 0) return "";
  if (const std::optional<Difference> difference = FindDifference(records, describe)) return difference->text;
  if (std::string counts = CountDifference(records, describe); !counts.empty()) return counts;
  return absl::StrFormat(
      "the ranks of %s have called different operations, before the last %d on record; comm.check = true "
      "finds the first",
      name, operations);
}

}  // namespace

std::string Communicator::ExplainImbalance(const DescribeRank& describe) {
  if (size_ == 1) return "";
  const size_t most = std::max(kFewest, kOperationsInAll / static_cast<size_t>(size_));
  const FlightRecord record = OfGroup(*recorder_, group_index_, most);
  return Confer(absl::StrCat(absl::StrFormat("%.0f", HashBalance()), "\n", FlightRecordText(record)),
                [&](const std::vector<std::string>& texts) { return JudgeGroup(texts, name_, describe); });
}

}  // namespace orthant
