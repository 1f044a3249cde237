#include "comm/difference.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace orthant {
namespace {

struct Call {
  const FlightRecord* record = nullptr;
  const RecordedOperation* op = nullptr;
};

// Everything that was called at one place: one collective of a group, or one message of a channel.
using Calls = std::vector<Call>;

// One place of the order: the group, the channel ("" for collectives), the sequence number.
struct Place {
  std::string group;
  std::string channel;
  uint64_t sequence = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

// Sender and receiver, as world ranks.
std::pair<int, int> Ends(const FlightRecord& record, const RecordedOperation& op) {
  const int other = record.WorldRank(op.group, op.peer);
  return op.send() ? std::pair(record.rank, other) : std::pair(other, record.rank);
}

std::map<Place, Calls> CallsByPlace(const std::vector<FlightRecord>& records) {
  std::map<Place, Calls> places;
  for (const FlightRecord& record : records) {
    std::map<Place, size_t> own;  // a released group's numbers begin again: the newest call counts
    for (const RecordedOperation& op : record.operations) {
      Place place{record.GroupKey(op.group), "", op.sequence};
      if (op.message()) {
        const auto [from, to] = Ends(record, op);
        place.channel = absl::StrCat(from, ">", to);
      }
      Calls& calls = places[place];
      if (!calls.empty() && calls.back().record == &record) {
        calls.back().op = &op;
      } else {
        calls.push_back({&record, &op});
      }
    }
  }
  return places;
}

// What must be equal at one place: for a message without the direction.
std::string Signature(const RecordedOperation& op) {
  std::string text = op.Describe();
  return op.message() ? text.substr(text.find(' ') + 1) : text;
}

Difference MessageDifference(const Calls& calls, const DescribeRank& describe) {
  const Call& send = calls[0].op->send() ? calls[0] : calls[1];
  const Call& recv = calls[0].op->send() ? calls[1] : calls[0];
  Difference d;
  d.message = true;
  d.ranks = {send.record->rank, recv.record->rank};
  d.example = *send.op;
  d.text =
      absl::StrFormat("%s calls %s to %s, which calls %s", NameRanks({send.record->rank}, describe),
                      send.op->Describe(), NameRanks({recv.record->rank}, describe), recv.op->Describe());
  return d;
}

Difference CollectiveDifference(const Calls& calls, const DescribeRank& describe) {
  std::map<std::string, std::vector<int>> callers;
  std::map<std::string, const RecordedOperation*> ops;
  for (const Call& call : calls) {
    const std::string signature = Signature(*call.op);
    callers[signature].push_back(call.record->rank);
    ops.try_emplace(signature, call.op);
  }
  // The smallest party differs from the rest; of two alike, the one without the lowest rank.
  std::vector<std::pair<std::string, std::vector<int>>> parties(callers.begin(), callers.end());
  std::sort(parties.begin(), parties.end(), [](const auto& a, const auto& b) {
    if (a.second.size() != b.second.size()) return a.second.size() < b.second.size();
    return a.second.front() > b.second.front();
  });
  Difference d;
  d.ranks = parties.front().second;
  d.example = *ops[parties.front().first];
  for (size_t i = 0; i < parties.size() && i < 4; ++i) {
    absl::StrAppend(&d.text, i == 0 ? "" : ", ", NameRanks(parties[i].second, describe),
                    parties[i].second.size() == 1 ? " calls " : " call ", ops[parties[i].first]->Describe());
  }
  if (parties.size() > 4) absl::StrAppend(&d.text, ", and ", parties.size() - 4, " other calls");
  return d;
}

}  // namespace

std::string NameRanks(const std::vector<int>& ranks, const DescribeRank& describe) {
  if (ranks.size() != 1) return absl::StrCat("ranks ", RanksText(ranks));
  return describe ? describe(ranks[0]) : absl::StrCat("rank ", ranks[0]);
}

std::optional<Difference> FindDifference(const std::vector<FlightRecord>& records,
                                         const DescribeRank& describe) {
  std::optional<Difference> first;
  for (const auto& [place, calls] : CallsByPlace(records)) {
    if (calls.size() < 2 || (!place.channel.empty() && calls.size() != 2)) continue;
    const std::string signature = Signature(*calls[0].op);
    const bool same = std::all_of(calls.begin(), calls.end(),
                                  [&](const Call& call) { return Signature(*call.op) == signature; });
    if (same) continue;
    double since = 0;
    for (const Call& call : calls) since = std::max(since, call.op->queued);
    if (first && first->since >= since) continue;
    const FlightRecord& record = *calls[0].record;
    const auto group = static_cast<size_t>(calls[0].op->group);
    Difference d =
        place.channel.empty() ? CollectiveDifference(calls, describe) : MessageDifference(calls, describe);
    d.group = record.groups[group].name;
    d.members = record.groups[group].members;
    d.sequence = place.sequence;
    d.since = since;
    d.step = calls[0].op->step;
    for (const Call& call : calls) d.step = std::min(d.step, call.op->step);
    d.text = absl::StrFormat("%s of %s (ranks %s) differ at %s %d, step %d: %s",
                             d.message ? "two ranks" : "the ranks", d.group, RanksText(d.members),
                             d.message ? "message" : "collective", d.sequence, d.step, d.text);
    first = std::move(d);
  }
  return first;
}

std::string CountDifference(const std::vector<FlightRecord>& records, const DescribeRank& describe) {
  struct Count {
    uint64_t count = 0;
    std::vector<int> ranks;
    std::string last;
  };
  std::map<std::string, std::map<uint64_t, Count>> collectives;  // by group
  std::map<std::pair<std::string, std::pair<int, int>>, std::map<bool, Count>> messages;
  std::map<std::string, std::string> names;
  for (const FlightRecord& record : records) {
    for (size_t g = 0; g < record.groups.size(); ++g) {
      const std::string key = record.GroupKey(static_cast<int>(g));
      names[key] = record.groups[g].name;
      collectives[key][record.groups[g].issued].ranks.push_back(record.rank);
    }
    for (const RecordedOperation& op : record.operations) {
      const std::string key = record.GroupKey(op.group);
      if (!op.message()) {
        const uint64_t issued = record.groups[static_cast<size_t>(op.group)].issued;
        if (op.sequence == issued) collectives[key][issued].last = op.Describe();
        continue;
      }
      Count& count = messages[{key, Ends(record, op)}][op.send()];
      if (op.sequence >= count.count) count = {op.sequence, {record.rank}, op.Describe()};
    }
  }
  for (const auto& [key, counts] : collectives) {
    if (counts.size() < 2) continue;
    const auto& [fewest, few] = *counts.begin();
    const auto& [most, many] = *counts.rbegin();
    return absl::StrFormat(
        "the ranks of %s have not called equally many collectives: %s %d, the last %s; %s %d, "
        "the last %s",
        names[key], NameRanks(few.ranks, describe), fewest, few.last, NameRanks(many.ranks, describe), most,
        many.last);
  }
  for (auto& [channel, ends] : messages) {
    const Count& sent = ends[true];
    const Count& received = ends[false];
    if (sent.count == received.count) continue;
    return absl::StrFormat("%s has sent %d messages of %s to %s, which has received %d; the last is %s",
                           NameRanks({channel.second.first}, describe), sent.count, names[channel.first],
                           NameRanks({channel.second.second}, describe), received.count,
                           sent.count > received.count ? sent.last : received.last);
  }
  return "";
}

}  // namespace orthant
