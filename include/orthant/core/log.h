// Log lines on stderr: time, level, the rank's label, text. A Logger is an object that main makes and passes
// down; nothing is global.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <string_view>

namespace orthant {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarn = 2, kError = 3 };

// Thread-safe: any number of threads may log through one Logger or through loggers made from it; lines are
// never mixed. Copies are cheap and share the destination.
class Logger {
 public:
  // To stderr, coloured only on a terminal. Lines below `level` are dropped.
  explicit Logger(LogLevel level = LogLevel::kInfo);
  // To a stream, which must outlive this logger and all made from it.
  Logger(std::ostream* stream, LogLevel level);

  // A logger for one rank, with the same destination, whose lines carry `label` (as "[rank 3]"). Ranks other
  // than 0 log only warnings and errors.
  Logger ForRank(int rank, std::string_view label) const;

  bool Enabled(LogLevel level) const;
  void Log(LogLevel level, std::string_view text) const;
  void Debug(std::string_view text) const { Log(LogLevel::kDebug, text); }
  void Info(std::string_view text) const { Log(LogLevel::kInfo, text); }
  void Warn(std::string_view text) const { Log(LogLevel::kWarn, text); }
  void Error(std::string_view text) const { Log(LogLevel::kError, text); }

 private:
  struct Impl;
  explicit Logger(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

}  // namespace orthant
