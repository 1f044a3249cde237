#include "orthant/launch/label.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace orthant {
namespace {

// Takes a number off the front; false without one.
bool TakeNumber(absl::string_view* text, int64_t* number) {
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) ++digits;
  if (digits == 0 || !absl::SimpleAtoi(text->substr(0, digits), number)) return false;
  text->remove_prefix(digits);
  return true;
}

bool Take(absl::string_view* text, absl::string_view start) {
  if (!absl::StartsWith(*text, start)) return false;
  text->remove_prefix(start.size());
  return true;
}

// "[1,3]<stdout>:"
bool TakeOpenMpi(absl::string_view* text, int64_t* rank) {
  absl::string_view rest = *text;
  int64_t job = 0;
  if (!Take(&rest, "[") || !TakeNumber(&rest, &job) || !Take(&rest, ",") || !TakeNumber(&rest, rank))
    return false;
  if (!Take(&rest, "]<stdout>:") && !Take(&rest, "]<stderr>:") && !Take(&rest, "]<stddiag>:")) return false;
  *text = rest;
  return true;
}

// Where the next of OpenMPI's labels begins in the text; its size when there is none.
size_t NextLabel(absl::string_view text) {
  for (size_t at = text.find('['); at != absl::string_view::npos; at = text.find('[', at + 1)) {
    absl::string_view rest = text.substr(at);
    int64_t rank = 0;
    if (TakeOpenMpi(&rest, &rank)) return at;
  }
  return text.size();
}

// "3: ", with blanks before it; an empty line has no blank behind it.
bool TakeSrun(absl::string_view* text, int64_t* rank) {
  while (Take(text, " ")) {
  }
  if (!TakeNumber(text, rank) || !Take(text, ":")) return false;
  Take(text, " ");
  return true;
}

bool TakePals(absl::string_view* text, int64_t* rank) {
  const absl::string_view line = *text;
  if (TakeSrun(text, rank)) return true;
  *text = line;
  const size_t blank = text->find(' ');
  if (blank == absl::string_view::npos) return false;
  text->remove_prefix(blank + 1);
  return TakeSrun(text, rank);
}

bool TakeMpich(absl::string_view* text, int64_t* rank) {
  if (!Take(text, "[") || !TakeNumber(text, rank) || !Take(text, "]")) return false;
  Take(text, " ");
  return true;
}

bool TakeLabel(RankStarter starter, absl::string_view* text, int64_t* rank) {
  switch (starter) {
    case RankStarter::kSrun:
      return TakeSrun(text, rank);
    case RankStarter::kPals:
      return TakePals(text, rank);
    case RankStarter::kMpich:
      return TakeMpich(text, rank);
    default:
      return false;
  }
}

}  // namespace

std::vector<RankLine> LabelReader::Take(int stream, absl::string_view line) {
  if (starter_ != RankStarter::kOpenMpi) {
    absl::string_view text = line;
    int64_t rank = -1;
    if (!TakeLabel(starter_, &text, &rank)) return {{-1, std::string(line)}};
    return {{rank, std::string(text)}};
  }
  const size_t own = NextLabel(line);  // what stands before the first label is the launcher's
  std::vector<RankLine> lines;
  if (own > 0 || line.empty()) lines.push_back({-1, std::string(line.substr(0, own))});
  line.remove_prefix(own);
  int64_t rank = -1;
  while (TakeOpenMpi(&line, &rank)) {
    const size_t end = NextLabel(line);
    std::string& begun = begun_[{stream, rank}];
    begun.append(line.data(), end);
    line.remove_prefix(end);
    if (!line.empty()) continue;  // another piece stands behind it: its line goes on later
    lines.push_back({rank, std::move(begun)});
    begun_.erase({stream, rank});
  }
  return lines;
}

std::vector<RankLine> LabelReader::Rest(int stream) {
  std::vector<RankLine> lines;
  for (auto piece = begun_.begin(); piece != begun_.end();) {
    const bool its = piece->first.first == stream;
    if (its) lines.push_back({piece->first.second, std::move(piece->second)});
    piece = its ? begun_.erase(piece) : std::next(piece);
  }
  return lines;
}

std::string Relabelled(const LaunchPlan& plan, const RankLine& line) {
  if (line.rank <= 0) return line.text;
  const std::string host = plan.HostOf(line.rank);
  return absl::StrCat("[rank ", line.rank, host.empty() ? "" : " ", host, "] ", line.text);
}

}  // namespace orthant
