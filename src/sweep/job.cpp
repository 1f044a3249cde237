#include "orthant/sweep/job.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"
#include "orthant/core/json_parts.h"
#include "orthant/core/status.h"
#include "orthant/core/subprocess.h"
#include "sweep/cut_text.h"

namespace orthant {
namespace {

constexpr double kAskSeconds = 60;  // that a scheduler may take to answer
constexpr int kInternal = static_cast<int>(ExitCode::kInternal);

bool IsNumber(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); });
}

JobAnswer Unknown(const std::string& program, const SubprocessResult& result) {
  if (result.too_long)
    return {JobState::kUnknown, absl::StrCat(program, " did not answer in ", kAskSeconds, " s")};
  const std::string said(absl::StripAsciiWhitespace(result.output));
  return {JobState::kUnknown,
          absl::StrCat(program, " ended with ", result.exit_code, ": ", Beginning(said, 200))};
}

// Of squeue -o %T: a state a line, beside whatever it warns of.
bool NamesLivingState(const std::string& output) {
  static const std::set<std::string> over = {"BOOT_FAIL", "CANCELLED", "COMPLETED",     "DEADLINE",
                                             "FAILED",    "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
                                             "REVOKED",   "TIMEOUT"};
  for (const absl::string_view line : absl::StrSplit(output, '\n')) {
    const std::string word(absl::StripAsciiWhitespace(line));
    const bool state =
        !word.empty() && word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == std::string::npos;
    if (state && over.count(word) == 0) return true;
  }
  return false;
}

JobAnswer FromSqueue(const SubprocessResult& result) {
  if (result.exit_code == 0)
    return {NamesLivingState(result.output) ? JobState::kThere : JobState::kGone, ""};
  // What it says of a job that ended some minutes ago.
  if (absl::StrContains(result.output, "Invalid job id")) return {JobState::kGone, ""};
  return Unknown("squeue", result);
}

JobAnswer FromQstat(const SubprocessResult& result) {
  if (result.exit_code == 0) {
    for (const char* over : {"job_state = F", "job_state = C", "job_state = X"}) {
      if (absl::StrContains(result.output, over)) return {JobState::kGone, ""};
    }
    return {JobState::kThere, ""};
  }
  for (const char* gone : {"Unknown Job", "has finished"}) {
    if (absl::StrContains(result.output, gone)) return {JobState::kGone, ""};
  }
  return Unknown("qstat", result);
}

// The newest start since the job was submitted.
struct Start {
  bool begun = false, ended = false;
  std::string outcome, message;
  int exit_code = kInternal;
};

nlohmann::json StartsOf(const std::string& folder) {
  const absl::StatusOr<std::string> text = ReadFile(folder + "/starts.json");
  if (!text.ok()) return nlohmann::json::array();
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const bool whole = json.is_object() && json.contains("starts") && json["starts"].is_array();
  if (!whole) return nlohmann::json::array();
  return json["starts"];
}

Start NewestStart(const std::string& folder, int earlier) {
  Start start;
  const nlohmann::json starts = StartsOf(folder);
  // Fewer than there were: the file was begun anew.
  start.begun = !starts.empty() && static_cast<int>(starts.size()) != earlier;
  if (!start.begun || !starts.back().is_object() || !starts.back().contains("end")) return start;
  const nlohmann::json& end = starts.back()["end"];
  if (!end.is_object()) return start;
  start.ended = true;
  start.outcome = TextIn(end, "outcome");
  start.message = TextIn(end, "message");
  if (const int64_t code = IntegerIn(end, "exit_code"); code != 0) start.exit_code = static_cast<int>(code);
  return start;
}

void Settle(CaseState state, int exit_code, const std::string& error, CaseRecord* record) {
  record->state = state;
  record->exit_code = exit_code;
  record->error = error;
}

// Of a run that is not done and whose job is over.
void SettleByStart(const Start& start, CaseRecord* record) {
  if (start.ended) {
    const CaseState state = start.outcome == "stopped" ? CaseState::kInterrupted : CaseState::kFailed;
    return Settle(state, start.exit_code, start.message.empty() ? start.outcome : start.message, record);
  }
  const char* what = start.begun ? "its run wrote no end: it was killed, or lost with its node"
                                 : "its run never began: it was cancelled, refused, or failed before";
  Settle(CaseState::kFailed, kInternal, absl::StrCat("job ", record->job, " is gone, and ", what), record);
}

}  // namespace

std::string JobIn(const std::string& output) {
  std::string job;
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    // "job 4711: DIR/NAME.batch", or of --format json: "job": "4711",
    const bool text = absl::ConsumePrefix(&line, "job ");
    if (!text && !absl::ConsumePrefix(&line, "\"job\": \"")) continue;
    const size_t end = line.find(text ? ':' : '"');
    if (end != absl::string_view::npos) job = std::string(line.substr(0, end));
  }
  return job;
}

JobAnswer AskForJob(const std::string& job) {
  if (job.empty()) return {JobState::kUnknown, "the job's number is not known"};
  SubprocessOptions limits;
  limits.seconds = kAskSeconds;
  if (IsNumber(job)) {
    const absl::StatusOr<SubprocessResult> squeue =
        RunProgram({"squeue", "-h", "-j", job, "-o", "%T"}, limits);
    if (squeue.ok()) return FromSqueue(*squeue);
  }
  const absl::StatusOr<SubprocessResult> qstat = RunProgram({"qstat", "-f", job}, limits);
  if (qstat.ok()) return FromQstat(*qstat);
  return {JobState::kUnknown,
          IsNumber(job) ? "neither squeue nor qstat can be started here" : "qstat cannot be started here"};
}

int StartsIn(const std::string& folder) {
  return static_cast<int>(StartsOf(folder).size());
}

void LookAfterJob(const std::string& folder, CaseRecord* record) {
  const bool submitted = record->state == CaseState::kSubmitted;
  if (!submitted && (record->state != CaseState::kFailed || record->job.empty())) return;
  const Start start = NewestStart(folder, record->earlier_starts);
  if (start.outcome == "done") return Settle(CaseState::kDone, 0, "", record);
  if (!submitted) {
    if (start.ended) SettleByStart(start, record);
    return;
  }
  const JobAnswer answer = AskForJob(record->job);
  // A run that ended may begin again in the same job: by orthant launch --restarts, or queued again.
  if (answer.state == JobState::kThere || (answer.state == JobState::kUnknown && !start.ended))
    return Settle(CaseState::kSubmitted, 0, answer.text, record);
  SettleByStart(start, record);
}

}  // namespace orthant
