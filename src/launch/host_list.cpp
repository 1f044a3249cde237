#include "orthant/launch/host_list.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr size_t kMostHosts = size_t{1} << 20;
constexpr size_t kHostsInWords = 8;

absl::Status Unreadable(absl::string_view text, const std::string& why) {
  return ConfigurationError(
      absl::StrCat("host list '", text, "': ", why, "; it is written as n[001-003,7],m2"));
}

bool AllDigits(absl::string_view text) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
}

// "001-003" -> 001 002 003, or "7" -> 7; false when it is neither.
bool ExpandRange(absl::string_view range, std::vector<std::string>* numbers) {
  const size_t dash = range.find('-');
  const absl::string_view first = range.substr(0, dash);
  const absl::string_view last = dash == absl::string_view::npos ? first : range.substr(dash + 1);
  int64_t low = 0, high = 0;
  if (!AllDigits(first) || !AllDigits(last)) return false;
  if (!absl::SimpleAtoi(first, &low) || !absl::SimpleAtoi(last, &high) || high < low) return false;
  if (static_cast<size_t>(high - low) >= kMostHosts) return false;
  for (int64_t number = low; number <= high; ++number) {
    std::string digits = absl::StrCat(number);
    if (digits.size() < first.size()) digits.insert(0, first.size() - digits.size(), '0');
    numbers->push_back(std::move(digits));
  }
  return true;
}

// Every name that begins with one of `names` and goes on with one of `ends`.
std::vector<std::string> Product(const std::vector<std::string>& names,
                                 const std::vector<std::string>& ends) {
  std::vector<std::string> product;
  for (const std::string& name : names) {
    for (const std::string& end : ends) product.push_back(name + end);
  }
  return product;
}

// Splits at the commas that stand outside of brackets.
std::vector<std::string> SplitOutside(absl::string_view text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '[') ++depth;
    if (c == ']') --depth;
    if (c == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// "r[1-2]n[01-03]x" -> all of them.
absl::StatusOr<std::vector<std::string>> ExpandName(absl::string_view name, absl::string_view text) {
  if (name.empty()) return Unreadable(text, "a name is empty");
  std::vector<std::string> names = {""};
  while (!name.empty()) {
    const size_t open = name.find('[');
    const absl::string_view plain = name.substr(0, open);
    if (absl::StrContains(plain, ']')) return Unreadable(text, "a ']' has no '['");
    names = Product(names, {std::string(plain)});
    if (open == absl::string_view::npos) break;
    const size_t close = name.find(']', open);
    if (close == absl::string_view::npos) return Unreadable(text, "a '[' has no ']'");
    std::vector<std::string> numbers;
    for (const absl::string_view range : absl::StrSplit(name.substr(open + 1, close - open - 1), ',')) {
      if (!ExpandRange(range, &numbers)) {
        return Unreadable(text, absl::StrCat("'", range, "' is not a number or a range"));
      }
    }
    if (names.size() * numbers.size() > kMostHosts) {
      return Unreadable(text, absl::StrCat("it has more than ", kMostHosts, " hosts"));
    }
    names = Product(names, numbers);
    name.remove_prefix(close + 1);
  }
  return names;
}

// The number of ranks that the words behind a host's name say; -1: one of them cannot be read.
int SlotsOf(const std::vector<std::string>& words) {
  int slots = 0;
  for (size_t i = 1; i < words.size(); ++i) {
    if (!absl::StartsWith(words[i], "slots=")) continue;
    if (!absl::SimpleAtoi(words[i].substr(6), &slots) || slots < 1) return -1;
  }
  return slots;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ExpandHostList(absl::string_view text) {
  if (text.empty()) return Unreadable(text, "it is empty");
  std::vector<std::string> names;
  for (const std::string& part : SplitOutside(text)) {
    absl::StatusOr<std::vector<std::string>> expanded = ExpandName(part, text);
    if (!expanded.ok()) return expanded.status();
    names.insert(names.end(), expanded->begin(), expanded->end());
  }
  return names;
}

absl::StatusOr<std::vector<Host>> ParseHostFile(absl::string_view text, const std::string& origin) {
  std::vector<Host> hosts;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int slots = SlotsOf(words);
    const size_t colon = words[0].rfind(':');
    if (colon != std::string::npos) {
      if (!absl::SimpleAtoi(words[0].substr(colon + 1), &slots) || slots < 1) slots = -1;
      words[0].resize(colon);
    }
    if (slots < 0 || words[0].empty()) {
      return ConfigurationError(absl::StrCat(origin, ":", number, ": '", line,
                                             "' is not a host; a line is NAME, NAME slots=4 or NAME:4"));
    }
    const auto known =
        std::find_if(hosts.begin(), hosts.end(), [&](const Host& host) { return host.name == words[0]; });
    if (known == hosts.end()) {
      hosts.push_back({words[0], slots});
    } else {  // each line is a slot, where it does not say more
      known->slots = std::max(1, known->slots) + std::max(1, slots);
    }
  }
  if (hosts.empty())
    return ConfigurationError(absl::StrCat(origin, ": holds no host; a line is NAME or NAME slots=4"));
  return hosts;
}

std::string HostsInWords(const std::vector<std::string>& names) {
  if (names.size() <= kHostsInWords) return absl::StrJoin(names, ", ");
  const auto first = names.begin();
  return absl::StrCat(absl::StrJoin(first, first + kHostsInWords - 1, ", "), " ... ", names.back());
}

}  // namespace orthant
