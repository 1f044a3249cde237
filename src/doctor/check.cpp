#include "orthant/doctor/check.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orthant/core/status.h"
#include "orthant/core/terminal.h"

namespace orthant::doctor {
namespace {

int Count(const Report& report, State state) {
  return static_cast<int>(std::count_if(report.checks.begin(), report.checks.end(),
                                        [&](const Check& check) { return check.state == state; }));
}

// `text` broken between words; lines after the first begin with `indent` blanks, as the first one already
// has.
std::string Wrap(const std::string& text, int indent, int width) {
  std::string out;
  int column = indent;
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const int length = DisplayWidth(std::string_view(word.data(), word.size()));
    if (!out.empty() && column + 1 + length > width) {
      absl::StrAppend(&out, "\n", std::string(static_cast<size_t>(indent), ' '));
      column = indent;
    } else if (!out.empty()) {
      out += ' ';
      ++column;
    }
    absl::StrAppend(&out, word);
    column += length;
  }
  return out;
}

std::string Counted(int count, const char* one, const char* many) {
  return absl::StrCat(count, " ", count == 1 ? one : many);
}

}  // namespace

const char* ToString(State state) {
  switch (state) {
    case State::kOk:
      return "ok";
    case State::kWarn:
      return "warn";
    case State::kFail:
      return "fail";
  }
  return "?";
}

State Worse(State a, State b) {
  return static_cast<int>(a) > static_cast<int>(b) ? a : b;
}

std::string ToText(const Report& report, int width) {
  int widest = 0;
  for (const Check& check : report.checks) widest = std::max(widest, DisplayWidth(check.name));
  const int indent = 6 + widest + 2;
  width = std::max(width, indent + 40);
  std::string text = absl::StrCat(Wrap(report.heading, 0, width), "\n");
  for (const Check& check : report.checks) {
    absl::StrAppend(&text, absl::StrFormat("%-4s  %-*s  ", ToString(check.state), widest, check.name),
                    Wrap(check.text, indent, width), "\n");
    if (check.remedy.empty()) continue;
    absl::StrAppend(&text, std::string(static_cast<size_t>(indent), ' '),
                    Wrap(absl::StrCat("-> ", check.remedy), indent, width), "\n");
  }
  absl::StrAppend(&text, Counted(static_cast<int>(report.checks.size()), "check", "checks"), ": ",
                  Counted(Count(report, State::kWarn), "warning", "warnings"), ", ",
                  Counted(Count(report, State::kFail), "failure", "failures"), "\n");
  return text;
}

nlohmann::ordered_json ToJson(const Report& report) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Check& check : report.checks) {
    nlohmann::ordered_json one = {
        {"name", check.name}, {"state", ToString(check.state)}, {"text", check.text}};
    if (!check.remedy.empty()) one["remedy"] = check.remedy;
    checks.push_back(std::move(one));
  }
  nlohmann::ordered_json out = {{"heading", report.heading},
                                {"ok", Count(report, State::kFail) == 0},
                                {"warnings", Count(report, State::kWarn)},
                                {"failures", Count(report, State::kFail)},
                                {"checks", std::move(checks)}};
  for (const auto& [key, value] : report.facts.items()) out[key] = value;
  return out;
}

absl::Status Outcome(const Report& report) {
  std::vector<std::string> failed;
  for (const Check& check : report.checks) {
    if (check.state == State::kFail) failed.push_back(check.name);
  }
  if (failed.empty()) return absl::OkStatus();
  return EnvironmentError(
      absl::StrCat("doctor: ", Counted(static_cast<int>(failed.size()), "check", "checks"),
                   " failed: ", absl::StrJoin(failed, ", ")));
}

}  // namespace orthant::doctor
