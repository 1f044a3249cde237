// orthant flight RUN_DIR
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/commands.h"
#include "cli/run_file.h"
#include "orthant/comm/verdict.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"

namespace orthant {
namespace {

constexpr const char* kExamples = R"(
Examples:
  orthant flight runs/demo
  orthant flight runs/demo --format json        everything on record, for other programs

When a rank fails or an operation waits too long, every rank leaves its last operations in RUN_DIR/flight, and
the run ends with one verdict. This prints the verdict again, and where each rank stood.)";

struct Options {
  std::string run_dir;
  std::string format = "text";
};

struct Flight {
  std::vector<FlightRecord> records;
  Verdict verdict;
  bool judged_now = false;  // there is no verdict on file
};

// Ranks without a record, where the world's size is known.
std::vector<AbsentRank> Absent(const std::vector<FlightRecord>& records) {
  std::vector<bool> present(static_cast<size_t>(records.front().world), false);
  for (const FlightRecord& record : records) {
    if (static_cast<size_t>(record.rank) < present.size()) present[static_cast<size_t>(record.rank)] = true;
  }
  std::vector<AbsentRank> absent;
  for (size_t rank = 0; rank < present.size(); ++rank) {
    if (!present[rank]) absent.push_back({static_cast<int>(rank), Absence::kSilent, "", 0, ""});
  }
  return absent;
}

absl::StatusOr<Flight> ReadFlight(const std::string& run_dir) {
  if (!IsFolder(run_dir)) return DataError(absl::StrCat(run_dir, " is not a folder; name a run's folder"));
  const std::string folder = run_dir + "/flight";
  Flight flight;
  absl::StatusOr<std::vector<FlightRecord>> records = ReadFlightFolder(folder);
  absl::StatusOr<Verdict> verdict = ReadVerdict(folder);
  if (!records.ok() && !verdict.ok()) return records.status();
  if (records.ok()) flight.records = *std::move(records);
  flight.judged_now = !verdict.ok();
  flight.verdict = verdict.ok() ? *std::move(verdict) : Judge(flight.records, Absent(flight.records));
  return flight;
}

std::string CallText(const FlightRecord& record, const RecordedOperation* op, double seconds) {
  if (op == nullptr) return "-";
  return absl::StrFormat("%s seq=%d, step %d, %.3g s", op->Describe(record.GroupName(op->group)),
                         op->sequence, op->step, seconds);
}

void PrintText(const Flight& flight) {
  std::cout << flight.verdict.text << "\n";
  if (flight.judged_now) std::cout << "(no verdict was written: this is worked out from the records)\n";
  if (flight.records.empty()) return;
  Table table({"rank", "host", "step", "doing", "for s", "waits in", "last completed"});
  for (const FlightRecord& record : flight.records) {
    const RecordedOperation* waiting = record.Waiting();
    const RecordedOperation* done = record.LastDone();
    table.AddRow({record.Where(), record.host, absl::StrCat(record.step),
                  record.activity.empty() ? "-" : record.activity,
                  absl::StrFormat("%.3g", record.activity_seconds),
                  CallText(record, waiting, waiting == nullptr ? 0 : waiting->queued),
                  CallText(record, done, done == nullptr ? 0 : done->ended)});
  }
  std::cout << "\n" << table.ToString(TableStyleFor(STDOUT_FILENO));
}

absl::Status PrintJson(const Flight& flight) {
  nlohmann::json records = nlohmann::json::array();
  for (const FlightRecord& record : flight.records) {
    records.push_back(nlohmann::json::parse(FlightRecordText(record)));
  }
  const nlohmann::json value = {{"verdict", nlohmann::json::parse(VerdictText(flight.verdict))},
                                {"verdict_on_file", !flight.judged_now},
                                {"records", std::move(records)}};
  std::cout << value.dump(2) << "\n";
  return absl::OkStatus();
}

absl::Status Show(const Options& options) {
  const absl::StatusOr<Flight> flight = ReadFlight(options.run_dir);
  if (!flight.ok()) return flight.status();
  if (options.format == "json") return PrintJson(*flight);
  PrintText(*flight);
  return absl::OkStatus();
}

}  // namespace

void AddFlight(CLI::App& app, CommandAction* action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("flight", "Show why a run ended and where each rank stood");
  command->add_option("run_dir", options->run_dir, "The run's folder")->required();
  AddFormat(*command, &options->format);
  command->footer(kExamples);
  command->callback([options, action] { *action = [options] { return Show(*options); }; });
}

}  // namespace orthant
