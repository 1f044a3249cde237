#include "cli/launch_session.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cli/launch_command.h"
#include "orthant/comm/verdict.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"
#include "orthant/launch/lost_hosts.h"

namespace orthant {
namespace {

void Print(int stream, const LaunchPlan& plan, const std::vector<RankLine>& lines) {
  std::string text;
  for (const RankLine& line : lines) absl::StrAppend(&text, Relabelled(plan, line), "\n");
  std::FILE* const file = stream == 1 ? stdout : stderr;
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

}  // namespace

LaunchSession::LaunchSession(SessionOptions options, LaunchLog* log)
    : options_(std::move(options)),
      log_(log),
      surroundings_(RealSurroundings()),
      printed_(options_.plan),
      labels_(printed_.starter) {
  std::error_code error;  // a verdict that is there already is an earlier run's
  verdict_time_ = std::filesystem::last_write_time(VerdictFile(options_.run_dir + "/flight"), error);
}

LaunchSession::~LaunchSession() {
  PrintRest();
  std::error_code ignored;
  if (!rank_file_.empty()) std::filesystem::remove(rank_file_, ignored);
}

absl::StatusOr<std::vector<std::string>> LaunchSession::Command() {
  std::vector<std::string> command = options_.plan.command;
  if (options_.plan.rank_file.empty()) return command;
  if (rank_file_.empty()) {
    std::error_code error;
    std::string name = (std::filesystem::temp_directory_path(error) / "orthant-ranks-XXXXXX").string();
    const int descriptor = ::mkstemp(name.data());
    if (descriptor >= 0) ::close(descriptor);
    if (descriptor >= 0) rank_file_ = name;
  }
  std::ofstream file(rank_file_);
  if (rank_file_.empty() || !(file << options_.plan.rank_file << std::flush)) {
    return EnvironmentError(
        "the file that binds ranks to cores cannot be written in the folder for temporary files; "
        "set TMPDIR, or give --no-bind");
  }
  std::replace(command.begin(), command.end(), std::string(kRankFileWord), rank_file_);
  return command;
}

void LaunchSession::PrintRest() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const int stream : {1, 2}) Print(stream, printed_, labels_.Rest(stream));
}

std::vector<std::string> LaunchSession::Next() {
  PrintRest();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    printed_ = options_.plan;
    labels_ = LabelReader(printed_.starter);
    reported_.clear();
  }
  absl::StatusOr<std::vector<std::string>> command = Command();
  return command.ok() ? *std::move(command) : std::vector<std::string>();
}

bool LaunchSession::ReplanFor(const std::vector<std::string>& without) {
  LaunchRequest request = options_.request;
  request.without = without;
  // Spares are there to be used.
  const int lost = static_cast<int>(without.size());
  request.spare_hosts = std::max(0, request.spare_hosts - lost);
  absl::StatusOr<LaunchPlan> plan = PlanLaunch(request, options_.cluster, surroundings_);
  if (!plan.ok()) return false;
  options_.plan = *std::move(plan);
  return true;
}

bool LaunchSession::Shrink() {
  const std::optional<SmallerCommand> smaller = orthant::Shrink(options_.request.command, options_.self);
  if (!smaller.has_value()) return false;
  options_.request.command = smaller->command;
  options_.request.mesh_ranks = smaller->ranks;
  if (options_.request.ranks > 0) options_.request.ranks = smaller->ranks;
  log_->Add(absl::StrCat("fewer ranks: ", smaller->ranks, " instead of ", smaller->ranks_before,
                         " (parallel.data = ", smaller->data, " instead of ", smaller->data_before,
                         "); train.global_batch = ", smaller->global_batch, ", and so the curve, stays"));
  return true;
}

std::vector<std::string> LaunchSession::Fewer() {
  while (Shrink()) {
    if (ReplanFor(options_.request.without)) return Next();
  }
  return {};
}

// The ranks that the verdict of the last failure says have not answered, if there is a new one.
std::vector<int> LaunchSession::Unanswering() {
  const std::string folder = options_.run_dir + "/flight";
  std::error_code error;
  const auto time = std::filesystem::last_write_time(VerdictFile(folder), error);
  if (options_.run_dir.empty() || error || time == verdict_time_) return {};
  verdict_time_ = time;
  const absl::StatusOr<Verdict> verdict = ReadVerdict(folder);
  const bool silent = verdict.ok() && (verdict->cause == "unresponsive" || verdict->cause == kLostHost);
  return silent ? verdict->ranks : std::vector<int>();
}

std::vector<std::string> LaunchSession::NextWithoutLost() {
  std::vector<std::string> reported;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    reported = reported_;
  }
  const LaunchPlan before = options_.plan;
  const std::vector<std::string> lost = LostHosts(before, reported, Unanswering());
  if (lost.empty()) return {};
  std::vector<std::string> without = options_.request.without;
  without.insert(without.end(), lost.begin(), lost.end());
  const LaunchRequest request = options_.request;
  bool planned = ReplanFor(without);
  while (!planned && options_.elastic && Shrink()) planned = ReplanFor(without);
  if (!planned) {
    options_.request = request;
    log_->Add(absl::StrCat("lost: ", HostsInWords(lost), "; no spare host is left",
                           options_.elastic ? ", and the run cannot use fewer ranks" : "",
                           ": the same hosts again"));
    return {};
  }
  options_.request.without = without;
  std::vector<std::string> taken;
  for (const std::string& host : options_.plan.hosts) {
    if (std::find(before.hosts.begin(), before.hosts.end(), host) == before.hosts.end())
      taken.push_back(host);
  }
  log_->Add(
      absl::StrCat("lost: ", HostsInWords(lost), "; ",
                   taken.empty() ? "the others go on" : absl::StrCat("in its place: ", HostsInWords(taken))));
  return Next();
}

void LaunchSession::TakeLine(int stream, absl::string_view line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::vector<RankLine> lines = labels_.Take(stream, line);
  for (const RankLine& one : lines) {
    if (one.rank >= 0) continue;
    if (std::string host = HostInMessage(one.text); !host.empty()) reported_.push_back(std::move(host));
  }
  Print(stream, printed_, lines);
}

}  // namespace orthant
