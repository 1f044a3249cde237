// The signals that end a run after a clean save (SIGTERM, SIGUSR1), as a flag that any thread may look at.
// Signals belong to the process, so this is one of the few things that do.
#pragma once

namespace orthant {

// From now on SIGTERM and SIGUSR1 do nothing but set StopSignal(). The first stays; later ones change
// nothing.
void InstallStopSignals();

// The signal that asked the run to stop, or 0. Any thread.
int StopSignal();

// Forgets a signal that was taken: for tests, and for a second run in one process.
void ClearStopSignal();

// A write beyond the file size limit fails with EFBIG, which is reported, instead of ending the process.
void IgnoreBrokenLimits();

}  // namespace orthant
