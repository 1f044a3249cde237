// Fits the constants of configs/calibrations to measured rows, and judges the form of the model: each model
// is left out in turn, the constants are fitted to the others, and the errors on it are printed.
//   calibrate_plan --reference ../shared/reference             prints
//   calibrate_plan --reference ../shared/reference --write     also writes configs/calibrations/*.yaml
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/core/file.h"
#include "orthant/core/status.h"
#include "plan_fit.h"
#include "plan_scatter.h"

namespace orthant::bench {
namespace {

constexpr double kWidth = 0.015;

// Rows and machines that are fitted together.
struct Group {
  std::string name;
  std::vector<std::string> files, clusters;
  std::vector<FreeConstant> free;
  Constants start;
};

std::vector<Group> Groups() {
  using C = Constants;
  Group megatron{"Megatron-DeepSpeed on A100 (vTrain)",
                 {"a100_multi_node_step_times.csv", "a100_single_node_step_times.csv"},
                 {"a100-vtrain", "a100-vtrain-node"},
                 {{"matmul", &C::matmul, {0, 1}, 0.1},
                  {"memory", &C::memory, {0, 1}, 0.1},
                  {"layer_overhead", &C::layer_overhead, {0, 1}, 0.3},
                  {"layer_floor", &C::layer_floor, {0, 1}, 0.5},
                  {"tensor_floor", &C::tensor_floor, {0, 1}, 0.5},
                  {"microbatch_overhead", &C::microbatch_overhead, {0, 1}, 0.5},
                  {"network", &C::network, {0}, 0.1},
                  {"send", &C::send, {0}, 0.5},
                  {"send_latency", &C::send_latency, {0, 1}, 0.5},
                  {"optimizer_bytes", &C::optimizer_bytes, {0, 1}, 0.3}},
                 {}};
  megatron.start.matmul = 0.8;
  megatron.start.memory = 0.65;
  megatron.start.layer_overhead = 0.8e-3;
  megatron.start.layer_floor = 3e-3;
  megatron.start.tensor_floor = 0.1;
  megatron.start.microbatch_overhead = 2e-3;
  megatron.start.network = 0.88;
  megatron.start.send = 0.8;
  Group fsdp{"FSDP on A100 and H100 (MosaicML)",
             {"fsdp_throughput.csv"},
             {"a100-mosaic", "h100-mosaic"},
             {{"matmul, A100", &C::matmul, {0}, 0.1},
              {"matmul, H100", &C::matmul, {1}, 0.1},
              {"attention, A100", &C::attention, {0}, 0.5},
              {"attention, H100", &C::attention, {1}, 0.5},
              {"memory", &C::memory, {0, 1}, 0.1},
              {"layer_overhead", &C::layer_overhead, {0, 1}, 0.7},
              {"step_overhead", &C::step_overhead, {0, 1}, 0.7},
              {"interference", &C::interference, {0, 1}, 0.5}},
             {}};
  fsdp.start.matmul = 0.72;
  fsdp.start.memory = 0.72;
  fsdp.start.attention = 0.35;
  fsdp.start.layer_overhead = 0.7e-3;
  fsdp.start.step_overhead = 0.03;
  return {megatron, fsdp};
}

// Points of vTrain's all-reduce tables (size in bytes, time in ns): powers of two.
absl::StatusOr<LinkTable> ReadTable(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  LinkTable table;
  double wanted = 1 << 20;
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (++number == 1 || line.empty()) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, ',');
    double bytes = 0, nanoseconds = 0;
    if (cells.size() < 4 || !absl::SimpleAtod(cells[0], &bytes) || !absl::SimpleAtod(cells[3], &nanoseconds))
      return ConfigurationError(absl::StrCat(path, ":", number, ": size and time cannot be read"));
    if (bytes < wanted) continue;
    table.points.insert(table.points.end(), {bytes, nanoseconds * 1e-9});
    wanted = bytes * 2;
  }
  return table;
}

struct Data {
  std::vector<Machine> machines;
  std::vector<std::vector<FitRow>> files;
};

