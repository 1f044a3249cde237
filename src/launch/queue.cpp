#include "orthant/launch/queue.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Why the queue does not take the job; "" when it does.
std::string Refusal(const QueueLimit& limit, int64_t nodes, int64_t seconds) {
  if (nodes < limit.least_nodes || (limit.most_nodes > 0 && nodes > limit.most_nodes)) {
    return limit.most_nodes > 0
               ? absl::StrCat("takes ", limit.least_nodes, " to ", limit.most_nodes, " nodes, not ", nodes)
               : absl::StrCat("takes ", limit.least_nodes, " nodes or more, not ", nodes);
  }
  if (limit.most_seconds > 0 && seconds > limit.most_seconds) {
    return absl::StrCat("takes jobs of up to ", FormatWallTime(limit.most_seconds), " on ", nodes,
                        nodes == 1 ? " node" : " nodes", ", not of ", FormatWallTime(seconds));
  }
  return "";
}

bool ReadNodes(absl::string_view text, QueueLimit* limit) {
  const size_t dash = text.find('-');
  if (!absl::SimpleAtoi(text.substr(0, dash), &limit->least_nodes)) return false;
  limit->most_nodes = limit->least_nodes;
  if (dash == absl::string_view::npos) return limit->least_nodes > 0;
  return absl::SimpleAtoi(text.substr(dash + 1), &limit->most_nodes) && limit->least_nodes > 0 &&
         limit->most_nodes >= limit->least_nodes;
}

}  // namespace

absl::StatusOr<int64_t> ParseWallTime(absl::string_view text) {
  const auto wrong = [text] {
    return ConfigurationError(absl::StrCat(
        "'", text, "' is not a time; write MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS"));
  };
  absl::string_view rest = text;
  int64_t days = 0;
  const size_t dash = rest.find('-');
  const bool with_days = dash != absl::string_view::npos;
  if (with_days) {
    if (!absl::SimpleAtoi(rest.substr(0, dash), &days) || days < 0) return wrong();
    rest.remove_prefix(dash + 1);
  }
  std::vector<int64_t> parts;
  for (const absl::string_view part : absl::StrSplit(rest, ':')) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(part, &number) || number < 0) return wrong();
    parts.push_back(number);
  }
  if (parts.size() > 3) return wrong();
  // Behind days the first part is hours; alone, or with one more, it is minutes.
  if (!with_days && parts.size() < 3) parts.insert(parts.begin(), 0);
  parts.resize(3, 0);
  const int64_t seconds = days * 86400 + parts[0] * 3600 + parts[1] * 60 + parts[2];
  if (seconds <= 0) return wrong();
  return seconds;
}

std::string FormatWallTime(int64_t seconds) {
  return absl::StrFormat("%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

absl::StatusOr<QueueLimit> ParseQueueLimit(absl::string_view text) {
  const auto wrong = [text] {
    return ConfigurationError(
        absl::StrCat("'", text, "' is not a queue's limit, as \"debug nodes=1-2 time=1:00:00\""));
  };
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.empty() || words[0].find('=') != absl::string_view::npos) return wrong();
  QueueLimit limit;
  limit.name = std::string(words[0]);
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (absl::ConsumePrefix(&word, "nodes=")) {
      if (!ReadNodes(word, &limit)) return wrong();
    } else if (absl::ConsumePrefix(&word, "time=")) {
      const absl::StatusOr<int64_t> seconds = ParseWallTime(word);
      if (!seconds.ok()) return wrong();
      limit.most_seconds = *seconds;
    } else {
      return wrong();
    }
  }
  return limit;
}

absl::Status CheckQueue(const std::vector<std::string>& limits, const std::string& queue, int64_t nodes,
                        int64_t seconds) {
  std::vector<std::string> refusals;
  for (const std::string& text : limits) {
    const absl::StatusOr<QueueLimit> limit = ParseQueueLimit(text);
    if (!limit.ok()) return limit.status();
    if (!queue.empty() && limit->name != queue) continue;
    const std::string refusal = Refusal(*limit, nodes, seconds);
    if (refusal.empty())
      return absl::OkStatus();  // several lines of one queue: sizes with times of their own
    refusals.push_back(absl::StrCat("queue ", limit->name, " ", refusal));
  }
  if (refusals.empty()) return absl::OkStatus();
  return ConfigurationError(
      absl::StrCat(absl::StrJoin(refusals, "; "), " (submit.queues of the cluster file)"));
}

}  // namespace orthant
