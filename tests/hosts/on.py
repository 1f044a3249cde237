#!/usr/bin/env python3
"""Runs a command on a test host, as ssh would: stdin, stdout, stderr, signals and the exit code are the command's.

  on.py FOLDER HOST COMMAND [ARGUMENT...]

FOLDER is the hosts' (hosts.py). As with ssh the words make one line for a shell: mpirun's agent for starting its daemons
is "on.py FOLDER".
"""
import json
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def ask(folder, host, command):
    """-> the connection on which a command runs with this process's stdin, stdout and stderr."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(f"{folder}/{host}.sock")
    request = {"command": command, "folder": os.getcwd()}
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    return connection


def main():
    folder, host, *command = sys.argv[1:]
    try:
        connection = ask(folder, host, ["sh", "-c", " ".join(command)])
    except OSError as error:
        sys.exit(f"on.py: host {host} cannot be reached: {error}")
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: connection.send(bytes([number])))
    answer = connection.recv(1)
    return answer[0] if answer else 255  # the host is gone


if __name__ == "__main__":
    sys.exit(main())