absl::StatusOr<Data> Load(const Group& group, const std::string& reference, const std::string& self) {
  Data data;
  for (const std::string& name : group.clusters) {
    absl::StatusOr<Machine> machine = LoadMachine(name, self);
    if (!machine.ok()) return machine.status();
    machine->calibration.constants = group.start;
    if (group.clusters[0] == "a100-vtrain") {
      for (const auto& [ranks, table] : {std::pair{2, &machine->calibration.all_reduce_2},
                                         {4, &machine->calibration.all_reduce_4},
                                         {8, &machine->calibration.all_reduce_8}}) {
        absl::StatusOr<LinkTable> read =
            ReadTable(absl::StrCat(reference, "/allreduce_a100_", ranks, "gpu.csv"));
        if (!read.ok()) return read.status();
        *table = *std::move(read);
      }
    }
    data.machines.push_back(*std::move(machine));
  }
  for (const std::string& file : group.files) {
    const absl::StatusOr<MeasuredRows> rows = ReadMeasuredRows(reference + "/" + file);
    if (!rows.ok()) return rows.status();
    std::vector<FitRow> fit;
    for (const MeasuredRow& row : rows->rows) {
      const Machine* machine = MachineOf(row, data.machines);
      if (machine == nullptr || row.seconds == 0) continue;
      if (const absl::Status legal = PredictRow(row, *machine).status(); !legal.ok())
        return Annotate(legal, absl::StrCat(reference, "/", file, ":", row.line));
      fit.push_back({row, static_cast<size_t>(machine - data.machines.data()), 1});
    }
    data.files.push_back(std::move(fit));
  }
  // A file of many rows counts as much as the smallest one.
  size_t least = data.files[0].size();
  for (const auto& rows : data.files) least = std::min(least, rows.size());
  for (auto& rows : data.files)
    for (FitRow& row : rows) row.weight = static_cast<double>(least) / static_cast<double>(rows.size());
  return data;
}

void Print(const std::string& what, const std::vector<FitRow>& rows, const std::vector<double>& errors,
           bool one_model) {
  const PredictionQuality s = Summarize(rows, errors);
  std::printf("  %-34s %4zu rows: mean |error| %5.2f %%, median %5.2f %%, bias %+5.2f %%", what.c_str(),
              rows.size(), 100 * s.mean, 100 * s.median, 100 * s.bias);
  if (one_model) std::printf(", rank correlation %.3f, regret %.2f %%", s.rank_correlation, 100 * s.regret);
  std::printf("\n");
}

// Each model of the file left out in turn; the other files stay in every fit.
void CrossValidate(const Group& group, const Data& data, size_t file) {
  std::set<std::string> models;
  for (const FitRow& row : data.files[file]) models.insert(row.row.model);
  std::vector<FitRow> all;
  std::vector<double> all_errors;
  double correlation = 0, regret = 0;
  for (const std::string& model : models) {
    std::vector<FitRow> fitted, left;
    for (size_t i = 0; i < data.files.size(); ++i)
      for (const FitRow& row : data.files[i])
        (i == file && row.row.model == model ? left : fitted).push_back(row);
    const std::vector<double> errors = Errors(FitConstants(data.machines, group.free, fitted, kWidth), left);
    const bool choices = file == 0 && group.clusters[0] == "a100-vtrain";
    Print(absl::StrCat("without ", model), left, errors, choices);
    const PredictionQuality s = Summarize(left, errors);
    correlation += s.rank_correlation / static_cast<double>(models.size());
    regret += s.regret / static_cast<double>(models.size());
    all.insert(all.end(), left.begin(), left.end());
    all_errors.insert(all_errors.end(), errors.begin(), errors.end());
    if (!choices) continue;
    std::vector<FitRow> trusted;
    std::vector<double> trusted_errors;
    for (size_t i = 0; i < left.size(); ++i) {
      if (std::abs(errors[i]) < 0.1) {
        trusted.push_back(left[i]);
        trusted_errors.push_back(errors[i]);
      }
    }
    Print("  of them within 10 %", trusted, trusted_errors, false);
  }
  Print("all of " + group.files[file], all, all_errors, false);
  for (const bool several : {false, true}) {
    std::vector<FitRow> part;
    std::vector<double> part_errors;
    for (size_t i = 0; i < all.size(); ++i) {
      if ((all[i].row.layout.world() > data.machines[all[i].machine].node_ranks) != several) continue;
      part.push_back(all[i]);
      part_errors.push_back(all_errors[i]);
    }
    if (!part.empty() && part.size() < all.size())
      Print(several ? "of them on several nodes" : "of them on one node", part, part_errors, false);
  }
  if (models.size() > 1 && file == 0)
    std::printf(
        "  rank correlation within a model %.3f, regret of the first choice %.2f %%, means over models\n",
        correlation, 100 * regret);
}

