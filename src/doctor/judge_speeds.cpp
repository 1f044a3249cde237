// Checks of what was measured: the slow host and the slow link among their like.
#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "doctor/judging.h"
#include "orthant/core/median.h"
#include "orthant/core/text.h"

namespace orthant::doctor {
namespace {

constexpr double kLeastShare = 0.7;    // of a core, where there is one for each rank
constexpr double kFailTimes = 4.0;     // so many times slower than its like is a failure
constexpr double kSlowNetwork = 1e-3;  // seconds, between hosts, when every link is as slow

double Middle(const Survey& survey, const HostGroup& host,
              const std::function<double(const RankFacts&)>& value) {
  std::vector<double> values;
  for (const int rank : host.ranks) values.push_back(value(survey.ranks[static_cast<size_t>(rank)]));
  return MedianOf(std::move(values));
}

// A rate that each host should have alike: names the hosts that are slower than most.
struct Rate {
  const char* name;
  const char* unit;  // after the number
  double scale;      // of the unit
  OddRule rule;      // of seconds for a unit's worth
  const char* remedy;
};

Check JudgeRate(const Survey& survey, const Rate& rate,
                const std::function<double(const RankFacts&)>& value) {
  Check check{rate.name, State::kOk, "", ""};
  std::vector<double> rates, costs;
  for (const HostGroup& host : survey.hosts) {
    rates.push_back(Middle(survey, host, value));
    costs.push_back(rates.back() > 0 ? rate.scale / rates.back() : 0);
  }
  const double typical = MedianOf(rates);
  check.text = absl::StrFormat("%.3g %s", typical / rate.scale, rate.unit);
  if (survey.between_hosts()) {
    const auto [low, high] = std::minmax_element(rates.begin(), rates.end());
    absl::StrAppend(&check.text,
                    absl::StrFormat(" (%.3g to %.3g over the hosts)", *low / rate.scale, *high / rate.scale));
  }
  const std::vector<size_t> odd = OddOnes(costs, rate.rule);
  if (odd.empty()) return check;
  std::vector<std::string> slow;
  for (const size_t i : odd) {
    slow.push_back(absl::StrFormat("%s has %.3g %s", survey.hosts[i].name, rates[i] / rate.scale, rate.unit));
    const double times = costs[i] / LowMedian(costs);
    check.state = Worse(check.state, times >= kFailTimes ? State::kFail : State::kWarn);
  }
  check.text = absl::StrCat(ListNames(slow), ", most hosts ",
                            absl::StrFormat("%.3g", rate.scale / LowMedian(costs) / rate.scale));
  check.remedy = rate.remedy;
  return check;
}

Check CoreSpeedCheck(const Survey& survey) {
  return JudgeRate(
      survey,
      {"core speed",
       "GFLOP/s in fp32 on one core",
       1e9,
       {.factor = 1.25},
       "look at that host's clock and heat (cpupower frequency-info, turbostat, sensors), and leave it "
       "out until then"},
      [](const RankFacts& rank) { return rank.core_flops; });
}

Check CopySpeedCheck(const Survey& survey) {
  return JudgeRate(
      survey,
      {"memory speed",
       "GB/s copied by each rank at once",
       1e9,
       {.factor = 1.6},
       "a memory module that is missing, slow or faulty (dmidecode -t memory, edac-util), or another "
       "job on that host"},
      [](const RankFacts& rank) { return rank.copy_bytes; });
}

Check OtherLoad(const Survey& survey) {
  Check check{"other load", State::kOk, "", ""};
  const bool crowded = !CrowdedMachines(survey).empty();
  double least = 1;
  std::vector<std::string> busy;
  for (const HostGroup& host : survey.hosts) {
    const double share = Middle(survey, host, [](const RankFacts& rank) { return rank.core_share; });
    if (share < kLeastShare) busy.push_back(absl::StrFormat("%s (%.0f %%)", host.name, 100 * share));
    least = std::min(least, share);
  }
  check.text = absl::StrFormat("a rank had its core for %.0f %% of the time%s", 100 * least,
                               survey.between_hosts() ? " on the busiest host" : "");
  if (crowded) {
    absl::StrAppend(&check.text, "; ranks outnumber cores");
    return check;
  }
  if (busy.empty()) return check;
  check.state = State::kWarn;
  check.text = absl::StrCat("something else wants the cores: a rank had its core for a part of the time on ",
                            ListNames(busy));
  check.remedy = "see what runs there (top), and ask for the whole host (sbatch --exclusive)";
  return check;
}

// Three digits: "21.4 us", "5.02 ms".
std::string LatencyText(double seconds) {
  if (seconds < 1e-3) return absl::StrFormat("%.3g us", seconds * 1e6);
  if (seconds < 1) return absl::StrFormat("%.3g ms", seconds * 1e3);
  return absl::StrFormat("%.3g s", seconds);
}

std::string EndsOf(const Survey& survey, const Link& link) {
  return absl::StrCat(survey.nodes[static_cast<size_t>(link.a)], " - ",
                      survey.nodes[static_cast<size_t>(link.b)]);
}

// What is said of one kind of cost of links.
struct LinkCost {
  const char* name;
  OddRule rule;
  std::function<double(const Link&)> of;
  std::function<std::string(double)> text;
  State worst;  // that a finding may be
};

constexpr const char* kHostRemedy =
    "look at that host's cable, port and driver (ethtool -S, ip -s link, ibstat; tc qdisc show), and leave "
    "it out "
    "until then (sbatch --exclude, mpirun --host)";
constexpr const char* kLinkRemedy =
    "look at what these two hosts share and the others do not: a route, a switch";
constexpr const char* kRanksRemedy =
    "see where these ranks are bound (mpirun --report-bindings): ranks of one NUMA node are nearer";

std::string Names(const Survey& survey, const SlowLinks& slow, const LinkCost& cost) {
  std::vector<std::string> names;
  for (size_t i = 0; i < slow.nodes.size(); ++i) {
    names.push_back(
        absl::StrCat(survey.nodes[static_cast<size_t>(slow.nodes[i])], " (", cost.text(slow.costs[i]), ")"));
  }
  return ListNames(names, 4);
}

Check JudgeLinks(const Survey& survey, const LinkCost& cost) {
  Check check{cost.name, State::kOk, "", ""};
  if (survey.links.empty()) {
    check.text = "one rank: there is no link";
    return check;
  }
  std::vector<double> costs;
  for (const Link& link : survey.links) costs.push_back(cost.of(link));
  const auto [least, most] = std::minmax_element(costs.begin(), costs.end());
  const char* what = survey.between_hosts() ? "host" : "rank";
  check.text = absl::StrCat(cost.text(MedianOf(costs)), " between ", what, "s (", survey.links.size(),
                            survey.links.size() == 1 ? " link" : " links", ": ", cost.text(*least), " to ",
                            cost.text(*most), ")");
  const SlowLinks slow = FindSlowLinks(static_cast<int>(survey.nodes.size()), survey.links, costs, cost.rule);
  const auto grade = [&](double its) {
    const bool fail = its >= kFailTimes * slow.typical && survey.between_hosts();
    check.state = Worse(check.state, fail ? cost.worst : State::kWarn);
  };
  if (!slow.nodes.empty()) {
    for (const double its : slow.costs) grade(its);
    const std::string names = Names(survey, slow, cost);
    check.text = slow.nodes.size() == 1
                     ? absl::StrCat(survey.between_hosts() ? "host " : "", names, " is the slow one")
                     : absl::StrCat(slow.nodes.size(), " ", what, "s are slow: ", names);
    absl::StrAppend(&check.text, "; between the others: ", cost.text(slow.typical));
    check.remedy = survey.between_hosts() ? kHostRemedy : kRanksRemedy;
  }
  if (!slow.single.empty()) {
    std::vector<std::string> names;
    for (const size_t i : slow.single) {
      grade(costs[i]);
      names.push_back(absl::StrCat(EndsOf(survey, survey.links[i]), " (", cost.text(costs[i]), ")"));
    }
    const std::string text =
        absl::StrCat(names.size() == 1 ? "a slow link: " : "slow links: ", ListNames(names, 4));
    check.text = slow.nodes.empty() ? absl::StrCat(text, "; typical: ", cost.text(slow.typical))
                                    : absl::StrCat(check.text, "; ", text);
    if (check.remedy.empty()) check.remedy = survey.between_hosts() ? kLinkRemedy : kRanksRemedy;
  }
  return check;
}

Check LinkLatency(const Survey& survey) {
  // On a machine with more ranks than cores even the best message may have waited for a core.
  const double floor = CrowdedMachines(survey).empty() ? 20e-6 : 1e-3;
  Check check = JudgeLinks(survey, {"link latency",
                                    {.factor = 2, .floor = floor},
                                    [](const Link& link) { return link.latency; },
                                    LatencyText,
                                    State::kFail});
  if (check.state != State::kOk || !survey.between_hosts()) return check;
  std::vector<double> all;
  for (const Link& link : survey.links) all.push_back(link.latency);
  if (MedianOf(all) < kSlowNetwork) return check;
  check.state = State::kWarn;
  absl::StrAppend(&check.text, ": no host is worse than the others, but this is no network for training");
  check.remedy =
      "see that MPI uses the fast network (check 'MPI transports'), and that all hosts are in one place";
  return check;
}

Check LinkBandwidth(const Survey& survey) {
  // There a message's time is that of the cores, which all links share: nothing can be held against one for
  // sure.
  const bool crowded = !CrowdedMachines(survey).empty();
  return JudgeLinks(survey,
                    {"link bandwidth",
                     {.factor = crowded ? 4.0 : 2.0},
                     [](const Link& link) { return link.bandwidth > 0 ? 1 / link.bandwidth : 0; },
                     [](double cost) { return cost > 0 ? FormatBytes(1 / cost) + "/s" : std::string("?"); },
                     crowded ? State::kWarn : State::kFail});
}

}  // namespace

void JudgeSpeeds(const Survey& survey, std::vector<Check>* checks) {
  for (const auto judge : {CoreSpeedCheck, CopySpeedCheck, OtherLoad, LinkLatency, LinkBandwidth})
    checks->push_back(judge(survey));
}

}  // namespace orthant::doctor
