#include "launch/launch_line.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace orthant {
namespace {

using Words = std::vector<std::string>;

void Append(Words* words, const Words& more) {
  words->insert(words->end(), more.begin(), more.end());
}

std::string BindingText(const std::vector<Cores>& binding, const char* between) {
  return absl::StrJoin(binding, between,
                       [](std::string* out, const Cores& cores) { *out += FormatCores(cores); });
}

Words SrunWords(const LineParts& parts) {
  const LaunchPlan& plan = *parts.plan;
  Words words = {plan.program, absl::StrCat("--nodes=", plan.hosts.size()),
                 absl::StrCat("--ntasks=", plan.world),
                 absl::StrCat("--ntasks-per-node=", plan.ranks_per_host), "--distribution=block"};
  const bool all = plan.hosts.size() == plan.allocation.hosts.size();
  if (!all || !plan.allocation.host_file.empty()) {
    words.push_back(absl::StrCat("--nodelist=", absl::StrJoin(plan.hosts, ",")));
  }
  if (!parts.mpi.empty()) words.push_back(absl::StrCat("--mpi=", parts.mpi));
  if (!plan.binding.empty()) {
    words.push_back(absl::StrCat("--cpu-bind=mask_cpu:",
                                 absl::StrJoin(plan.binding, ",", [](std::string* out, const Cores& cores) {
                                   *out += CoreMask(cores);
                                 })));
  } else if (!parts.bind) {
    words.push_back("--cpu-bind=none");
  }
  if (parts.crowded) words.push_back("--overcommit");
  Append(&words, {"--export=ALL", "--label"});  // ALL: sbatch --export=NONE would hide ORTHANT_ATTEMPT
  return words;
}

Words OpenMpiWords(const LineParts& parts) {
  const LaunchPlan& plan = *parts.plan;
  Words words = {plan.program, "-n", absl::StrCat(plan.world)};
  const bool rank_file = !plan.rank_file.empty();
  if (!parts.this_host_only) {
    words.push_back("--host");
    words.push_back(absl::StrJoin(plan.hosts, ",", [&](std::string* out, const std::string& host) {
      absl::StrAppend(out, host, ":", plan.ranks_per_host);
    }));
  }
  if (rank_file) {
    Append(&words, {"--rankfile", kRankFileWord});
  } else if (!plan.binding.empty()) {
    Append(&words,
           {"--map-by", absl::StrCat("ppr:", plan.ranks_per_host, ":node:PE=", plan.binding[0].size()),
            "--bind-to", "core"});
  } else if (parts.this_host_only) {
    Append(&words, {"--oversubscribe", "--bind-to", "none"});
  } else {
    Append(&words, {"--map-by", absl::StrCat("ppr:", plan.ranks_per_host, ":node:OVERSUBSCRIBE"), "--bind-to",
                    "none"});
  }
  if (plan.binding.empty()) Append(&words, {"--mca", "mpi_yield_when_idle", "1"});
  words.push_back("--tag-output");
  for (const std::string& name : parts.forward) Append(&words, {"-x", name});
  return words;
}

Words PalsWords(const LineParts& parts) {
  const LaunchPlan& plan = *parts.plan;
  Words words = {plan.program, "-n", absl::StrCat(plan.world), "--ppn", absl::StrCat(plan.ranks_per_host)};
  if (plan.hosts.size() == plan.allocation.hosts.size() && !plan.allocation.host_file.empty()) {
    Append(&words, {"--hostfile", plan.allocation.host_file});
  } else {
    Append(&words, {"--hosts", absl::StrJoin(plan.hosts, ",")});
  }
  if (!plan.binding.empty()) {
    words.push_back(absl::StrCat("--cpu-bind=list:", BindingText(plan.binding, ":")));
  } else if (!parts.bind) {
    words.push_back("--cpu-bind=none");
  }
  words.push_back("--label");
  return words;
}

Words MpichWords(const LineParts& parts) {
  const LaunchPlan& plan = *parts.plan;
  Words words = {plan.program, "-n", absl::StrCat(plan.world), "-ppn", absl::StrCat(plan.ranks_per_host)};
  if (!parts.this_host_only) Append(&words, {"-hosts", absl::StrJoin(plan.hosts, ",")});
  if (!plan.binding.empty()) {
    Append(&words, {"-bind-to", absl::StrCat("user:", BindingText(plan.binding, ","))});
  } else if (!parts.bind) {
    Append(&words, {"-bind-to", "none"});
  }
  Append(&words, {"-genvall", "-prepend-rank"});
  return words;
}

}  // namespace

std::vector<std::string> ComposeLine(const LineParts& parts) {
  Words words;
  switch (parts.plan->starter) {
    case RankStarter::kSrun:
      words = SrunWords(parts);
      break;
    case RankStarter::kOpenMpi:
      words = OpenMpiWords(parts);
      break;
    case RankStarter::kPals:
      words = PalsWords(parts);
      break;
    case RankStarter::kMpich:
      words = MpichWords(parts);
      break;
    case RankStarter::kNone:
      return parts.command;
  }
  Append(&words, parts.arguments);
  Append(&words, parts.command);
  return words;
}

std::vector<Cores> InPlaces(const std::vector<Cores>& binding, const Cores& order) {
  std::vector<Cores> places = binding;
  if (order.empty()) return places;
  for (Cores& cores : places) {
    for (int& core : cores) {
      core = static_cast<int>(std::find(order.begin(), order.end(), core) - order.begin());
    }
  }
  return places;
}

bool InOrder(const std::vector<Cores>& places) {
  int next = 0;
  for (const Cores& cores : places) {
    if (cores.size() != places[0].size()) return false;
    for (const int core : cores) {
      if (core != next++) return false;
    }
  }
  return true;
}

std::string RankFile(const LaunchPlan& plan, const std::vector<Cores>& places) {
  std::string text;
  for (int64_t rank = 0; rank < plan.world; ++rank) {
    const Cores& cores = places[static_cast<size_t>(rank % plan.ranks_per_host)];
    absl::StrAppend(&text, "rank ", rank, "=", plan.HostOf(rank), " slot=", FormatCores(cores), "\n");
  }
  return text;
}

std::string CoreMask(const Cores& cores) {
  const int most = cores.empty() ? 0 : *std::max_element(cores.begin(), cores.end());
  std::vector<unsigned> digits(static_cast<size_t>(most / 4 + 1));  // hexadecimal, lowest first
  for (const int core : cores) digits[static_cast<size_t>(core / 4)] |= 1u << (core % 4);
  std::string text = "0x";
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) text += "0123456789abcdef"[*digit];
  return text;
}

}  // namespace orthant
