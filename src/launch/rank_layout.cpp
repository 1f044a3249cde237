#include "orthant/launch/rank_layout.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

std::string Hosts(int64_t count) {
  return absl::StrCat(count, count == 1 ? " host" : " hosts");
}
std::string Ranks(int64_t count) {
  return absl::StrCat(count, count == 1 ? " rank" : " ranks");
}

// "there are 2 hosts, and 1 of them is kept as a spare (--spare-hosts)"
std::string Available(const RankNeeds& needs, int hosts) {
  std::string text = hosts == 1 ? "there is 1 host" : absl::StrCat("there are ", hosts, " hosts");
  if (needs.spare_hosts > 0) {
    absl::StrAppend(&text, ", of which --spare-hosts ", needs.spare_hosts, " keeps ", needs.spare_hosts);
  }
  return text;
}

// The divisors of `number` that are nearest to `wanted`, at most two.
std::vector<int64_t> NearestDivisors(int64_t number, int64_t wanted) {
  std::vector<int64_t> divisors;
  for (int64_t divisor = 1; divisor <= number; ++divisor) {
    if (number % divisor == 0) divisors.push_back(divisor);
  }
  std::stable_sort(divisors.begin(), divisors.end(), [wanted](int64_t a, int64_t b) {
    return std::llabs(a - wanted) < std::llabs(b - wanted);
  });
  if (divisors.size() > 2) divisors.resize(2);
  std::sort(divisors.begin(), divisors.end());
  return divisors;
}

absl::Status TooFew(const RankNeeds& needs, int hosts, int64_t needed, int64_t each, const std::string& why) {
  return ConfigurationError(absl::StrCat("not enough hosts: ", Ranks(needs.ranks), " with ", each,
                                         " a host (", why, ") need ", Hosts(needed), ", and ",
                                         Available(needs, hosts)));
}

absl::StatusOr<RankLayout> WithSoManyEach(const RankNeeds& needs, int hosts, int usable) {
  const std::string why = "--ranks-per-host";
  if (needs.ranks == 0) return RankLayout{usable, needs.ranks_per_host, why};
  if (needs.ranks % needs.ranks_per_host != 0) {
    return ConfigurationError(absl::StrCat(
        Ranks(needs.ranks), " do not divide over hosts with ", needs.ranks_per_host, " each; nearest legal: ",
        absl::StrJoin(NearestDivisors(needs.ranks, needs.ranks_per_host), " or "), " (--ranks-per-host)"));
  }
  const int64_t needed = needs.ranks / needs.ranks_per_host;
  if (needed > usable) return TooFew(needs, hosts, needed, needs.ranks_per_host, why);
  return RankLayout{static_cast<int>(needed), needs.ranks_per_host, why};
}

absl::StatusOr<RankLayout> WithCapacity(const RankNeeds& needs, int hosts, int usable) {
  if (needs.ranks == 0) return RankLayout{usable, needs.capacity, needs.capacity_source};
  const int64_t least = (needs.ranks + needs.capacity - 1) / needs.capacity;
  if (least > usable) return TooFew(needs, hosts, least, needs.capacity, needs.capacity_source);
  for (int64_t count = least; count <= usable; ++count) {
    if (needs.ranks % count != 0) continue;
    return RankLayout{static_cast<int>(count), static_cast<int>(needs.ranks / count), needs.capacity_source};
  }
  return ConfigurationError(absl::StrCat(
      Ranks(needs.ranks), " do not divide over ", Hosts(usable), " with up to ", needs.capacity, " each (",
      needs.capacity_source, "): every host must have the same number; --ranks-per-host N sets another"));
}

}  // namespace

absl::StatusOr<RankLayout> LayOutRanks(const RankNeeds& needs, int hosts) {
  const int usable = hosts - needs.spare_hosts;
  if (usable < 1) {
    return ConfigurationError(
        absl::StrCat("not enough hosts: ", Available(needs, hosts), ": none is left for ranks"));
  }
  if (needs.ranks_per_host > 0) return WithSoManyEach(needs, hosts, usable);
  if (needs.capacity > 0) return WithCapacity(needs, hosts, usable);
  if (needs.ranks == 0) return RankLayout{usable, 1, "one a host"};
  if (needs.ranks % usable != 0) {
    std::vector<int64_t> legal;
    for (int64_t count = 1; count <= usable; ++count) {
      if (needs.ranks % count == 0) legal.push_back(needs.ranks / count);
    }
    return ConfigurationError(absl::StrCat(Ranks(needs.ranks), " do not divide over ", Hosts(usable),
                                           "; legal: --ranks-per-host ", absl::StrJoin(legal, " or ")));
  }
  return RankLayout{usable, static_cast<int>(needs.ranks / usable),
                    absl::StrCat(Ranks(needs.ranks), " on ", Hosts(usable))};
}

}  // namespace orthant
