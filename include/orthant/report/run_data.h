// RunData: all that a run's folder says, read without the program that wrote it: metrics, configuration,
// starts, samples, checkpoints, failures, timelines. What is missing or damaged becomes a note, not an end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "orthant/mesh/mesh.h"

namespace orthant {

// metrics.jsonl as columns, one for every number in it; nested names are joined by '.': "comm_bytes.tensor".
struct MetricsTable {
  std::vector<double> steps;                           // ascending
  std::map<std::string, std::vector<double>> columns;  // as long; NaN where a line has none
  // Rows, ascending, whose line has the name but no number: one that was not finite is null in the file.
  std::map<std::string, std::vector<size_t>> nulls;
  std::vector<std::string> notes;  // lines that could not be read

  size_t size() const { return steps.size(); }
  // Empty when there is no such column.
  const std::vector<double>& Column(const std::string& name) const;
  bool IsNull(const std::string& name, size_t row) const;
  // Of the last line that has one.
  std::optional<double> Last(const std::string& name) const;
  // MedianAfterWarmUp of all lines.
  std::optional<double> Median(const std::string& name) const;
};

struct ConfigValue {
  std::string key;     // dotted: "model.layers"
  std::string value;   // as in YAML
  std::string origin;  // "run.yaml:7", "command line", "default"; "" when the file does not say
};

struct RankMemory {
  double device_bytes = 0, host_bytes = 0;
  std::vector<std::pair<std::string, double>> at_peak;  // by tag
};

// One start of the run: an entry of starts.json.
struct RunStart {
  std::string time, host, version, backend, device, from;
  int64_t after_step = -1;         // -1: it did not get so far
  std::vector<std::string> hosts;  // by rank; empty: all on `host`
  std::optional<Mesh> mesh;
  int64_t microbatches = 0, parameters = 0;
  double peak_flops = 0;
  std::string peak_source, data;
  std::vector<std::string> notes;
  std::vector<RankMemory> memory;  // by rank
  bool ended = false;
  int64_t end_step = 0;
  int exit_code = 0;
  std::string end_time, outcome, message;  // "done", "stopped", "failed"
};

struct RunSample {
  int64_t step = 0;
  std::string prompt, response;
};

struct SavedStep {
  int64_t step = 0;
  double bytes = 0;
  bool whole = false;   // its manifest is there
  bool latest = false;  // `latest` names it
};

// What went wrong: a verdict, a skipped batch, a start that failed.
struct Incident {
  std::string what;   // "verdict", "skipped batch", "failed start"
  int64_t step = -1;  // -1: not known
  std::string text;
};

// From RUN_DIR/trace.
struct TracedAction {
  int rank = 0, microbatch = -1;
  int64_t step = 0;
  std::string action;         // "forward"
  double begin = 0, end = 0;  // seconds on rank 0's clock
};
struct TracedTransfer {
  int rank = 0;
  int64_t step = 0;
  std::string axis;
  double exposed = 0, hidden = 0;  // seconds
};
struct TraceData {
  std::vector<TracedAction> actions;
  std::vector<TracedTransfer> transfers;
  double round_trip = 0;  // seconds of the slowest ping between clocks
  int64_t lost = 0;       // operations that were not kept
};
struct TraceFile {
  std::string origin;           // its path
  std::string written;          // "2026-01-02T03:04:05Z"
  std::optional<Degrees> mesh;  // none: the file does not say
  TraceData data;
};

struct RunData {
  std::string folder;
  std::string label;  // the run's name; made different from other runs' by whoever shows several
  MetricsTable metrics;
  std::vector<ConfigValue> config;  // in the file's order
  std::vector<RunStart> starts;     // oldest first
  std::vector<RunSample> samples;
  std::vector<SavedStep> saved;  // ascending
  std::vector<Incident> incidents;
  TraceData trace;
  std::vector<std::string> notes;  // for the reader: what is missing or damaged

  const ConfigValue* Find(std::string_view key) const;  // null: no such key
  std::string Value(std::string_view key) const;        // "" without one
  int64_t Integer(std::string_view key, int64_t otherwise) const;
  // Of the last start, or of the configuration; none when neither says it.
  std::optional<Mesh> TheMesh() const;
  const RunStart* LastStart() const;  // null: none on record
};

// Parts that take long to read: whoever does not show them leaves them out.
struct ReadRunOptions {
  bool traces = true, saved = true;
};
// DataError when `folder` is no folder or holds neither config.yaml nor metrics.jsonl.
absl::StatusOr<RunData> ReadRun(const std::string& folder, const ReadRunOptions& options = {});

// The parts, from a file's text; `origin` is the file's name in notes.
MetricsTable ParseMetrics(std::string_view text, const std::string& origin);
std::vector<ConfigValue> ParseConfig(const std::string& text, const std::string& origin,
                                     std::vector<std::string>* notes);
std::vector<RunStart> ParseStarts(const std::string& text, const std::string& origin,
                                  std::vector<std::string>* notes);
std::vector<RunSample> ParseSamples(const std::string& text);
// None, with a note, when it is no trace.
std::optional<TraceFile> ParseTrace(const std::string& text, const std::string& origin,
                                    std::vector<std::string>* notes);
// Starts that went over the same steps trace them again: of a step the file that was written last counts.
// Files of another mesh than `mesh` are left out with a note.
TraceData JoinTraces(std::vector<TraceFile> files, const std::optional<Mesh>& mesh,
                     std::vector<std::string>* notes);

// Labels that differ: runs of one name get their folders' names.
void DistinguishLabels(std::vector<RunData>* runs);

// Keys whose values differ between runs, with each run's value ("-" where it has none), in the first run's
// order; but for those that name the run and its folder.
struct ConfigDifferenceRow {
  std::string key;
  std::vector<std::string> values;
};
std::vector<ConfigDifferenceRow> CompareConfigs(const std::vector<RunData>& runs);

}  // namespace orthant
