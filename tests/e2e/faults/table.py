"""The table of rehearsed faults in docs/failures.md: a row for the cases that share fault, backend and outcome."""
import os
import re

BEGIN, END = "<!-- rehearsed faults: begin -->", "<!-- rehearsed faults: end -->"
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs", "failures.md")

TEXT = """## Rehearsed faults

`tests/e2e/faults/campaign.py BUILD_DIR BINARY --markdown` injects each of these into a tiny run of 4 ranks (8 steps, a
checkpoint every 2, `comm.timeout=4`, 30 where a process is suspended and goes on; mesh `d2t2` is data 2 x tensor 2, `p2d2` pipeline 2 x data 2), and writes this table.
Every case ends in time, with this exit code and one message, leaves no process behind, and after a start without the fault
has the curve and the last checkpoint of an undisturbed run, to the bit ("same"). `launch` stands for `orthant launch`.
With `--only PATTERN` a part is run again, and the other rows stay, so the table may come from several runs.
Seconds count from the run's last sign of life to its end, the largest of a row. Under bare `mpirun` a rank's `kill -9` is
mpirun's own exit code, 137; the verdict is printed and kept all the same. A fault of one's own is rehearsed with
`fault.inject` ([configuration.md](configuration.md)).

{summary}

| fault | cases | where | backend | exit code | told, in its first words | seconds to the end | curve after restart |
|---|---|---|---|---|---|---|---|
{rows}
"""


def merged(wheres):
    """["rank 0, start", "rank 2, start"] -> "rank 0, rank 2: start"; else all of them."""
    parts = [where.split(", ", 1) for where in wheres]
    if len(wheres) > 1 and all(len(part) == 2 for part in parts):
        firsts = list(dict.fromkeys(part[0] for part in parts))
        seconds = list(dict.fromkeys(part[1] for part in parts))
        if len(firsts) * len(seconds) == len(wheres) or len(wheres) > 4:
            return f"{', '.join(firsts)}: {', '.join(seconds)}"
    return "; ".join(dict.fromkeys(wheres))


def cell(text):
    return re.sub(r"[\x00-\x1f]", " ", text).replace("|", "\\|")


def rows(told):
    groups = {}
    for case, how, outcome in told:
        if how != "ok":
            continue
        fault = re.sub(r" at \d+/10 of", " at every tenth of", case.fault)
        key = (fault, case.backend, case.mesh, outcome.code, outcome.curve)
        groups.setdefault(key, []).append((case, outcome))
    for (fault, backend, mesh, code, curve), members in groups.items():
        seconds = max(outcome.seconds for _, outcome in members)
        words = members[0][1].words
        yield (f"| {cell(fault)} | {len(members)} | {cell(merged([case.where for case, _ in members]))} "
               f"| {backend}, {mesh} | {code} | {cell(words)} | {f'{seconds:.1f}' if seconds >= 0 else '-'} | {curve} |")


def summary(told):
    done = [case for case, how, _ in told if how == "ok"]
    skipped = sum(how == "skipped" for _, how, _ in told)
    distinct = len({case.distinct or case.fault for case in done})
    return (f"**{len(done)}/{len(told) - skipped} faults**, {distinct} of them distinct"
            + (f"; {skipped} could not be injected where the table was written." if skipped else "."))


def write_page(told):
    """Replaces what stands between the markers, or adds the section at the end."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    section = BEGIN + "\n" + TEXT.format(summary=summary(told), rows="\n".join(rows(told))) + END + "\n"
    if BEGIN in page:
        page = page[:page.index(BEGIN)] + section + page[page.index(END) + len(END) + 1:]
    else:
        page = page.rstrip("\n") + "\n\n" + section
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page)
