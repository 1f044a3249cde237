// Whether another process of this host is still there, from /proc. A process id alone may be given again, so
// its start time goes with it.
#pragma once

#include <cstdint>

namespace orthant {

enum class ProcessState { kRunning, kStopped, kGone };

// When this host's process `pid` was started, in the kernel's ticks; 0 when it cannot be seen.
uint64_t StartTimeOf(int64_t pid);

// kGone: no such process, a zombie, or another one by now. Where there is no /proc: kRunning.
ProcessState StateOf(int64_t pid, uint64_t start_time);

}  // namespace orthant
