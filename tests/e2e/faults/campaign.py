#!/usr/bin/env python3
"""The fault campaign: injects faults into tiny runs, one after another, and checks how each ends.

  campaign.py BUILD_DIR BINARY [--only PATTERN] [--quick] [--markdown] [--jobs N] [--keep] [--list]

Every fault must end the run in time, with the right exit code and one message that names the right rank, operation or
file; started again without the fault, the run must give the curve and the last checkpoint of an undisturbed run, to the
bit; and no process may be left. A line a case; the last one is "N/N faults: ...". Exit code 0 when all cases hold.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import glob
import json
import os
import re
import shutil
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disk_cases  # noqa: E402
import rank_cases  # noqa: E402
import run_cases  # noqa: E402
from bench import Bench, Failure, Skip  # noqa: E402
from case import Outcome  # noqa: E402
from table import write_page  # noqa: E402


def all_cases():
    for room in (rank_cases, disk_cases, run_cases):
        yield from room.all_cases()


def attempt(bench, case):
    """-> ("ok", outcome), ("FAIL", reason) or ("skipped", reason); seconds"""
    began = time.time()
    try:
        result = "ok", case.body(bench, case)
    except Skip as skip:
        result = "skipped", str(skip)
    except Failure as failure:
        result = "FAIL", str(failure)
    except Exception:  # of the campaign itself: the other cases go on
        result = "FAIL", traceback.format_exc()
    if result[0] != "FAIL":
        for folder in glob.glob(bench.folder(case.slug) + "*"):
            shutil.rmtree(folder, ignore_errors=True)
    return (*result, time.time() - began)


def line(case, how, result, seconds):
    if how != "ok":
        return f"{how} {case.name}: {result}"
    to_end = f", {result.seconds:.1f} s to the end" if result.seconds >= 0 else ""
    return f"ok {case.name}: exit code {result.code}{to_end}, curve {result.curve} ({seconds:.0f} s): {result.words}"


def write_counts(build, counts):
    """As GoogleTest does, where tests/run.sh looks."""
    results = f"{build}/test-results"
    os.makedirs(results, exist_ok=True)
    with open(f"{results}/e2e.faults.json", "w", encoding="utf-8") as file:
        file.write(json.dumps({"tests": sum(counts.values()), "failures": counts["FAIL"],
                               "disabled": counts["skipped"], "errors": 0}, indent=2) + "\n")


def remember(build, told):
    """Outcomes by case, those of earlier campaigns of this build folder too: a part may be run again."""
    path, known = f"{build}/test-results/faults.outcomes", {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = json.load(file)
    known.update({case.name: (how, dataclasses.asdict(result) if how == "ok" else result) for case, how, result in told})
    with open(path, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=1)
    return {name: (how, Outcome(**result) if how == "ok" else result) for name, (how, result) in known.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("binary")
    parser.add_argument("--only", metavar="PATTERN", help="cases whose name matches this regular expression")
    parser.add_argument("--quick", action="store_true", help="each kind of fault once or twice")
    parser.add_argument("--markdown", action="store_true", help="write the table into docs/failures.md, of these and of earlier outcomes in BUILD_DIR")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the runs")
    parser.add_argument("--list", action="store_true", help="print the cases and run none")
    args = parser.parse_args()
    cases = [case for case in all_cases() if (not args.quick or case.quick)
             and (args.only is None or re.search(args.only, case.name))]
    if args.list:
        print("\n".join(case.name for case in cases))
        return 0

    began = time.time()
    bench = Bench(args.binary)
    counts, told = collections.Counter(), []
    try:
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for case, (how, result, seconds) in zip(cases, pool.map(lambda case: attempt(bench, case), cases)):
                counts[how] += 1
                told.append((case, how, result))
                print(line(case, how, result, seconds), flush=True)
    finally:
        bench.close(args.keep or counts["FAIL"] > 0)
    if counts["FAIL"] > 0 or args.keep:
        print(f"the runs are in {bench.work}")
    write_counts(args.build, counts)
    known = remember(args.build, told)
    if args.markdown:
        write_page([(case, *known[case.name]) for case in all_cases() if case.name in known])
    done = [case for case, how, _ in told if how == "ok"]
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{len(done)}/{len(cases) - counts['skipped']} faults: {len({c.distinct or c.fault for c in done})} distinct "
          f"ones{skipped}; {time.time() - began:.0f} s")
    return 0 if counts["FAIL"] == 0 and done else 1


if __name__ == "__main__":
    sys.exit(main())
