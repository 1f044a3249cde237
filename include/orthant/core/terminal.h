// What stands at the other end of a stream, tables for people, and a progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orthant {

bool IsTerminal(int descriptor);
// Columns of the terminal; 80 when it is none.
int TerminalWidth(int descriptor);
// Lines of it; 24 when it is none.
int TerminalHeight(int descriptor);
// A terminal whose locale (LC_ALL, LC_CTYPE, LANG) is UTF-8.
bool CanDrawBoxes(int descriptor);
// Characters as a terminal counts them: UTF-8 code points.
int DisplayWidth(std::string_view utf8);
// `text` on one line of a terminal: control characters, which could move its cursor or worse, are blanks.
std::string Printable(std::string_view text);

enum class TableStyle { kPlain, kBoxes };
inline TableStyle TableStyleFor(int descriptor) {
  return CanDrawBoxes(descriptor) ? TableStyle::kBoxes : TableStyle::kPlain;
}

// Aligned columns. A column whose cells all begin like numbers is aligned to the right. Not thread-safe.
class Table {
 public:
  explicit Table(std::vector<std::string> head);
  // Missing cells are empty; cells beyond the head are left out.
  void AddRow(std::vector<std::string> cells);
  // Lines, each with its end; no trailing blanks.
  std::string ToString(TableStyle style) const;

 private:
  std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

// "train  42% [========>           ] 840/2000  12.3/s  1 min 34 s left", redrawn in place on stderr at most
// ten times a second, and not at all when stderr is no terminal. One owner thread.
class ProgressBar {
 public:
  ProgressBar(std::string title, int64_t total);
  ~ProgressBar();  // removes the bar
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Update(int64_t done);
  // Takes the bar off the screen, so that a line can be printed; the next Update draws it again.
  void Clear();
  // The line for a given moment: pure, for tests.
  static std::string Line(std::string_view title, int64_t done, int64_t total, double seconds, int width);

 private:
  std::string title_;
  int64_t total_;
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
};

}  // namespace orthant
