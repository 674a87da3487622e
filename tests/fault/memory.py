#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Memory that a library asks for and does not get: each place that allocates, once, at --check, at the start, while the
daemon runs and while it reloads. Ends in one sentence and status 1 or 2, or in a daemon that runs and keeps its account; or in the abort that house rules ask for, which says why."""
import argparse
import mmap
import os
import signal
import struct
import subprocess
import sys
import time

from control import Daemon, Tap, Traffic, wait_for

SITES_MAX, OBJECTS_MAX = 4096, 64
SIZE = 16 + 8 * SITES_MAX + 32 * OBJECTS_MAX


class Memory:
    """The file that memory.so maps; see struct control there."""

    def __init__(self, path):
        with open(path, "wb") as out:
            out.write(bytes(SIZE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), SIZE)

    def put(self, listing=0, armed=0):
        struct.pack_into("<III", self.map, 0, listing, armed, 0)

    def forget(self):
        struct.pack_into("<I", self.map, 12, 0)

    def hits(self):
        return struct.unpack_from("<I", self.map, 8)[0]

    def sites(self):
        n = struct.unpack_from("<I", self.map, 12)[0]
        return [struct.unpack_from("<II", self.map, 16 + 8 * i) for i in range(n)]

    def name(self, site):
        at = 16 + 8 * SITES_MAX + 32 * site[0]
        return f"{self.map[at:at + 32].rstrip(bytes(1)).decode()}+{site[1]:#x}"


class Run:
    def __init__(self, options, *arguments):
        self.options = options
        self.log = open(options.log, "w+")
        self.process = subprocess.Popen([options.daemon, "-c", options.config, *arguments], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.daemon = Daemon(options.socket, self.process.pid)

    def up(self):
        """False: it has ended."""
        wait_for(30, lambda: self.process.poll() is not None or self.daemon.ask("stats", timeout=1), every=0.02)
        return self.process.poll() is None

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "none"

    def lines(self):
        self.log.seek(0)
        return self.log.read().splitlines()

    def judge(self, ran, status):
        lines = self.lines()
        if ran:
            return status == 0, f"ran, status {status}"
        aborted = status in (-signal.SIGABRT, -signal.SIGTRAP) and any(line.startswith("error: ") for line in lines)
        told = [line for line in lines if line.strip()]
        return aborted or (status in (1, 2) and bool(told)), "abort, with its reason" if aborted else f"status {status}"


def fail_each(options, memory, tap, name, sites, live):
    ends = {}
    for i, site in sites:
        memory.put(armed=i + 1)
        run = Run(options, *([] if live else ["--check"]))
        ran = run.up() if live else False
        status = run.end() if live else run.process.wait(30)
        passed, what = run.judge(ran, status)
        if not memory.hits():
            ends["not reached"] = ends.get("not reached", 0) + 1
            continue
        if not live and status == 0:
            passed = any(": ok" in line for line in run.lines())
        ends[what] = ends.get(what, 0) + 1
        tap.ok(passed, f"{name}: {memory.name(site)} gets no memory", what)
        if not passed or options.verbose:
            tap.diag("\n".join(run.lines()[-6:]))
    tap.diag(f"{name}: {len(sites)} places; " + ", ".join(f"{n} times {what}" for what, n in ends.items()))


def listed(options, memory, live):
    memory.forget()
    memory.put(listing=1)
    run = Run(options, *([] if live else ["--check"]))
    if live:
        run.up()
        memory.put()
        run.end()
    else:
        run.process.wait()
    memory.put()
    return list(enumerate(memory.sites()))


def running(options, memory, tap):
    """One daemon whose packets, sessions, requests and reloads all meet a lack of memory, place after place."""
    run = Run(options)
    run.up()
    traffic = Traffic(options.far, "veth0", options.mac)

    def live(n_turns):
        for turn in range(n_turns):
            traffic.send(20)
            run.daemon.ask("flush")
            for verb in ("stats", "collectors", "templates", "flows", "interfaces", "drops"):
                run.daemon.ask(verb)
            os.kill(run.process.pid, signal.SIGHUP)
            run.daemon.ask("stats")

    def trouble():
        run.daemon.ask("flush")
        stats = run.daemon.stats()
        if not stats:
            return "no answer"
        if stats.get("observed_packets_total") != traffic.packets:
            return f"{stats.get('observed_packets_total')} packets observed, {traffic.packets} sent"
        for collector in stats.collectors():
            if stats.balance(collector):
                return f"{collector}: {stats.balance(collector)} packets vanished"
            if not stats.get("collector_up", collector=collector):
                return f"{collector} is down"
        return None

    memory.forget()
    memory.put(listing=1)
    live(3)
    memory.put()
    n_reached = n_ends = 0
    sites = list(enumerate(memory.sites()))
    for i, site in sites:
        memory.put(armed=i + 1)
        live(1)
        memory.put(armed=0) if not memory.hits() else None
        n_reached += bool(memory.hits())
        why = wait_for(10, lambda: run.process.poll() is not None or not trouble()) or trouble()
        died = run.process.poll() is not None
        passed, what = run.judge(False, run.process.returncode) if died else (why is True, why)
        n_ends += died
        tap.ok(passed, f"running: {memory.name(site)} gets no memory", what)
        if died:
            if not passed:
                tap.diag("\n".join(run.lines()[-8:]))
            run = Run(options)
            run.up()
            traffic.packets = 0
    tap.diag(f"running: {len(sites)} places, {n_reached} reached again, {n_ends} end it")
    tap.ok(run.end() == 0, "SIGTERM ends it with status 0")


def main():
    parser = argparse.ArgumentParser()
    for name in ("memory", "socket", "log", "config", "tap", "daemon", "far", "mac"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--only", default="check start running")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    tap = Tap(options.tap)
    memory = Memory(options.memory)
    begin = time.monotonic()
    if "check" in options.only:
        fail_each(options, memory, tap, "--check", listed(options, memory, False), False)
    known = {memory.name(site) for _, site in enumerate(memory.sites())}
    if "start" in options.only:
        sites = [(i, site) for i, site in listed(options, memory, True) if memory.name(site) not in known]
        fail_each(options, memory, tap, "start", sites, True)
    if "running" in options.only:
        running(options, memory, tap)
    tap.diag(f"{time.monotonic() - begin:.0f} s")
    tap.close()


main()
