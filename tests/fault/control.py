# SPDX-License-Identifier: MIT
"""What a test needs to make the daemon's calls fail: inject.so's control file, the control socket, packets of its own."""
import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import subprocess
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

    def send(self, n_flows, size=100, source="10.64.0.1"):
        udp = struct.pack(">HHH", 9, size - 20, 0) + bytes(size - 28)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton("10.63.0.1"))
        head = self.mac + self.mac[:5] + b"\xee\x08\x00" + ip
        for port in range(4096, 4096 + n_flows):
            self.socket.send(head + struct.pack(">H", port) + udp)
        self.packets += n_flows
        self.octets += n_flows * size


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
