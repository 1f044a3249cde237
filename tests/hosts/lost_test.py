#!/usr/bin/env python3
"""Hosts that are cut off or go down in the middle of a run: one verdict, in time, and an end.

  lost_test.py BUILD_DIR BINARY
"""
import glob
import os
import subprocess
import sys
import time

from hosts import Hosts, obstacle
from testing import Tests, expect, wait_until

TIMEOUT = 4.0  # comm.timeout
SLACK = 5.0    # from the deadline to the end, as promised
DELAYS = 5.0   # of the machine: from the last step to the fault, and from the end to our seeing it
RANKS = 2      # on each of the three hosts


def command(tests, name):
    train = tests.train(name, "parallel.data=3", "parallel.tensor=2", "parallel.zero=1", "train.steps=1000000",
                        "evaluate.batches=0", f"comm.timeout={TIMEOUT}", "comm.start_timeout=120")
    # The supervisor knows from the verdict what mpirun's exit code hides.
    return [tests.binary, "launch", "--", "mpirun", "-n", str(3 * RANKS), *train]


def lose(tests, hosts, name, fault):
    """Starts a run, has the fault happen to it, waits for its end. -> Ended; nothing is running on any host."""
    running = tests.start(hosts, name, command(tests, name))
    try:
        tests.wait_for_step(name, 3, running)
        fault()
        began = time.time()
        try:
            running.wait(timeout=TIMEOUT + SLACK + 4 * DELAYS)
        except subprocess.TimeoutExpired:
            pass
        seconds = time.time() - began
        expect(running.poll() is not None, f"it still runs {seconds:.0f} s after the fault: {tests.ended(name, -1).err}")
        ended = tests.ended(name, running.returncode)
        told = os.path.getmtime(f"{ended.folder}/flight/verdict.json") - began if ended.verdict() else 0
        expect(told <= TIMEOUT + SLACK, f"the verdict came {told:.1f} s after the fault")
        expect(seconds <= TIMEOUT + SLACK + DELAYS, f"the end came {seconds:.1f} s after the fault")
        wait_until(lambda: not any(hosts.processes(host) for host in hosts.names), DELAYS,
                   f"nothing is left running: {[hosts.processes(host) for host in hosts.names]}")
        ended.told = f"told after {told:.1f} s, ended after {seconds:.1f} s"
        return ended
    finally:
        running.kill()
        running.wait()


def check_verdict(ended, host, ranks):
    expect(ended.code == 4, f"exit code {ended.code}, expected 4: {ended.err[-1500:]}")
    expect(len(ended.errors) == 1, f"{len(ended.errors)} messages on stderr, expected 1: {ended.err[-3000:]}")
    verdict = ended.verdict()
    expect(verdict["ranks"] == ranks, f"the verdict names ranks {verdict['ranks']}: {verdict['text']}")
    expect(verdict["cause"] == "lost host", f"the cause is {verdict['cause']}: {verdict['text']}")
    first = ended.errors[0].split("\n")[0]
    expect(f"host {host} is " in first, f"the message does not name {host}: {first}")
    records = {int(path[-10:-5]) for path in glob.glob(f"{ended.folder}/flight/rank_*.json")}
    survivors = set(range(3 * RANKS)) - set(ranks)
    expect(survivors <= records, f"there are flight records of ranks {sorted(records)} only")
    return f"{ended.told}; {first}"


def ranks_of(hosts, host):
    first = hosts.names.index(host) * RANKS
    return list(range(first, first + RANKS))


def cut_off(tests, host):
    with Hosts(3, slots=RANKS) as hosts:
        ended = lose(tests, hosts, f"cut-{host}", lambda: hosts.unplug(host))
        return check_verdict(ended, host, ranks_of(hosts, host))


def power_cut(tests, host):
    with Hosts(3, slots=RANKS) as hosts:
        ended = lose(tests, hosts, f"power-{host}", lambda: hosts.kill(host))
        return check_verdict(ended, host, ranks_of(hosts, host))


def main():
    reason = obstacle()
    if reason:
        print(f"skipped: {reason}")
        return 77
    tests = Tests("hosts.lost", sys.argv)
    tests.check("a host that is cut off", cut_off, tests, "host3")
    tests.check("the host of mpirun and rank 0 that is cut off", cut_off, tests, "host1")
    tests.check("a host that goes down", power_cut, tests, "host3")
    return tests.finish()


if __name__ == "__main__":
    sys.exit(main())
