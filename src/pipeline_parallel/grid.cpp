#include "grid.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr int kStepsAround = 4;
constexpr int kRanksAround = 3;

std::string CellAt(const Schedule& schedule, int rank, int index) {
  const std::vector<Action>& row = schedule.rows[rank];
  return index < static_cast<int>(row.size()) ? CellText(schedule, rank, row[index]) : "";
}

}  // namespace

std::string GridAround(const Schedule& schedule, int rank, int index) {
  const int first_rank = std::max(0, rank - kRanksAround);
  const int last_rank = std::min(schedule.ranks - 1, rank + kRanksAround);
  const int first_step = std::max(0, index - kStepsAround);
  int last_step = 0;
  for (int r = first_rank; r <= last_rank; ++r)
    last_step = std::max(last_step, static_cast<int>(schedule.rows[r].size()) - 1);
  last_step = std::max(index, std::min(last_step, index + kStepsAround));

  size_t width = 8;
  for (int step = first_step; step <= last_step; ++step) {
    for (int r = first_rank; r <= last_rank; ++r)
      width = std::max(width, CellAt(schedule, r, step).size() + 2);
  }
  const auto line = [&](const std::string& head, const auto& cell_of, const std::string& tail) {
    std::string text = head;
    for (int r = first_rank; r <= last_rank; ++r) absl::StrAppendFormat(&text, "  %-*s", width, cell_of(r));
    absl::StrAppend(&text, tail);
    return text.substr(0, text.find_last_not_of(' ') + 1);
  };
  std::string grid = line(
      absl::StrFormat("%8s", "action"), [](int r) { return absl::StrCat("rank ", r); }, "");
  for (int step = first_step; step <= last_step; ++step) {
    const bool failing = step == index;
    const auto cell_of = [&](int r) {
      const std::string cell = CellAt(schedule, r, step);
      return failing && r == rank ? absl::StrCat("[", cell, "]") : cell;
    };
    absl::StrAppend(&grid, "\n",
                    line(absl::StrFormat("%8d", step), cell_of,
                         failing ? absl::StrCat("  <-- ERROR HERE (rank ", rank, ")") : ""));
  }
  return grid;
}

absl::Status ErrorAt(const Schedule& schedule, int rank, int index, const std::string& problem) {
  const std::string cell = CellAt(schedule, rank, index);
  return ConfigurationError(absl::StrCat("Schedule ", schedule.name, ", rank ", rank, ", action ", index,
                                         cell.empty() ? " (the end)" : absl::StrCat(" (", cell, ")"), ": ",
                                         problem, ".\n", GridAround(schedule, rank, index)));
}

}  // namespace orthant