// What the rows themselves allow: of the same mesh, beside each other.
void PrintScatter(const std::vector<FitRow>& rows) {
  const RowScatter scatter = ScatterOf(rows);
  Print("a curve of each mesh's other rows", scatter.rows, scatter.errors, false);
}

constexpr const char* kCommand = "build/release/tests/calibrate_plan --reference ../shared/reference --write";

absl::Status Write(const Calibration& calibration) {
  const std::string path = absl::StrCat("configs/calibrations/", calibration.name, ".yaml");
  if (absl::Status s = WriteFileAtomically(path, CalibrationText(calibration)); !s.ok()) return s;
  std::printf(" wrote %s\n", path.c_str());
  return absl::OkStatus();
}

// Software that nobody has measured here: its own traits, the constants of one that was. Links by table only
// where the nodes are those of the tables.
absl::Status WriteBorrowed(const std::map<std::string, Calibration>& fitted) {
  struct Borrowed {
    std::string name;
    bool tables;
    std::string products;  // whose matmul and attention; "": attention alone, of fsdp-a100
  };
  for (const Borrowed& b :
       {Borrowed{"megatron-lm", true, ""}, Borrowed{"orthant-a100", true, ""},
        Borrowed{"orthant-gpu", false, ""}, Borrowed{"orthant-h100", false, "fsdp-h100"}}) {
    absl::StatusOr<Calibration> own = LoadCalibration(absl::StrCat("configs/calibrations/", b.name, ".yaml"));
    if (!own.ok()) return own.status();
    Calibration c = fitted.at("megatron-a100");
    const Constants& products = fitted.at(b.products.empty() ? "fsdp-a100" : b.products).constants;
    c.constants.attention = products.attention;
    if (!b.products.empty()) c.constants.matmul = products.matmul;
    c.name = b.name;
    c.software = own->software;
    c.command = kCommand;
    c.machine = "a100-vtrain, other software";
    c.rows = b.products.empty() ? "those of megatron-a100; attention: those of fsdp-a100"
                                : "those of megatron-a100; matmul and attention: those of fsdp-h100";
    if (!b.tables) c.all_reduce_2 = c.all_reduce_4 = c.all_reduce_8 = {};
    if (absl::Status s = Write(c); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status Run(const std::string& reference, bool write, const std::string& self) {
  std::map<std::string, Calibration> written;
  for (const Group& group : Groups()) {
    const absl::StatusOr<Data> data = Load(group, reference, self);
    if (!data.ok()) return data.status();
    std::printf("%s: each model left out in turn\n", group.name.c_str());
    for (size_t file = 0; file < data->files.size(); ++file) CrossValidate(group, *data, file);
    if (group.clusters[0] == "a100-vtrain") PrintScatter(data->files[0]);
    std::vector<FitRow> rows;
    for (const auto& file : data->files) rows.insert(rows.end(), file.begin(), file.end());
    const std::vector<Machine> fitted = FitConstants(data->machines, group.free, rows, kWidth);
    std::printf(" fitted to all rows:");
    for (const FreeConstant& c : group.free)
      std::printf(" %s %.4g", c.name.c_str(), fitted[c.machines[0]].calibration.constants.*c.member);
    std::printf("\n");
    for (size_t file = 0; file < data->files.size(); ++file)
      Print(group.files[file], data->files[file], Errors(fitted, data->files[file]), false);
    if (!write) continue;
    for (const Machine& machine : fitted) {
      Calibration calibration = machine.calibration;
      calibration.machine = machine.name;
      calibration.command = kCommand;
      calibration.rows = absl::StrCat(absl::StrJoin(group.files, ", "), ", all rows");
      if (absl::Status s = Write(calibration); !s.ok()) return s;
      written[calibration.name] = calibration;
    }
  }
  return write ? WriteBorrowed(written) : absl::OkStatus();
}

}  // namespace
}  // namespace orthant::bench

int main(int argc, char** argv) {
  CLI::App app("Calibrates the planner on measured rows, each model left out in turn.");
  std::string reference;
  bool write = false;
  app.add_option("--reference", reference, "Folder of the measured rows")->required();
  app.add_flag("--write", write, "Write configs/calibrations/*.yaml");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(orthant::ExitCode::kConfiguration);
  }
  const absl::Status status = orthant::bench::Run(reference, write, argv[0]);
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", std::string(status.message()).c_str());
  return static_cast<int>(orthant::ExitCodeOf(status));
}
