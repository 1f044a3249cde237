// Reads what a child writes on stdout and stderr, on a thread of its own, and hands it on line by line.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace orthant {

// A line without its end, as the child wrote it to `stream` (1: stdout, 2: stderr). Called on the reader's
// thread.
using OutputFunction = std::function<void(int stream, absl::string_view line)>;

// Open, then fork: the child calls TakeEnds, the parent Start, and Finish once the child has ended. Where the
// child cannot be started, neither.
class OutputReader {
 public:
  explicit OutputReader(OutputFunction output) : output_(std::move(output)) {}
  ~OutputReader();
  OutputReader(const OutputReader&) = delete;
  OutputReader& operator=(const OutputReader&) = delete;

  // EnvironmentError when no pipes can be made.
  absl::Status Open();
  // In the child, between fork and exec: its stdout and stderr become the pipes' ends.
  void TakeEnds() const;
  // In the parent. The thread has the caller's signal mask.
  void Start();
  // Hands on the rest. What others still hold the pipes open for is waited for shortly.
  void Finish();
  // When the last line came (steady clock, in seconds); 0: none has. Any thread.
  double LastLine() const { return last_line_.load(); }

 private:
  struct Stream {
    int read_end = -1, write_end = -1;
    std::string rest;  // a line that has no end yet
  };
  void Read();
  bool ReadOnce(size_t index);
  void HandOn(int stream, absl::string_view line);

  OutputFunction output_;
  std::array<Stream, 2> streams_;
  std::atomic<double> last_line_ = 0.0;
  std::atomic<bool> finishing_ = false;
  std::thread thread_;
};

}  // namespace orthant
