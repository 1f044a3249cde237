#!/usr/bin/env python3
"""Several hosts on one machine: each has a network, processes, shared memory and a name of its own.

  hosts.py [--hosts N] [--slots N] [--delay HOST=MS] [--loss HOST=PERCENT] [--check] -- COMMAND [ARGUMENT...]

Makes the hosts host1 ... hostN, runs COMMAND on host1, and takes everything down; the exit code is COMMAND's. mpirun finds
the other hosts by itself (`mpirun -n 16 ...`), and their list is in the file $HOSTFILE. --check only says whether that can
be done here (exit code 77 and the reason when not).

Nothing of it has a name outside: a host is a set of Linux namespaces (network, processes, mounts, IPC, host name) whose
first process is host_init.py, the switch that joins them another one. They go with their first process, which the kernel
kills when this program ends, however it ends. Needs root, unshare, nsenter and ip.
"""
import argparse
import contextlib
import ctypes
import fcntl
import glob
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORK = "10.77.0."
START_LIMIT = 60.0  # seconds; a busy machine starts two programs a host slowly
FOLDERS = "orthant-hosts-"  # in /tmp: OpenMPI's sockets want a short path
PR_SET_PDEATHSIG = 1


class HostError(Exception):
    """A host could not be made, or what was asked of it could not be done."""


def obstacle():
    """Why no hosts can be made here; "" when they can."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    missing = [tool for tool in ("unshare", "nsenter", "ip", "mount") if shutil.which(tool) is None]
    if missing:
        return f"not on PATH: {', '.join(missing)} (packages iproute2 and util-linux)"
    # A container may be root without the right to do it, or its kernel without bridges.
    tried = subprocess.run(["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c",
                            "ip link add switch type bridge && ip link add port type veth peer name other && "
                            "mount -t tmpfs tmpfs /dev/shm"],
                           capture_output=True, text=True)
    if tried.returncode != 0:
        return f"no namespaces with a bridge and a veth pair: {tried.stderr.strip()}"
    return ""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def tool(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise HostError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def whole_frames(device):
    """Has the kernel leave nothing of a frame to the receiving device: neither its checksum nor its division."""
    set_tx_checksum, set_tso, set_gso, ethtool = 0x17, 0x1F, 0x24, 0x8946
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in (set_tso, set_gso, set_tx_checksum):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            fcntl.ioctl(any_socket, ethtool, struct.pack("16sP", device.encode(), ctypes.addressof(value)))


def remove_left_folders():
    """Of programs that were killed: their hosts went with them, their folders did not."""
    for folder in glob.glob(f"/tmp/{FOLDERS}*"):
        owner = os.path.basename(folder)[len(FOLDERS):].split("-")[0]
        if not os.path.exists(f"/proc/{owner}"):
            shutil.rmtree(folder, ignore_errors=True)


class Hosts:
    """The hosts, as a context manager: `with Hosts(4, slots=4) as hosts`. Their names are in `hosts.names`."""

    def __init__(self, count, slots=1, environment=None):
        self.names = [f"host{i + 1}" for i in range(count)]
        self.slots = slots
        self.environment = environment or {}
        self.keepers = {}  # the unshare process above each host, and above the switch
        self.first = {}    # each host's process 1, and one of the switch
        self.wires = {}    # wire.py, of hosts whose link is shaped
        self.folder = ""
        self.hostfile = ""

    def __enter__(self):
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of close()
        remove_left_folders()
        self.folder = tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-", dir="/tmp")
        self.hostfile = f"{self.folder}/hostfile"
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            self._make()
            stack.pop_all()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in [*self.wires.values(), *self.keepers.values()]:
            process.kill()
            process.wait()
        self.wires.clear()
        self.keepers.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- making them

    def _make(self):
        with open(self.hostfile, "w", encoding="ascii") as file:
            file.writelines(f"{name} slots={self.slots}\n" for name in self.names)
        for name in self.names:
            with open(f"{self.folder}/{name}.hosts", "w", encoding="ascii") as file:
                file.write("127.0.0.1 localhost\n" + "".join(f"{NETWORK}{i + 1} {n}\n" for i, n in enumerate(self.names)))
            os.mkdir(f"{self.folder}/{name}.tmp")
        self._keep("switch", ["--net"], ["sleep", "infinity"])
        self._in_network("switch", "ip", "link", "add", "switch", "type", "bridge")
        self._in_network("switch", "ip", "link", "set", "switch", "up")
        for i, name in enumerate(self.names):
            self._keep(name, ["--net", "--uts", "--ipc", "--mount", "--pid", "--mount-proc"],
                       [sys.executable, "-B", f"{HERE}/host_init.py", name, self.folder])
            port = self._port(name)
            tool("ip", "link", "add", "eth0", "netns", self.first[name], "type", "veth",
                 "peer", "name", port, "netns", self.first["switch"])
            self._in_network("switch", "ip", "link", "set", port, "master", "switch", "up")
            self._in_network(name, "ip", "address", "add", f"{NETWORK}{i + 1}/24", "dev", "eth0")
            self._in_network(name, "ip", "link", "set", "eth0", "up")
            self._in_network(name, "ip", "link", "set", "lo", "up")
        self._until(lambda: all(os.path.exists(f"{self.folder}/{name}.sock") for name in self.names), "the hosts are up")

    def _keep(self, name, namespaces, command):
        environment = {**os.environ, **self.environment, **self._settings(name)}
        self.keepers[name] = subprocess.Popen(["unshare", *namespaces, "--fork", "--kill-child", *command],
                                              stdin=subprocess.DEVNULL, env=environment, preexec_fn=die_with_parent)
        self._until(lambda: children(self.keepers[name].pid), f"{name} has begun")
        self.first[name] = children(self.keepers[name].pid)[0]

    def _settings(self, name):
        """-> the environment of what runs on a host, beside ours."""
        if name == "switch":
            return {}
        return {
            "HOSTFILE": self.hostfile,
            "TMPDIR": f"{self.folder}/{name}.tmp",
            "OMPI_MCA_orte_default_hostfile": self.hostfile,
            "OMPI_MCA_plm_rsh_agent": f"{sys.executable} -B {HERE}/on.py {self.folder}",
            "OMPI_MCA_plm_rsh_no_tree_spawn": "1",
            "OMPI_MCA_oob_tcp_if_include": "eth0",
            "OMPI_MCA_btl_tcp_if_include": "eth0",
            # All hosts share this machine's cores.
            "OMPI_MCA_hwloc_base_binding_policy": "none",
            "OMPI_MCA_mpi_yield_when_idle": "1",
            "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMP_NUM_THREADS": "1",
        }

    def _until(self, done, what, seconds=START_LIMIT):
        limit = time.monotonic() + seconds
        while not done():
            if time.monotonic() > limit or any(keeper.poll() is not None for keeper in self.keepers.values()):
                raise HostError(f"it did not come to this: {what}")
            time.sleep(0.01)

    def _in_network(self, name, *words):
        tool("nsenter", "--target", self.first[name], "--net", *words)

    def _port(self, name):
        return f"port{self.names.index(name) + 1}"

    # ---- using them

    def command(self, host, *command):
        """-> the command that runs this one on a host."""
        line = "exec " + shlex.join(command)  # a signal is to reach the command, not a shell above it
        return [sys.executable, "-B", f"{HERE}/on.py", self.folder, host, line]

    def start(self, host, *command, **keywords):
        """-> a Popen of the command on a host; signals to it reach the command."""
        return subprocess.Popen(self.command(host, *command), preexec_fn=die_with_parent, **keywords)

    def run_first(self, words):
        """Runs a user's command on host1, with our terminal: Ctrl-C and the like are its; -> its exit code."""
        running = self.start(self.names[0], *(words if len(words) > 1 else ["sh", "-c", *words]))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda number, _: running.send_signal(number))
        code = running.wait()
        return code if code >= 0 else 128 - code

    def shape(self, host, delay_ms=0.0, loss_percent=0.0):
        """Makes a host's link slow or lossy, each way: its port and the switch are joined by wire.py."""
        port, inner, outer = self._port(host), f"{self._port(host)}in", f"{self._port(host)}out"
        if host in self.wires:
            self.wires[host].kill()
            self.wires.pop(host).wait()
        else:
            self._in_network("switch", "ip", "link", "add", inner, "type", "veth", "peer", "name", outer)
            self._in_network("switch", "ip", "link", "set", outer, "master", "switch", "up")
            self._in_network("switch", "ip", "link", "set", inner, "up")
            self._in_network("switch", "ip", "link", "set", port, "nomaster")
            for place, device in ((host, "eth0"), ("switch", outer)):
                self._in_network(place, sys.executable, "-B", f"{HERE}/hosts.py", "--whole-frames", device)
        self.wires[host] = subprocess.Popen(
            ["nsenter", "--target", str(self.first["switch"]), "--net", sys.executable, "-B", f"{HERE}/wire.py", port, inner,
             "--delay", str(delay_ms), "--loss", str(loss_percent)], preexec_fn=die_with_parent)

    def unplug(self, host):
        """Pulls the plug of its network: nothing more comes or goes, and nobody is told."""
        self._in_network("switch", "ip", "link", "set", self._port(host), "down")

    def kill(self, host):
        """The host is gone from one moment to the next, with all its processes; no connection is closed."""
        self.unplug(host)
        self.keepers[host].kill()
        self.keepers.pop(host).wait()

    def processes(self, host):
        """-> {pid outside: its command line} of a host's processes, but for its first."""
        try:
            own = os.readlink(f"/proc/{self.first[host]}/ns/pid")
        except OSError:
            return {}
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(pid) == self.first[host] or os.readlink(f"/proc/{pid}/ns/pid") != own:
                    continue
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    line = file.read().replace("\0", " ").strip()
                if line:  # none: it has ended
                    found[int(pid)] = line
        return found


