#include "orthant/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <utility>

namespace orthant {
namespace {

constexpr const char* kPattern = "%Y-%m-%d %H:%M:%S.%e %^%l%$ %v";

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

struct Logger::Impl {
  Impl(spdlog::sink_ptr sink_in, LogLevel level_in, std::string prefix_in)
      : sink(std::move(sink_in)), logger("", sink), level(level_in), prefix(std::move(prefix_in)) {
    logger.set_level(ToSpdlog(level));
  }
  spdlog::sink_ptr sink;          // shared by every logger made from the first; has its own lock
  mutable spdlog::logger logger;  // spdlog's logging calls are thread-safe but not const
  LogLevel level;
  std::string prefix;  // "[rank 3] " or ""
};

Logger::Logger(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Logger::Logger(LogLevel level) {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  sink->set_pattern(kPattern);
  impl_ = std::make_shared<const Impl>(std::move(sink), level, "");
}

Logger::Logger(std::ostream* stream, LogLevel level) {
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(*stream, /*force_flush=*/true);
  sink->set_pattern(kPattern);
  impl_ = std::make_shared<const Impl>(std::move(sink), level, "");
}

Logger Logger::ForRank(int rank, std::string_view label) const {
  const LogLevel level = rank == 0 ? impl_->level : std::max(impl_->level, LogLevel::kWarn);
  std::string prefix = "[" + std::string(label) + "] ";
  return Logger(std::make_shared<const Impl>(impl_->sink, level, std::move(prefix)));
}

bool Logger::Enabled(LogLevel level) const {
  return level >= impl_->level;
}

void Logger::Log(LogLevel level, std::string_view text) const {
  if (!Enabled(level)) return;
  if (impl_->prefix.empty()) {
    impl_->logger.log(ToSpdlog(level), spdlog::string_view_t(text.data(), text.size()));
  } else {
    impl_->logger.log(ToSpdlog(level), impl_->prefix + std::string(text));
  }
}

}  // namespace orthant
