#!/usr/bin/env bash
# `orthant doctor`: alone, under mpirun, on hosts that bear names of their own, and with one of four behind a slow link.
#   doctor_test.sh BUILD_DIR ORTHANT_BINARY
build=$1
binary=$(realpath "$2")
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
command -v python3 >/dev/null || { echo "skipped: python3, which reads the reports, is not on PATH" && exit 77; }
# shellcheck source=cases.sh
source "$here/cases.sh"
mkdir "$work/folder"

# report CODES NAME COMMAND...: runs it; its exit code is one of CODES ("0", "0 3") and its output a report in NAME.json.
report() {
  local codes=$1 name=$2 code=0
  shift 2
  timeout 300 "$@" >"$work/$name.json" 2>"$work/$name.err" </dev/null || code=$?
  if [[ " $codes " != *" $code "* ]] || ! python3 -m json.tool "$work/$name.json" >/dev/null; then
    echo "exit code $code"
    cat "$work/$name.err" "$work/$name.json"
    return 1
  fi
}

# holds NAME EXPRESSION: a Python expression over `report` and `check` (checks by name).
holds() {
  python3 - "$work/$1.json" "$2" <<'END'
import json, sys
report = json.load(open(sys.argv[1]))
check = {one["name"]: one for one in report["checks"]}
if not eval(f"({sys.argv[2]})"):
    print(json.dumps({key: report[key] for key in ("heading", "checks")}, indent=1))
    sys.exit(1)
END
}

mpirun="$here/../support/mpirun.sh"

# text: the report for people says what the JSON says.
text() {
  local code=0
  "$binary" doctor --dir "$work/folder" >"$work/text.out" 2>"$work/text.err" || code=$?
  if [[ "$code" != 0 || -s "$work/text.err" ]] || ! grep -q '^ok    libraries' "$work/text.out" ||
    ! grep -q '^[0-9]* checks: [0-9]* warnings\?, 0 failures$' "$work/text.out"; then
    cat "$work/text.out" "$work/text.err"
    return 1
  fi
}

check "this machine alone" report 0 alone "$binary" doctor --format json --dir "$work/folder"
check "one rank, one host, no links" holds alone \
  'len(report["ranks"]) == 1 and len(report["hosts"]) == 1 and report["links"] == [] and report["ok"]'
check "its speeds are measured" holds alone \
  'report["ranks"][0]["core_flops"] > 1e8 and report["ranks"][0]["copy_bytes"] > 1e7 and report["disks"][0]["write"] > 0'
check "every check has a text, and a remedy unless it is ok" holds alone \
  'all(one["text"] and ((one["state"] == "ok") == ("remedy" not in one)) for one in report["checks"])'
check "the same for people" text
check "nothing is left in the folder" test -z "$(ls -A "$work/folder")"
check "a folder that cannot be written fails, exit code 3" report 3 proc "$binary" doctor --format json --dir /proc
check "and is the check that does" holds proc '[c["name"] for c in report["checks"] if c["state"] == "fail"] == ["disk"]'
check "the failed check is named on stderr" grep -qx 'error: doctor: 1 check failed: disk' "$work/proc.err"
check "every check is explained in docs/doctor.md" python3 - "$work/alone.json" "$here/../../docs/doctor.md" <<'END'
import json, sys
page = open(sys.argv[2]).read()
missing = [c["name"] for c in json.load(open(sys.argv[1]))["checks"] if f"### {c['name']}\n" not in page]
sys.exit(f"no heading for: {missing}" if missing else 0)
END

if ! command -v mpirun >/dev/null; then
  skip "under mpirun" "mpirun is not on PATH"
  finish
  exit
fi
check "four ranks under mpirun" report 0 four "$mpirun" 4 "$binary" doctor --format json --dir "$work/folder"
check "six links between four ranks, in one report" holds four \
  'len(report["ranks"]) == 4 and len(report["links"]) == 6 and report["ranks"][0]["program"]["mpi_thread_level"] == "multiple"'
check "a failure is told once and ends all ranks" report 3 mpiproc "$mpirun" 2 "$binary" doctor --format json --dir /proc
check "by one of them" test "$(grep -c '^error: ' "$work/mpiproc.err")" = 1

# Hosts that only bear other names: UTS namespaces.
cat >"$work/named.sh" <<'END'
#!/bin/sh
# named.sh HOSTS COMMAND...: runs it on a host called n0, n1, ...: rank modulo HOSTS.
host=n$((OMPI_COMM_WORLD_RANK % $1))
shift
exec unshare --uts sh -c 'hostname "$0" && exec "$@"' "$host" "$@"
END
chmod +x "$work/named.sh"
if ! mpirun --version 2>/dev/null | grep -q 'Open MPI' || ! unshare --uts true 2>/dev/null; then
  skip "hosts by name" "needs OpenMPI and the right to make UTS namespaces"
else
  check "six ranks on three named hosts" report "0 3" named \
    "$mpirun" 6 "$work/named.sh" 3 "$binary" doctor --format json --dir "$work/folder"
  check "three hosts, a link for each pair, a shared folder" holds named \
    '[(h["name"], h["ranks"]) for h in report["hosts"]] == [("n0", [0, 3]), ("n1", [1, 4]), ("n2", [2, 5])] and
    len(report["links"]) == 3 and check["shared folder"]["state"] == "ok" and check["host clocks"]["state"] == "ok"'
fi

# Hosts with a network each, one of them behind a slow link.
hosts="$here/../hosts/hosts.py"
reason=$([[ ! -e "$hosts" ]] && echo "tests/hosts is not there" || python3 "$hosts" --check 2>&1) && code=0 || code=$?
if ((code != 0)) || [[ ! -e "$hosts" ]]; then
  skip "a slow link" "${reason:-no hosts can be made here}"
else
  # One report for people too: what a user would read.
  check "four hosts, 5 ms on the link of the third: exit code 3" report 3 slow \
    python3 "$hosts" --hosts 4 --slots 2 --delay host3=5 -- \
    mpirun -n 8 "$binary" doctor --format json --dir "$work/folder"
  check "orthant doctor names that host" holds slow \
    'check["link latency"]["state"] == "fail" and "host host3 (" in check["link latency"]["text"] and
    "is the slow one" in check["link latency"]["text"] and check["link latency"]["remedy"] != ""'
  check "and no other host's latency" holds slow \
    'not any(name in check["link latency"]["text"] for name in ("host1", "host2", "host4"))'
  check "four hosts, all links alike: none is named" report "0 3" alike \
    python3 "$hosts" --hosts 4 --slots 2 -- mpirun -n 8 "$binary" doctor --format json --dir "$work/folder"
  check "latency and folder are in order there" holds alike \
    'check["link latency"]["state"] == "ok" and check["shared folder"]["state"] == "ok" and
    check["host names"]["state"] == "ok"'
fi
finish
