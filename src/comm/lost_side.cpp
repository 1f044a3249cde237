#include "comm/lost_side.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace orthant {
namespace {

constexpr size_t kMostNamed = 4;  // hosts in the sentence

// "host a", "hosts a and b", "hosts a, b, c, d and 3 more"
std::string HostsText(const std::set<std::string>& hosts) {
  std::vector<std::string> names(hosts.begin(), hosts.end());
  std::string last;
  if (names.size() > kMostNamed) {
    last = absl::StrCat(names.size() - kMostNamed, " more");
    names.resize(kMostNamed);
  } else if (names.size() > 1) {
    last = names.back();
    names.pop_back();
  }
  return absl::StrCat(hosts.size() == 1 ? "host " : "hosts ", absl::StrJoin(names, ", "),
                      last.empty() ? "" : " and ", last);
}

std::string CountedRanks(const std::vector<int>& ranks) {
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", RanksText(ranks));
}

}  // namespace

std::optional<LostSide> FindLostSide(const std::vector<FlightRecord>& records,
                                     const std::map<int, AbsentRank>& absent, const WaitGraph& graph) {
  std::set<std::string> heard, silent_hosts;
  std::vector<int> present, silent;
  for (const FlightRecord& record : records) {
    heard.insert(record.host);
    present.push_back(record.rank);
  }
  for (const auto& [rank, gone] : absent) {
    if (gone.absence != Absence::kSilent) heard.insert(gone.host);
  }
  for (const auto& [rank, gone] : absent) {
    if (gone.host.empty() || heard.count(gone.host) != 0) continue;
    silent_hosts.insert(gone.host);
    silent.push_back(rank);
  }
  const std::vector<int> roots = graph.Roots();
  const bool awaited = roots.empty() || std::any_of(roots.begin(), roots.end(), [&](int rank) {
                         return std::binary_search(silent.begin(), silent.end(), rank);
                       });
  if (records.empty() || silent.empty() || !awaited) return std::nullopt;

  LostSide lost;
  lost.ours = present.size() < silent.size() || (present.size() == silent.size() && silent < present);
  if (lost.ours) {
    lost.ranks = present;
    lost.text = absl::StrCat(HostsText(heard), heard.size() == 1 ? " is" : " are",
                             " cut off: ", CountedRanks(present), present.size() == 1 ? " hears" : " hear",
                             " nothing of ", CountedRanks(silent), " on ", HostsText(silent_hosts));
  } else {
    lost.ranks = silent;
    lost.text =
        absl::StrCat(HostsText(silent_hosts), silent_hosts.size() == 1 ? " is" : " are",
                     " lost: ", CountedRanks(silent), silent.size() == 1 ? " does" : " do", " not answer");
  }
  return lost;
}

}  // namespace orthant