def amounts(words, names, parser):
    for word in words:
        name, separator, amount = word.partition("=")
        try:
            yield name, float(amount)
        except ValueError:
            separator = ""
        if not separator or name not in names:
            parser.error(f"'{word}' is not HOST=NUMBER with a host among {', '.join(names)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--slots", type=int, default=2, help="ranks a host, for mpirun")
    parser.add_argument("--delay", action="append", default=[], metavar="HOST=MS", help="each way on this host's link")
    parser.add_argument("--loss", action="append", default=[], metavar="HOST=PERCENT", help="of the packets, each way")
    parser.add_argument("--whole-frames", metavar="DEVICE", help=argparse.SUPPRESS)  # this program's own
    parser.add_argument("--check", action="store_true", help="only say whether hosts can be made here")
    parser.add_argument("command", nargs="*")
    args = parser.parse_args()
    if args.whole_frames:
        whole_frames(args.whole_frames)
        return 0
    reason = obstacle()
    if reason or args.check:
        print(f"skipped: {reason}" if reason else "hosts can be made here")
        return 77 if reason else 0
    if not args.command:
        parser.error("no COMMAND")
    with Hosts(args.hosts, args.slots) as hosts:
        delays, losses = (dict(amounts(words, hosts.names, parser)) for words in (args.delay, args.loss))
        for name in {**delays, **losses}:
            hosts.shape(name, delays.get(name, 0.0), losses.get(name, 0.0))
        return hosts.run_first(args.command)


if __name__ == "__main__":
    sys.exit(main())
