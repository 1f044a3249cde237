"""A slow or lossy cable: carries frames between two network devices by hand, late, and not all of them.

  wire.py DEVICE DEVICE --delay MS --loss PERCENT [--seed N]

For kernels without the queueing discipline netem, which many containers' and virtual machines' are. Frames that are heard
on one device leave by the other one, after the delay; the order stays.
"""
import argparse
import collections
import random
import select
import socket
import time

ALL_FRAMES = 0x0003  # ETH_P_ALL
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
PACKET_OUTGOING = 4
LONGEST = 65536 + 64
QUEUE = 4096  # frames under way each way; a real cable's other end drops what is more


class Direction:
    def __init__(self, source, target):
        self.source, self.target = source, target
        self.under_way = collections.deque()  # (when due, frame)

    def hear(self, delay, lost):
        """Takes what has come in; -> whether there was anything."""
        while True:
            try:
                frame, address = self.source.recvfrom(LONGEST)
            except BlockingIOError:
                return
            if address[2] != PACKET_OUTGOING and not lost() and len(self.under_way) < QUEUE:
                self.under_way.append((time.monotonic() + delay, frame))

    def deliver(self):
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            try:
                self.target.send(self.under_way.popleft()[1])
            except OSError:
                pass  # the other end is unplugged, or its queue is full

    def next_due(self):
        return self.under_way[0][0] if self.under_way else None


def listen(device):
    connection = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    connection.bind((device, ALL_FRAMES))
    index = socket.if_nametoindex(device).to_bytes(4, "little")
    connection.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP,
                          index + PACKET_MR_PROMISC.to_bytes(2, "little") + bytes(10))
    connection.setblocking(False)
    return connection


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("devices", nargs=2)
    parser.add_argument("--delay", type=float, required=True)
    parser.add_argument("--loss", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    ends = [listen(device) for device in args.devices]
    directions = [Direction(ends[0], ends[1]), Direction(ends[1], ends[0])]
    while True:
        due = min((d.next_due() for d in directions if d.under_way), default=None)
        select.select(ends, [], [], None if due is None else max(0.0, due - time.monotonic()))
        for direction in directions:
            direction.hear(args.delay / 1000, lambda: chance.random() * 100 < args.loss)
            direction.deliver()


if __name__ == "__main__":
    main()
