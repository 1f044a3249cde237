#!/usr/bin/env python3
"""A real SLURM of several nodes on one machine, each node a test host (../hosts/hosts.py).

  slurm.py [--nodes N] [--check] -- COMMAND [ARGUMENT...]

Starts munged and slurmd on every host, slurmctld on host1, runs COMMAND there (sbatch, srun, scancel, ... work), and takes
everything down; the exit code is COMMAND's. --check only says whether that can be done here.

Sockets and ports are inside the hosts, files in a folder of their own: nothing of a SLURM that is installed or runs on this
machine is touched.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, f"{os.path.dirname(os.path.abspath(__file__))}/../hosts")
from hosts import HostError, Hosts, obstacle as hosts_obstacle  # noqa: E402

DAEMONS = ("munged", "slurmctld", "slurmd")
TOOLS = ("srun", "sbatch", "scancel", "squeue", "scontrol", "sinfo")
SEARCHED = "/usr/sbin:/usr/local/sbin:/sbin"
START_LIMIT = 90.0  # seconds
# cred_expire is also how long a requeued job waits.
CONFIGURATION = """\
ClusterName=orthant
SlurmctldHost=host1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=/dev/shm/munge/socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
TmpFS={folder}/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
MpiDefault=none
KillWait=10
OverTimeLimit=0
ReturnToService=2
NodeName=host[1-{nodes}] CPUs={cpus} RealMemory=4000
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def find(program):
    return shutil.which(program) or shutil.which(program, path=SEARCHED)


def obstacle():
    """Why no SLURM can be had here; "" when one can."""
    reason = hosts_obstacle()
    if reason:
        return reason
    missing = [program for program in (*DAEMONS, *TOOLS) if find(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (packages slurmctld, slurmd, slurm-client and munge)"
    return ""


class Slurm(Hosts):
    """A SLURM, as a context manager: `with Slurm(2) as slurm`. Jobs have 8 cores on each node, as far as it knows."""

    def __init__(self, nodes, environment=None):
        super().__init__(nodes, slots=8, environment=environment)
        self.daemons = []

    def _settings(self, name):
        settings = super()._settings(name)
        # Ranks are started by SLURM, and it says where.
        for variable in ("OMPI_MCA_orte_default_hostfile", "OMPI_MCA_plm_rsh_agent", "OMPI_MCA_plm_rsh_no_tree_spawn", "HOSTFILE"):
            settings.pop(variable, None)
        if settings:
            settings["SLURM_CONF"] = f"{self.folder}/slurm.conf"
        return settings

    def _make(self):
        super()._make()
        with open(f"{self.folder}/slurm.conf", "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(folder=self.folder, nodes=len(self.names), cpus=self.slots))
        with open(f"{self.folder}/munge.key", "wb", opener=lambda path, flags: os.open(path, flags, 0o400)) as file:
            file.write(os.urandom(128))
        os.mkdir(f"{self.folder}/state")
        for name in self.names:
            os.mkdir(f"{self.folder}/spool.{name}")
            os.mkdir(f"{self.folder}/tmp.{name}")  # with one for all, PMIx's files of two nodes would meet
            self._daemon(name, "mkdir", "-m", "755", "/dev/shm/munge").wait()
            # The key's folder is in /tmp, which munged only takes with --force.
            self._daemon(name, find("munged"), "--foreground", "--force", "--socket=/dev/shm/munge/socket",
                         "--pid-file=/dev/shm/munge/pid", "--seed-file=/dev/shm/munge/seed", f"--key-file={self.folder}/munge.key")
        self._daemon("host1", find("slurmctld"), "-D", "-i")
        for name in self.names:
            self._daemon(name, find("slurmd"), "-D", "-N", name)
        self._until(lambda: self.ask("sinfo", "-h", "-o", "%T %D") == f"idle {len(self.names)}", "all nodes are idle", START_LIMIT)

    def _daemon(self, host, *command):
        with open(f"{self.folder}/{os.path.basename(command[0])}.{host}.out", "ab") as out:
            self.daemons.append(self.start(host, *command, stdin=subprocess.DEVNULL, stdout=out, stderr=out))
        return self.daemons[-1]

    def close(self):
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()
        self.daemons.clear()
        super().close()

    # ---- using it

    def ask(self, *command):
        """-> what a command prints on host1, without the space around it; "" when it fails."""
        done = subprocess.run(self.command("host1", *command), capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def facts(self, job):
        """-> what `scontrol show job` says, by name; {} when it does not know the job."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.ask("scontrol", "-o", "show", "job", str(job))))

    def wait_for(self, job, states, limit):
        """-> the job's facts, once its state is one of these."""
        end = time.monotonic() + limit
        while True:
            facts = self.facts(job)
            if facts.get("JobState") in states:
                return facts
            if time.monotonic() > end:
                raise HostError(f"job {job} is not among {', '.join(states)} after {limit:.0f} s: {facts}")
            time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="only say whether a SLURM can be had here")
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    reason = obstacle()
    if reason or args.check:
        print(f"skipped: {reason}" if reason else "a SLURM can be had here")
        return 77 if reason else 0
    if not args.command:
        parser.error("no COMMAND")
    with Slurm(args.nodes) as slurm:
        return slurm.run_first(args.command)


if __name__ == "__main__":
    sys.exit(main())
