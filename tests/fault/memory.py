#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Memory that a library asks for and does not get: each place that allocates, once, at --check, at the start, while the
daemon runs and while it reloads. Ends in one sentence and status 1 or 2, or in a daemon that runs, keeps its account and
leaves no more blocks and descriptors behind than ever; or in the abort that house rules ask for, which says why. GnuTLS
aborts without a word where the numbers of a key grow, which is for one key in ten."""
import mmap
import os
import re
import signal
import struct
import time

from control import Run, Tap, Traffic, table_options, wait_for

PARTS = ("check", "start", "running")
SITES_MAX, OBJECTS_MAX = 4096, 64
SITES_AT = 32
OBJECTS_AT = SITES_AT + 8 * SITES_MAX
SIZE = OBJECTS_AT + 32 * OBJECTS_MAX
# a program that is wrong, not short of memory
CORRUPT = re.compile(r"(alloc|free|chunk)\(\)|corrupt|smash|[Aa]ssertion|ERROR:")


class Memory:
    """The file that memory.so maps; see struct control there."""

    def __init__(self, path):
        with open(path, "wb") as out:
            out.write(bytes(SIZE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), SIZE)

    def put(self, listing=0, armed=0):
        struct.pack_into("<III", self.map, 0, int(listing), armed, 0)
        struct.pack_into("<I", self.map, 16, 0)

    def forget(self):
        struct.pack_into("<I", self.map, 12, 0)

    def hits(self):
        return struct.unpack_from("<I", self.map, 8)[0]

    def left(self):
        """Blocks that nobody had given back when the program ended; None: it did not come to its end."""
        left = struct.unpack_from("<I", self.map, 16)[0]
        return left - 1 if left else None

    def sites(self):
        n = struct.unpack_from("<I", self.map, 12)[0]
        return [struct.unpack_from("<II", self.map, SITES_AT + 8 * i) for i in range(n)]

    def name(self, site):
        at = OBJECTS_AT + 32 * site[0]
        return f"{self.map[at:at + 32].rstrip(bytes(1)).decode()}+{site[1]:#x}"


def judge(run, ran, status, libraries_abort=False):
    lines = [line for line in run.lines() if line.strip()]
    corrupt = [line for line in lines if CORRUPT.search(line)]
    if corrupt:
        return False, corrupt[0]
    if libraries_abort and status == -signal.SIGABRT:
        return True, "abort by the library, " + ("with its reason" if lines else "without a word")
    if ran:
        return status == 0, f"ran, status {status}"
    aborted = status in (-signal.SIGABRT, -signal.SIGTRAP) and any(line.startswith("error: ") for line in lines)
    return aborted or (status in (1, 2) and bool(lines)), "abort, with its reason" if aborted else f"status {status}"


def fail_each(options, memory, tap, name, sites, usual, live):
    ends = {}
    for i, site in sites:
        memory.put(armed=i + 1)
        run = Run(options, *([] if live else ["--check"]))
        ran = run.up() if live else False
        status = run.end() if live else run.process.wait(30)
        passed, what = judge(run, ran, status, bool(options.places))
        if not memory.hits():
            ends["not reached"] = ends.get("not reached", 0) + 1
            if status != 0:
                tap.ok(False, f"{name}: {memory.name(site)} is not reached", f"status {status}")
                tap.diag("\n".join(run.lines()[-6:]))
            continue
        if not live and status == 0:
            passed = any(": ok" in line for line in run.lines())
        if status == 0 and memory.left() > usual:
            passed, what = False, f"{memory.left() - usual} blocks are not given back"
        ends[what] = ends.get(what, 0) + 1
        tap.ok(passed, f"{name}: {memory.name(site)} gets no memory", what)
        if not passed or options.verbose:
            tap.diag("\n".join(run.lines()[-6:]))
    tap.diag(f"{name}: {len(sites)} places; " + ", ".join(f"{n} times {what}" for what, n in ends.items()))
    n_reached = len(sites) - ends.get("not reached", 0)
    tap.ok(n_reached > len(sites) / 2, f"{name}: places are reached", f"{n_reached} of {len(sites)}")


def listed(options, memory, live):
    """The places that allocate, and how many blocks a run without a fault leaves at most: what libraries keep for good,
    once there was need of it."""
    left = []
    memory.forget()
    for _ in range(2):  # the second finds a file that it has to rename
        memory.put(listing=not left)
        run = Run(options, *([] if live else ["--check"]))
        if live:
            run.up()
            run.end()
        else:
            run.process.wait()
        left.append(memory.left())
    memory.put()
    return list(enumerate(memory.sites())), max(left)


class Life:
    """A daemon with packets, sessions, requests and reloads."""

    def __init__(self, options):
        self.config, self.n_turns = options.config, 0
        self.run = Run(options)
        self.run.up()
        self.daemon = self.run.daemon
        self.traffic = Traffic(options.far, "veth0", options.mac)

    def live(self, n_turns):
        for turn in range(n_turns):
            self.traffic.send(20)
            self.daemon.ask("flush")
            for verb in ("stats", "collectors", "templates", "flows", "interfaces", "drops"):
                self.daemon.ask(verb)
            self.reload()
            self.daemon.ask("stats")

    def reload(self):
        """From another address, so that sessions end and names are asked for again."""
        self.n_turns += 1
        with open(self.config) as config:
            text = config.read()
        with open(self.config + ".new", "w") as config:
            config.write(re.sub(r"source: [0-9.]+", f"source: 127.1.0.{self.n_turns}", text))
        os.rename(self.config + ".new", self.config)
        os.kill(self.run.process.pid, signal.SIGHUP)

    def n_descriptors(self):
        """Without those of a name that is asked for just now."""
        def count():
            time.sleep(0.005)
            return len(os.listdir(f"/proc/{self.run.process.pid}/fd"))
        return min(count() for _ in range(5))

    def trouble(self):
        self.daemon.ask("flush")
        stats = self.daemon.stats()
        if not stats:
            return "no answer"
        if stats.get("observed_packets_total") != self.traffic.packets:
            return f"{stats.get('observed_packets_total')} packets observed, {self.traffic.packets} sent"
        for collector in stats.collectors():
            if stats.balance(collector):
                return f"{collector}: {stats.balance(collector)} packets vanished"
            if not stats.get("collector_up", collector=collector):
                return f"{collector} is down"
        return None


def run_place(life, memory, i, usual):
    """Returns whether all is well, what came of it, whether it was the end."""
    wait_for(10, lambda: not life.trouble())
    before = life.n_descriptors()
    memory.put(armed=i + 1)
    life.live(1)
    reached = memory.hits()
    memory.put()

    def trouble():
        return life.trouble() or (life.n_descriptors() > before and f"{life.n_descriptors() - before} descriptors stay open")

    well = wait_for(10, lambda: life.run.ended() or not trouble())
    if life.run.ended():
        return *judge(life.run, False, life.run.process.returncode), reached, True
    why = None if well else trouble() or "not well in ten seconds"
    status = life.run.end()
    if not why and status != 0:
        why = f"status {status} at SIGTERM"
    if not why and memory.left() > usual:
        why = f"{memory.left() - usual} blocks are not given back"
    return not why, why, reached, False


def running(options, memory, tap):
    """The daemon's packets, sessions, requests and reloads meet a lack of memory, a place in each life."""
    memory.forget()
    left = []
    for _ in range(2):  # the second finds a file that it has to rename
        life = Life(options)
        memory.put(listing=1)
        life.live(3)
        memory.put()
        wait_for(10, lambda: not life.trouble())
        status = life.run.end()
        left.append(memory.left() or 0)
        tap.ok(status == 0, "running: all is well with enough memory", status)
    usual = max(left)
    n_reached = n_ends = 0
    sites = list(enumerate(memory.sites()))
    for i, site in sites:
        life = Life(options)
        passed, what, reached, died = run_place(life, memory, i, usual)
        tap.ok(passed, f"running: {memory.name(site)} gets no memory", what)
        if not passed:
            tap.diag("\n".join(life.run.lines()[-8:]))
        n_reached += bool(reached)
        n_ends += died
    tap.diag(f"running: {len(sites)} places, {n_reached} reached again, {n_ends} end it; {usual} blocks are left as usual")
    tap.ok(n_reached > len(sites) / 2, "running: places are reached", f"{n_reached} of {len(sites)}")


def main():
    parser = table_options("memory", "log", "daemon")
    parser.add_argument("--places", default="", help="of this library alone")
    options = parser.parse_args()
    parts = options.only.split(",") if options.only else PARTS
    tap = Tap(options.tap)
    memory = Memory(options.memory)
    begin = time.monotonic()
    if "check" in parts:
        fail_each(options, memory, tap, "--check", *listed(options, memory, False), False)
    known = {memory.name(site) for site in memory.sites()}
    if "start" in parts:
        sites, usual = listed(options, memory, True)
        sites = [site for site in sites if memory.name(site[1]).startswith(options.places)]
        tap.ok(sites, "start: there are places")
        fail_each(options, memory, tap, "start", [site for site in sites if memory.name(site[1]) not in known], usual, True)
    if "running" in parts:
        running(options, memory, tap)
    tap.diag(f"{time.monotonic() - begin:.0f} s")
    tap.close()


main()
