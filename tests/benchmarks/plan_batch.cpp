// Predicts every row of a CSV of measured steps and appends what the planner says, so that anyone can judge
// it on rows of their own:
//   plan_batch --input rows.csv --cluster a100-vtrain > predicted.csv
// Errors, by model and in all, go to stderr. docs/planning.md lists the forms of rows that are read.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/status.h"
#include "plan_fit.h"

namespace orthant::bench {
namespace {

// The named cluster, then those that its file names as related.
absl::StatusOr<std::vector<Machine>> LoadMachines(const std::string& cluster, const std::string& self) {
  std::vector<Machine> machines;
  absl::StatusOr<Machine> first = LoadMachine(cluster, self);
  if (!first.ok()) return first.status();
  machines.push_back(*std::move(first));
  const absl::StatusOr<std::string> path = FindCluster(cluster, self);
  const absl::StatusOr<ClusterConfig> config = LoadCluster(*path);
  if (!config.ok()) return config.status();
  for (const std::string& name : config->performance.related) {
    absl::StatusOr<Machine> machine = LoadMachine(name, self);
    if (!machine.ok()) return Annotate(machine.status(), *path + ": performance.related");
    machines.push_back(*std::move(machine));
  }
  return machines;
}

void PrintErrors(const std::vector<Machine>& machines,
                 const std::map<std::string, std::vector<FitRow>>& models) {
  std::vector<FitRow> all;
  double correlation = 0, regret = 0;
  for (const auto& [model, rows] : models) {
    const PredictionQuality s = Summarize(rows, Errors(machines, rows));
    std::fprintf(stderr, "%-20s %4zu rows: mean |error| %5.2f %%, rank correlation %.3f, regret %.2f %%\n",
                 model.c_str(), rows.size(), 100 * s.mean, s.rank_correlation, 100 * s.regret);
    correlation += s.rank_correlation;
    regret += s.regret;
    all.insert(all.end(), rows.begin(), rows.end());
  }
  if (all.empty()) return;
  const double n = static_cast<double>(models.size());
  const PredictionQuality s = Summarize(all, Errors(machines, all));
  std::fprintf(
      stderr,
      "%-20s %4zu rows: mean |error| %5.2f %%, median %.2f %%, rank correlation %.3f, regret %.2f %%\n",
      "all", all.size(), 100 * s.mean, 100 * s.median, correlation / n, 100 * regret / n);
}

absl::Status Run(const std::string& input, const std::string& cluster, const std::string& self) {
  const absl::StatusOr<std::vector<Machine>> machines = LoadMachines(cluster, self);
  if (!machines.ok()) return machines.status();
  const absl::StatusOr<MeasuredRows> rows = ReadMeasuredRows(input);
  if (!rows.ok()) return rows.status();
  std::printf(
      "%s,predicted cluster,predicted time (ms),predicted error (%%),predicted memory (GB),predicted fits\n",
      rows->head.c_str());
  std::map<std::string, std::vector<FitRow>> models;
  int64_t elsewhere = 0;
  for (const MeasuredRow& row : rows->rows) {
    const Machine* machine = MachineOf(row, *machines);
    if (machine == nullptr) {
      ++elsewhere;
      std::printf("%s,,,,,\n", row.text.c_str());
      continue;
    }
    const absl::StatusOr<LayoutPrediction> p = PredictRow(row, *machine);
    if (!p.ok()) return Annotate(p.status(), absl::StrCat(input, ":", row.line));
    const std::string error =
        row.seconds > 0 ? absl::StrFormat("%.2f", 100 * (p->time.step / row.seconds - 1)) : "";
    std::printf("%s,%s,%.2f,%s,%.2f,%s\n", row.text.c_str(), machine->name.c_str(), p->time.step * 1e3,
                error.c_str(), p->WorstStage().total() / 1e9, p->fits ? "yes" : "no");
    if (row.seconds > 0)
      models[row.model].push_back({row, static_cast<size_t>(machine - machines->data()), 1});
  }
  PrintErrors(*machines, models);
  if (elsewhere > 0)
    std::fprintf(stderr, "%lld rows are of devices that %s and its related clusters do not have\n",
                 static_cast<long long>(elsewhere), cluster.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace orthant::bench

int main(int argc, char** argv) {
  CLI::App app("Predicts the rows of a CSV of measured steps.");
  std::string input, cluster;
  app.add_option("--input", input, "The rows")->required()->type_name("FILE.csv");
  app.add_option("--cluster", cluster, "A name in configs/clusters, or a file")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(orthant::ExitCode::kConfiguration);
  }
  const absl::Status status = orthant::bench::Run(input, cluster, argv[0]);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(orthant::ExitCodeOf(status));
}
