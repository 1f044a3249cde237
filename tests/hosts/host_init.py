"""Process 1 of a test host: runs the commands that on.py brings, takes note of those that end.

  host_init.py NAME FOLDER

FOLDER/NAME.sock is where it listens, FOLDER/NAME.hosts its /etc/hosts. A message is one JSON object with three file
descriptors, the command's stdin, stdout and stderr: {"command": [...], "folder": "..."}. What follows are signal
numbers, a byte each; the answer is the exit status, a byte. When this process ends, all of the host do.
"""
import json
import os
import selectors
import signal
import socket
import subprocess
import sys


def make_room(name, folder):
    """Gives the host its name, /etc/hosts, shared memory and /tmp/NAME: nothing of another host's is in sight there."""
    socket.sethostname(name)
    # Nothing is to be asked of a name server that cannot be reached.
    for source, target in ((f"{folder}/{name}.hosts", "/etc/hosts"), ("/dev/null", "/etc/resolv.conf")):
        subprocess.run(["mount", "--bind", source, target], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], check=True)


def start(request, files):
    """-> the command's process; its own process group, so that signals to the asker are its alone."""
    child = os.fork()
    if child != 0:
        return child
    try:
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 1024)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.chdir(request["folder"])
        os.execvp(request["command"][0], request["command"])
    except OSError as error:
        os.write(2, f"{request['command'][0]}: {error}\n".encode())
    os._exit(127)


class Host:
    def __init__(self, path):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.askers = {}  # of running commands, by process
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(reader, selectors.EVENT_READ, lambda: self.reap(reader))

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                key.data()

    def accept(self):
        asker, _ = self.listener.accept()
        message, files, _, _ = socket.recv_fds(asker, 1 << 20, 3)
        if len(files) != 3:
            asker.close()
            return
        child = start(json.loads(message), files)
        for file in files:
            os.close(file)
        self.askers[child] = asker
        self.selector.register(asker, selectors.EVENT_READ, lambda: self.hear(asker, child))

    def hear(self, asker, child):
        """A signal for the command; an asker that has gone takes it along."""
        try:
            numbers = asker.recv(64)
        except OSError:
            numbers = b""
        if not numbers:
            self.selector.unregister(asker)
        for number in numbers or [signal.SIGKILL]:
            if child in self.askers:
                os.kill(child, number)

    def reap(self, reader):
        os.read(reader, 4096)
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            asker = self.askers.pop(child, None)
            if asker is None:
                continue  # an orphan
            code = os.waitstatus_to_exitcode(status)
            if asker in {key.fileobj for key in self.selector.get_map().values()}:
                self.selector.unregister(asker)
            try:
                asker.send(bytes([code if code >= 0 else 128 - code]))
            except OSError:
                pass  # it did not wait
            asker.close()


def main():
    name, folder = sys.argv[1:]
    make_room(name, folder)
    Host(f"{folder}/{name}.sock").serve()


if __name__ == "__main__":
    main()
