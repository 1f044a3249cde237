#include "orthant/sweep/sweep_file.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"
#include "sweep/variants.h"

namespace orthant {
namespace {

// Of "key=value" the value, as a whole number; 0 when it is none.
int64_t WholeNumber(const std::string& text) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos) return 0;
  return std::stoll(text);
}

int64_t DegreeOf(const std::vector<std::string>& overrides, const std::string& axis) {
  const std::string begin = absl::StrCat("parallel.", axis, "=");
  for (const std::string& text : overrides) {
    if (absl::StartsWith(text, begin)) return std::max<int64_t>(1, WholeNumber(text.substr(begin.size())));
  }
  return 1;
}

// Sets every degree, so that nothing of the run's own mesh is left.
void ShareRanks(const SweepVariant& variant, SweepCase* one) {
  int64_t others = 1;
  for (const char* axis : {"data", "tensor", "pipeline", "sequence"}) {
    if (axis == variant.fill) continue;
    const int64_t degree = DegreeOf(variant.overrides, axis);
    others *= degree;
    const std::string text = absl::StrCat("parallel.", axis, "=");
    const bool set = std::any_of(variant.overrides.begin(), variant.overrides.end(),
                                 [&](const std::string& o) { return absl::StartsWith(o, text); });
    if (!set) one->overrides.push_back(text + "1");
  }
  if (one->ranks % others != 0) {
    one->problem = absl::StrCat("ranks = ", one->ranks, ": the other degrees multiply to ", others,
                                ", which must divide it (parallel.", variant.fill, " takes what is left)");
    return;
  }
  one->overrides.push_back(absl::StrCat("parallel.", variant.fill, "=", one->ranks / others));
}

}  // namespace

void Describe(Fields& f, SweepSettings& s) {
  f.Text("name", &s.name).Doc("Name of the sweep; its folder is called so unless dir says otherwise.");
  f.Text("dir", &s.dir).Doc("Folder of the sweep's runs and of sweep.json; empty: sweeps/<name>.");
  f.Text("run", &s.run).Required().Doc("The run that is varied, relative to the sweep's file.");
  f.Integers("ranks", &s.ranks)
      .AtLeast(1)
      .AtMost(1 << 20)
      .Unit("ranks")
      .Doc("Each variant runs on each of these; empty: on the mesh that it sets.");
  f.Choice("backend", &s.backend, {"threads", "mpirun", "submit"})
      .Doc("Ranks as threads of one process, as processes (orthant launch), or batch jobs (orthant submit).");
  f.Choice("scaling", &s.scaling, {"strong", "weak"})
      .Doc("What grows with the ranks: nothing (strong), or the global batch (weak).");
  f.Choice("fill", &s.fill, {"data", "tensor", "pipeline", "sequence"})
      .Doc("The axis that takes the ranks which the variant's other degrees leave.");
  f.Integer("batch_per_rank", &s.batch_per_rank)
      .AtLeast(0)
      .Unit("samples")
      .Doc("Weak scaling: train.global_batch is this many times the ranks.");
  f.Integer("retries", &s.retries)
      .AtLeast(0)
      .AtMost(100)
      .Doc(
          "How often a case is started again in one sweep when another start may heal it (exit codes 1, 4, "
          "signals).");
  f.Text("calibration", &s.calibration)
      .Doc(
          "What the planner predicts by: a file of orthant bench calibrate or of configs/clusters, relative "
          "to the sweep's file; a cluster's name; measure (by orthant bench calibrate, once, before the "
          "cases); empty: no predictions.");
  f.Integer("ranks_per_node", &s.ranks_per_node)
      .AtLeast(1)
      .Unit("ranks")
      .Doc("Backend submit: ranks on a node, which decides the nodes of each job.");
  f.Text("arguments", &s.arguments)
      .Doc("Further options of orthant launch or orthant submit, as one text: '--time 10 --cluster slurm'.");
}

std::vector<SweepCase> CasesOf(const SweepFile& file) {
  std::vector<SweepCase> cases;
  const std::vector<int64_t> own = {0};
  for (const SweepVariant& variant : file.variants) {
    for (const int64_t ranks : file.settings.ranks.empty() ? own : file.settings.ranks) {
      SweepCase one;
      one.name = ranks == 0 ? variant.name : absl::StrCat(variant.name, "-r", ranks);
      one.layout = variant.name;
      one.ranks = ranks;
      one.overrides = variant.overrides;
      if (ranks > 0) ShareRanks(variant, &one);
      if (file.settings.scaling == "weak")
        one.overrides.push_back(
            absl::StrCat("train.global_batch=", file.settings.batch_per_rank * std::max<int64_t>(1, ranks)));
      cases.push_back(std::move(one));
    }
  }
  return cases;
}

}  // namespace orthant
