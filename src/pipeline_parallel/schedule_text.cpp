#include "orthant/pipeline_parallel/schedule_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// By ActionKind.
constexpr std::array<const char*, kActionKinds> kKindNames = {
    "F", "B", "I", "W", "SEND_F", "RECV_F", "SEND_B", "RECV_B", "UNSHARD", "RESHARD", "REDUCE_GRAD"};

// Numbers beyond this are typing errors, not pipelines; it also keeps tables in bounds.
constexpr int kLargest = 1 << 20;

struct Cell {
  int stage = 0;
  Action action;
};

// The number that `text` begins with, removed from it.
std::optional<int> TakeNumber(std::string_view* text) {
  int value = 0;
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit(static_cast<unsigned char>((*text)[digits]))) {
    value = value * 10 + ((*text)[digits] - '0');
    if (value > kLargest) return std::nullopt;
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  text->remove_prefix(digits);
  return value;
}

std::optional<ActionKind> TakeKind(std::string_view* text) {
  const size_t length = std::min(text->find_first_of("0123456789"), text->size());
  for (int kind = 0; kind < kActionKinds; ++kind) {
    if (text->substr(0, length) != kKindNames[kind]) continue;
    text->remove_prefix(length);
    return static_cast<ActionKind>(kind);
  }
  return std::nullopt;
}

// What is wrong with a cell, or nothing.
std::string ParseCell(std::string_view text, Cell* cell) {
  const std::optional<int> stage = TakeNumber(&text);
  if (!stage) return absl::StrCat("expected a stage number (0 to ", kLargest, ") first");
  cell->stage = *stage;
  const std::optional<ActionKind> kind = TakeKind(&text);
  if (!kind) {
    return absl::StrCat("expected one of ", absl::StrJoin(kKindNames, ", "), " after the stage, not '",
                        std::string(text), "'");
  }
  cell->action.kind = *kind;
  cell->action.microbatch = -1;
  if (HasMicrobatch(*kind)) {
    const std::optional<int> microbatch = TakeNumber(&text);
    if (!microbatch) {
      return absl::StrCat("expected a microbatch number (0 to ", kLargest, ") after ",
                          kKindNames[static_cast<int>(*kind)]);
    }
    cell->action.microbatch = *microbatch;
  }
  if (!text.empty()) return absl::StrCat("expected the end of the cell, not '", std::string(text), "'");
  return "";
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (std::string& line : lines) absl::StripAsciiWhitespace(&line);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace

std::string CellText(const Schedule& schedule, int rank, const Action& action) {
  const std::string head =
      absl::StrCat(schedule.StageOf(rank, action.chunk), kKindNames[static_cast<int>(action.kind)]);
  return HasMicrobatch(action.kind) ? absl::StrCat(head, action.microbatch) : head;
}

std::string FormatSchedule(const Schedule& schedule) {
  std::string text;
  for (int rank = 0; rank < schedule.ranks; ++rank) {
    const std::vector<Action>& row = schedule.rows[rank];
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : ",", CellText(schedule, rank, row[i]));
    }
    text += '\n';
  }
  return text;
}

absl::StatusOr<Schedule> ParseSchedule(const std::string& text, const std::string& name) {
  const std::vector<std::string> lines = Lines(text);
  if (lines.empty())
    return ConfigurationError(absl::StrCat("Schedule ", name, " is empty: one row a rank was expected."));
  Schedule schedule{.name = name, .ranks = static_cast<int>(lines.size())};
  schedule.rows.resize(lines.size());
  for (int row = 0; row < schedule.ranks; ++row) {
    const std::vector<std::string> cells = absl::StrSplit(lines[row], ',');
    for (size_t column = 0; column < cells.size(); ++column) {
      const std::string shown(absl::StripAsciiWhitespace(cells[column]));
      if (shown.empty()) continue;
      Cell cell;
      std::string problem = ParseCell(shown, &cell);
      if (problem.empty() && schedule.RankOf(cell.stage) != row) {
        problem =
            absl::StrCat("stage ", cell.stage, " of a schedule with ", schedule.ranks, " rows stands on row ",
                         schedule.RankOf(cell.stage) + 1, " (stage = chunk x ranks + rank); expected stage ",
                         row, " plus a multiple of ", schedule.ranks);
      }
      if (!problem.empty()) {
        return ConfigurationError(absl::StrCat("Schedule ", name, ", row ", row + 1, ", column ", column + 1,
                                               ", cell '", shown, "': ", problem, "."));
      }
      cell.action.chunk = schedule.ChunkOf(cell.stage);
      schedule.chunks = std::max(schedule.chunks, cell.action.chunk + 1);
      schedule.microbatches = std::max(schedule.microbatches, cell.action.microbatch + 1);
      schedule.rows[row].push_back(cell.action);
    }
  }
  return schedule;
}

}  // namespace orthant
