#include "orthant/report/sweep_data.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/step_median.h"

namespace orthant {
namespace {

double PeakMemory(const RunData& run) {
  double most = 0;
  if (const RunStart* start = run.LastStart(); start != nullptr) {
    for (const RankMemory& rank : start->memory) most = std::max(most, rank.device_bytes);
  }
  return most > 0 ? most : run.metrics.Last("mem_peak_bytes").value_or(NAN);
}

std::string RestOf(const Mesh& mesh) {
  std::string text;
  const std::pair<const char*, int> axes[] = {{"tensor", mesh.degrees().tensor},
                                              {"pipeline", mesh.degrees().pipeline},
                                              {"sequence", mesh.degrees().sequence}};
  for (const auto& [name, degree] : axes) {
    if (degree > 1) absl::StrAppend(&text, text.empty() ? "" : " x ", name, " ", degree);
  }
  return text;
}

}  // namespace

std::vector<std::string> SweepData::Layouts() const {
  std::vector<std::string> layouts;
  for (const SweepRow& row : rows) {
    if (std::find(layouts.begin(), layouts.end(), row.record.what.layout) == layouts.end())
      layouts.push_back(row.record.what.layout);
  }
  return layouts;
}

bool IsSweepFolder(const std::string& folder) {
  return FileExists(SweepStatePath(folder));
}

SweepFigures FiguresOf(const RunData& run) {
  SweepFigures figures;
  const auto steps = static_cast<int64_t>(run.metrics.size());
  if (const std::optional<Mesh> mesh = run.TheMesh()) {
    figures.ranks = mesh->world();
    figures.rest = RestOf(*mesh);
  }
  figures.zero = static_cast<int>(run.Integer("parallel.zero", 0));
  figures.steps = steps - WarmUpSteps(steps);
  figures.step_seconds = run.metrics.Median("dt").value_or(NAN);
  figures.tokens_per_second = run.metrics.Median("tps").value_or(NAN);
  figures.mfu = run.metrics.Median("mfu").value_or(NAN);
  figures.memory_bytes = PeakMemory(run);
  figures.last_loss = run.metrics.Last("loss").value_or(NAN);
  return figures;
}

absl::StatusOr<SweepData> ReadSweep(const std::string& folder) {
  absl::StatusOr<SweepState> state = ReadSweepState(folder);
  if (!state.ok()) return state.status();
  SweepData data;
  data.folder = folder;
  data.state = *std::move(state);
  for (const CaseRecord& record : data.state.cases) {
    SweepRow row;
    row.record = record;
    row.figures.ranks = record.what.ranks;
    const std::string run_folder = absl::StrCat(folder, "/", record.what.name);
    if (record.state != CaseState::kIllegal && IsFolder(run_folder)) {
      const absl::StatusOr<RunData> run = ReadRun(run_folder, {.traces = false, .saved = false});
      if (!run.ok() && record.state == CaseState::kDone)
        data.notes.push_back(std::string(run.status().message()));
      // Of a case that failed or was interrupted the steps say nothing that compares.
      if (run.ok() && record.state == CaseState::kDone && run->metrics.size() > 0) {
        row.figures = FiguresOf(*run);
        row.measured = std::isfinite(row.figures.step_seconds) && row.figures.ranks > 0;
      }
    }
    data.rows.push_back(std::move(row));
  }
  return data;
}

}  // namespace orthant
