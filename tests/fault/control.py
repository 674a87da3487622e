# SPDX-License-Identifier: MIT
"""What a test needs to make the daemon's calls fail: inject.so's control file, the control socket, packets of its own.

control.py FILE shift SECONDS, control.py FILE arm CALL ERROR MODE, control.py FILE disarm: from a script.
"""
import argparse
import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import signal
import subprocess
import sys
import time

MODES = {"first": (1, 0), "tenth": (10, 0), "every third": (3, 3), "always": (1, 1)}


class Injection:
    """The file that inject.so maps; see struct control there."""
    SIZE = 40 + 64 * 16 + 64 * 4

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), self.SIZE)
        self.shift_ns = struct.unpack_from("<q", self.map, 0)[0]

    def numbers(self):
        n = struct.unpack_from("<I", self.map, 32)[0]
        return {self.map[36 + 16 * i:52 + 16 * i].rstrip(b"\0").decode(): i for i in range(n)}

    def never_called(self):
        return [name for name, i in self.numbers().items() if not struct.unpack_from("<I", self.map, 1060 + 4 * i)[0]]

    def arm(self, call, error, mode):
        self.disarm()
        struct.pack_into("<iIIII", self.map, 12, getattr(errno, error), *MODES[mode], 0, 0)
        struct.pack_into("<I", self.map, 8, 1 + self.numbers()[call])

    def arm_before(self, names, call, error, mode):
        """For a daemon yet to come: names as an earlier one left them."""
        struct.pack_into("<IiIIII", self.map, 8, 1 + names[call], getattr(errno, error), *MODES[mode], 0, 0)

    def disarm(self):
        """Returns calls and hits since it was armed."""
        struct.pack_into("<I", self.map, 8, 0)
        return self.counts()

    def counts(self):
        return struct.unpack_from("<II", self.map, 24)

    def shift(self, seconds):
        """Moves all clocks of the daemon on."""
        self.shift_ns += int(seconds * 1e9)
        struct.pack_into("<q", self.map, 0, self.shift_ns)


def enter(namespace):
    """Returns the one that we leave."""
    libc = ctypes.CDLL(None, use_errno=True)
    left = os.open("/proc/self/ns/net", os.O_RDONLY)
    to = namespace if isinstance(namespace, int) else os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if libc.setns(to, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(to)
    return left


class Traffic:
    """UDP over IPv4, a packet each for a number of flows, from the far end of the metered link; knows what it sent."""

    def __init__(self, namespace, interface, target_mac):
        back = enter(namespace)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.bind((interface, 0x0800))
        enter(back)
        self.mac = bytes.fromhex(target_mac.replace(":", ""))
        self.packets = self.octets = 0

    def send(self, n_flows, size=100, source="10.64.0.1", to_port=9, payload=b""):
        udp = struct.pack(">HHH", to_port, size - 20, 0) + payload.ljust(size - 28, b"\0")
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton("10.63.0.1"))
        head = self.mac + self.mac[:5] + b"\xee\x08\x00" + ip
        for port in range(4096, 4096 + n_flows):
            self.socket.send(head + struct.pack(">H", port) + udp)
        self.packets += n_flows
        self.octets += n_flows * size


    def ask(self, n_flows, source):
        """DNS queries that nobody answers."""
        self.send(n_flows, source=source, to_port=53, payload=struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\1x\0\0\1\0\1")


class Stats:
    def __init__(self, metrics):
        self.samples = {m["name"]: m["samples"] for m in metrics}

    def get(self, name, **labels):
        return sum(s["value"] for s in self.samples.get(name, ())
                   if all(s["labels"].get(k) == v for k, v in labels.items()))

    def collectors(self):
        return [s["labels"]["collector"] for s in self.samples["collector_up"]]

    def lost_early(self, unit="packets"):
        return sum(self.get(f"lost_{unit}_total", place=place) for place in ("flow_table", "ring_buffer", "flow_cache"))

    def balance(self, collector, unit="packets"):
        """0: everything observed is exported, waiting or counted as lost."""
        return self.get(f"observed_{unit}_total") - self.lost_early(unit) - self.get(f"cached_{unit}") - sum(
            self.get(name, collector=collector) for name in (
                f"exported_{unit}_total", f"queued_{unit}", f"skipped_{unit}_total", f"lost_{unit}_total"))


class Daemon:
    def __init__(self, path, pid):
        self.path, self.pid = path, pid

    def ask(self, verb, timeout=3, **args):
        """None if there is no answer: it may be made to fail."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(timeout)
                client.connect(self.path)
                client.sendall(json.dumps({"verb": verb, **args}).encode() + b"\n")
                answer = b""
                while part := client.recv(1 << 16):
                    answer += part
            return json.loads(answer)
        except (OSError, ValueError):
            return None

    def stats(self):
        answer = self.ask("stats")
        return Stats(answer["metrics"]) if answer and "metrics" in answer else None

    def alive(self):
        try:
            with open(f"/proc/{self.pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False


class Run:
    """A daemon of our own, from its start to its end."""

    def __init__(self, options, *arguments):
        self.log = open(options.log, "w+")
        self.process = subprocess.Popen([options.daemon, "-c", options.config, *arguments], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.daemon = Daemon(options.socket, self.process.pid)

    def ended(self):
        return self.process.poll() is not None

    def up(self, seconds=30):
        """False: it has ended."""
        wait_for(seconds, lambda: self.ended() or self.daemon.ask("stats", timeout=1), every=0.02)
        return not self.ended()

    def end(self):
        """Its status, which is a text if it had to be killed."""
        if not self.ended():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"none, {self.process.wait()}"

    def lines(self):
        self.log.seek(0)
        return self.log.read().splitlines()


class Tap:
    """Goes on where lib.sh has left off; leaves its counts in a file."""

    def __init__(self, path):
        self.path = path
        with open(path) as counts:
            self.count, self.failed = map(int, counts.read().split())

    def ok(self, passed, name, why=""):
        self.count += 1
        self.failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.count} - {name}", flush=True)
        if not passed and why:
            self.diag(why)
        return passed

    def diag(self, text):
        for line in str(text).splitlines():
            print("#", line, flush=True)

    def close(self):
        with open(self.path, "w") as counts:
            counts.write(f"{self.count} {self.failed}\n")


def wait_for(seconds, condition, every=0.01):
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            return result
        time.sleep(every)
    return result


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def options(*names, numbers=()):
    """Of a program that lib.sh starts: table() there gives the common ones."""
    parser = argparse.ArgumentParser()
    for name in ("control", "socket", "far", "mac", *names):
        parser.add_argument("--" + name, required=True)
    for name in numbers:
        parser.add_argument("--" + name, type=int, required=True)
    return parser


def table_options(*names, numbers=()):
    parser = options("config", "tap", *names, numbers=numbers)
    parser.add_argument("--only", default="", help="these calls or parts, with commas between them")
    parser.add_argument("--verbose", action="store_true")
    return parser


if __name__ == "__main__":
    if sys.argv[2] == "shift":
        Injection(sys.argv[1]).shift(float(sys.argv[3]))
    else:
        getattr(Injection(sys.argv[1]), sys.argv[2])(*sys.argv[3:])
