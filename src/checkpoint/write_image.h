// Writes a file that lies whole in memory, past the page cache where the file system allows it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace orthant {

// Made anew, written, synced. `data`: aligned to kDirectAlignment, with memory up to a multiple of it behind
// `bytes`. `on_write` is told after each write and may be null. Stops early, with an error, once *cancelled.
// EnvironmentError names the path, the reason and what to do. A limit on file sizes is reported as one where
// SIGXFSZ is blocked or ignored.
absl::Status WriteImage(const std::string& path, const std::byte* data, int64_t bytes,
                        const std::function<void(int64_t written, int64_t total)>& on_write,
                        const std::atomic<bool>& cancelled);

}  // namespace orthant
