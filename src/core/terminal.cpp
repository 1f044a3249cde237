#include "orthant/core/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

bool LooksNumeric(std::string_view cell) {
  if (cell.empty() || cell == "-") return true;
  size_t at = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
  if (at < cell.size() && cell[at] == '.') ++at;
  return at < cell.size() && std::isdigit(static_cast<unsigned char>(cell[at])) != 0;
}

std::string Padded(std::string_view text, int width, bool right) {
  const std::string blanks(static_cast<size_t>(std::max(0, width - DisplayWidth(text))), ' ');
  return right ? blanks + std::string(text) : std::string(text) + blanks;
}

std::string Repeat(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

// A horizontal rule of a boxed table.
std::string Rule(const std::vector<int>& widths, std::string_view left, std::string_view middle,
                 std::string_view right) {
  std::string line(left);
  for (size_t i = 0; i < widths.size(); ++i) {
    if (i > 0) line += middle;
    line += Repeat("─", widths[i] + 2);
  }
  return line + std::string(right) + "\n";
}

}  // namespace

bool IsTerminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

int TerminalWidth(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

int TerminalHeight(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) return size.ws_row;
  return 24;
}

bool CanDrawBoxes(int descriptor) {
  if (!IsTerminal(descriptor)) return false;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string locale = absl::AsciiStrToLower(value);
    return absl::StrContains(locale, "utf-8") || absl::StrContains(locale, "utf8");
  }
  return false;
}

int DisplayWidth(std::string_view utf8) {
  return static_cast<int>(std::count_if(
      utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Printable(std::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    // U+0080 to U+009F are control characters too.
    const bool two = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    safe += two || byte < 0x20 || byte == 0x7F ? ' ' : text[i];
    if (two) ++i;
  }
  return safe;
}

Table::Table(std::vector<std::string> head) : head_(std::move(head)) {}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(head_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString(TableStyle style) const {
  std::vector<int> widths;
  std::vector<bool> right;
  for (size_t i = 0; i < head_.size(); ++i) {
    int width = DisplayWidth(head_[i]);
    bool numeric = !rows_.empty();
    for (const auto& row : rows_) {
      width = std::max(width, DisplayWidth(row[i]));
      numeric = numeric && LooksNumeric(row[i]);
    }
    widths.push_back(width);
    right.push_back(numeric);
  }
  const bool boxes = style == TableStyle::kBoxes;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text = boxes ? "│ " : "";
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) text += boxes ? " │ " : "  ";
      text += Padded(cells[i], widths[i], right[i]);
    }
    if (boxes) return text + " │\n";
    while (!text.empty() && text.back() == ' ') text.pop_back();
    return text + "\n";
  };
  std::string text = boxes ? Rule(widths, "┌", "┬", "┐") : "";
  text += line(head_);
  if (boxes) text += Rule(widths, "├", "┼", "┤");
  for (const auto& row : rows_) text += line(row);
  if (boxes) text += Rule(widths, "└", "┴", "┘");
  return text;
}

ProgressBar::ProgressBar(std::string title, int64_t total)
    : title_(std::move(title)),
      total_(total),
      terminal_(IsTerminal(STDERR_FILENO)),
      start_(std::chrono::steady_clock::now()),
      last_(start_ - std::chrono::seconds(1)) {}

ProgressBar::~ProgressBar() {
  Clear();
}

std::string ProgressBar::Line(std::string_view title, int64_t done, int64_t total, double seconds,
                              int width) {
  done = std::clamp<int64_t>(done, 0, std::max<int64_t>(total, 0));
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
  const std::string head = absl::StrFormat("%s %3d%% ", std::string(title), static_cast<int>(share * 100));
  std::string tail = absl::StrCat(" ", done, "/", total);
  if (done > 0 && seconds > 0) {
    const double rate = static_cast<double>(done) / seconds;
    tail +=
        absl::StrFormat("  %.3g/s  %s left", rate, FormatDuration(static_cast<double>(total - done) / rate));
  }
  // One column stays free: a full line would wrap on some terminals.
  const int room = std::min(40, width - 1 - DisplayWidth(head) - DisplayWidth(tail) - 2);
  if (room < 5) return head + tail.substr(1);
  const int filled = static_cast<int>(share * room);
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < room) bar += '>';
  bar.resize(static_cast<size_t>(room), ' ');
  return absl::StrCat(head, "[", bar, "]", tail);
}

void ProgressBar::Update(int64_t done) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string line = Line(title_, done, total_, seconds, TerminalWidth(STDERR_FILENO));
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::Clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
  last_ -= std::chrono::seconds(1);
}

}  // namespace orthant
