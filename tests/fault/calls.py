#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The table of {system call} x {errno} x {first, tenth, every third}, in one life of the daemon; calls.sh starts it.

Each cell: the call fails while packets, sessions, files, requests and devices come and go; then the fault goes, and all
collectors are served again, every packet is exported or counted as lost under its place, and nothing waits.
"""
import collections
import os
import re
import select
import signal
import socket
import sys
import time

from control import Daemon, Injection, Tap, Traffic, run, table_options, wait_for

LOCAL = "EINTR EAGAIN ENOBUFS ENOMEM EPERM EIO"
WIRE = LOCAL + " ECONNREFUSED ENETUNREACH EHOSTUNREACH EPIPE ECONNRESET ETIMEDOUT EMSGSIZE"
FULL = "EMFILE ENFILE ENOMEM"
TABLE = [  # call, errors
    ("sendmmsg", WIRE + " ENOSPC EACCES"),  # UDP
    ("sendmsg", WIRE + " EACCES"),  # TCP
    ("writev", LOCAL + " ENOSPC EDQUOT EFBIG EPIPE"),  # file
    ("socket", FULL + " ENOBUFS EPERM EINTR EAGAIN"),
    ("connect", WIRE.replace("EMSGSIZE", "EADDRNOTAVAIL")),
    ("bind", "ENOMEM EPERM EADDRINUSE EADDRNOTAVAIL EINTR EIO"),
    ("setsockopt", "ENOMEM ENOBUFS EPERM EIO EINTR"),
    ("getsockopt", "ENOMEM ENOBUFS EPERM EIO EINTR"),
    ("getsockname", "ENOBUFS EIO"),
    ("getpeername", "ENOBUFS EIO"),
    ("accept4", FULL + " ENOBUFS EPERM EINTR EAGAIN ECONNRESET ETIMEDOUT ENETUNREACH EHOSTUNREACH EIO"),  # control
    ("recv", "EINTR EAGAIN ENOMEM ENOBUFS EIO ECONNRESET ETIMEDOUT ECONNREFUSED EHOSTUNREACH"),
    ("send", "EINTR EAGAIN ENOMEM ENOBUFS EIO EPIPE ECONNRESET ETIMEDOUT"),  # control, HTTP, names
    ("recvfrom", "EINTR EAGAIN ENOMEM ENOBUFS ECONNREFUSED EIO"),  # names
    ("recvmsg", "EINTR EAGAIN ENOMEM ENOBUFS EIO EPERM"),  # devices, errors of datagrams
    ("read", "EINTR EAGAIN ENOMEM EIO EPERM"),  # files that are loaded, wake-ups
    ("write", "EINTR EAGAIN EIO EPIPE ENOSPC"),  # the log, wake-ups
    ("poll", "EINTR EAGAIN ENOMEM EIO"),
    ("bpf", FULL + " EINTR EAGAIN EPERM EIO ENOSPC ENOBUFS"),
    ("open", FULL + " EINTR EAGAIN EPERM EIO ENOSPC"),
    ("fstat", "ENOMEM EIO EINTR"),
    ("stat", "ENOMEM EIO EPERM"),
    ("renameat2", "EIO ENOSPC EPERM ENOMEM EINVAL"),
    ("fdatasync", "EIO ENOSPC EINTR"),
    ("ioctl", "EIO ENOMEM EINTR"),
    ("close", "EINTR EIO ENOSPC"),
    ("shutdown", "ENOBUFS EIO"),
    ("fcntl", "EINTR EAGAIN ENOMEM EIO"),
    ("clock_gettime", "EPERM EIO EINTR"),
]
TLS = [
    ("send", WIRE.replace(" EMSGSIZE", "")),
    ("recv", "EINTR EAGAIN ENOMEM ENOBUFS EIO ECONNRESET ETIMEDOUT"),
    ("socket", FULL),
    ("connect", "ECONNREFUSED ENETUNREACH EHOSTUNREACH ETIMEDOUT EPERM EINTR"),
    ("setsockopt", "ENOMEM EPERM"),
    ("getsockopt", "ENOMEM EIO"),
    ("shutdown", "EIO"),
]
DTLS = [
    ("send", WIRE + " EACCES"),
    ("recv", "EINTR EAGAIN ENOMEM ENOBUFS EIO ECONNREFUSED EHOSTUNREACH ENETUNREACH"),
    ("recvmsg", "EINTR EAGAIN ENOMEM ENOBUFS EIO"),  # errors of datagrams
    ("socket", FULL + " ENOBUFS EPERM"),
    ("connect", "ECONNREFUSED ENETUNREACH EHOSTUNREACH EADDRNOTAVAIL EPERM ENOMEM"),
    ("bind", "ENOMEM EPERM EADDRINUSE EADDRNOTAVAIL EIO"),
    ("setsockopt", "ENOMEM EPERM EIO"),
    ("getsockopt", "ENOMEM ENOBUFS EIO"),
    ("getsockname", "ENOBUFS EIO"),
    ("poll", "EINTR EAGAIN ENOMEM"),
    ("close", "EINTR EIO"),
]
MODES = ("first", "tenth", "every third")
# for half a second each call fails: no loop may spin meanwhile
LASTING = [
    ("accept4", "EMFILE ENFILE ENOMEM"),
    ("sendmmsg", "ENOBUFS ENETUNREACH ECONNREFUSED EMSGSIZE EIO EPERM"),
    ("sendmsg", "ENOMEM ECONNRESET EPIPE"),
    ("writev", "ENOSPC EIO"),
    ("socket", "EMFILE"),
    ("connect", "ENETUNREACH"),
    ("recv", "EIO ENOMEM"),
    ("recvmsg", "ENOBUFS ENOMEM"),
    ("bpf", "ENOMEM EPERM"),
    ("open", "EMFILE"),
    ("write", "EAGAIN"),
    ("getsockopt", "EIO"),
    ("ioctl", "EIO"),
]
DTLS_LASTING = [
    ("send", "ENOBUFS ENETUNREACH ECONNREFUSED EMSGSIZE EIO EPERM"),
    ("recv", "EIO ENOMEM ECONNREFUSED"),
    ("recvmsg", "ENOMEM"),
    ("socket", "EMFILE"),
    ("connect", "ENETUNREACH"),
    ("setsockopt", "EPERM"),
    ("getsockopt", "EIO"),
]
# who answers it by asking again, so that nobody notices
UNSEEN = {(call, error) for call in ("sendmmsg", "sendmsg", "writev") for error in ("EINTR", "EAGAIN")}


# who must count it: a failure of the collector, a loss, a reload that was refused
COUNTED = {
    "sendmmsg": "ENOBUFS ENOMEM EPERM EPIPE ECONNRESET ETIMEDOUT ENOSPC",
    "sendmsg": WIRE.replace("EINTR EAGAIN ", "") + " EACCES",
    "writev": "ENOBUFS ENOMEM EPERM EIO EPIPE",
    "bind": "ENOMEM EPERM EADDRINUSE EADDRNOTAVAIL EINTR EIO",
    "renameat2": "EIO ENOSPC EPERM ENOMEM",
    "fstat": "ENOMEM EIO EINTR",
    "stat": "ENOMEM EIO EPERM",
}
DTLS_COUNTED = {
    "send": "EIO EPIPE ECONNRESET ETIMEDOUT",
    ("send", "first"): "ENOBUFS ENOMEM EPERM",  # behind one that went, the same turn tries again
    "recv": "EIO",
    "socket": FULL + " ENOBUFS EPERM",
    "connect": "ECONNREFUSED ENETUNREACH EHOSTUNREACH EADDRNOTAVAIL EPERM ENOMEM",
    "bind": "ENOMEM EPERM EADDRINUSE EADDRNOTAVAIL EIO",
}
Rows = collections.namedtuple("Rows", "table lasting unseen counted")
ROWS = {
    "": Rows(TABLE, LASTING, UNSEEN, COUNTED),
    "tls": Rows(TLS, [], set(), {}),
    "dtls": Rows(DTLS, DTLS_LASTING, {("send", "EINTR"), ("send", "EAGAIN")}, DTLS_COUNTED),
}


class Flapping:
    """A collector that is told when to end its session; it has read everything then."""

    def __init__(self, port):
        self.server = socket.create_server(("127.0.0.1", port))
        self.server.setblocking(False)
        self.sessions = []

    def read(self):
        while select.select([self.server], [], [], 0)[0]:
            session = self.server.accept()[0]
            session.setblocking(False)
            self.sessions.append(session)
        for session in list(self.sessions):
            try:
                while data := session.recv(1 << 20):
                    pass
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                session.close()
                self.sessions.remove(session)

    def kick(self):
        self.read()
        for session in self.sessions:
            session.shutdown(socket.SHUT_WR)


class Life:
    """One daemon and what happens to it."""

    def __init__(self, options):
        self.options = options
        self.injection = Injection(options.control)
        self.daemon = Daemon(options.socket, options.pid)
        self.traffic = Traffic(options.far, "veth0", options.mac)
        self.flapping = Flapping(4741)
        self.log = open(options.log)
        self.n_rounds = 0
        with open(options.config) as config:
            self.config = config.read()

    def reload(self):
        """Every session ends and begins again, from an address that none had before."""
        source = f"127.1.{self.n_rounds >> 8}.{self.n_rounds & 255}"
        with open(self.options.config + ".new", "w") as config:
            config.write(re.sub(r"source: [0-9.]+", f"source: {source}", self.config))
        os.rename(self.options.config + ".new", self.options.config)
        os.kill(self.daemon.pid, signal.SIGHUP)

    def cpu_s(self):
        with open(f"/proc/{self.daemon.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def get_metrics(self):
        try:
            with socket.create_connection(("127.0.0.1", 9469), timeout=0.2) as client:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                while client.recv(1 << 16):
                    pass
        except OSError:
            pass

    def change_device(self):
        if os.path.exists("/proc/self/net/dev_snmp6/extra"):
            run("ip", "link", "delete", "extra")
        else:
            run("ip", "link", "add", "extra", "type", "veth", "peer", "name", "far-end")

    def turn(self, quiet=False):
        """The daemon finds every timeout due. quiet: no request, whose calls would be taken for a session's."""
        self.flapping.read()
        self.injection.shift(1.2)
        if quiet:
            time.sleep(0.06)
            return None
        return self.daemon.ask("stats", timeout=0.3)

    def stimulate(self, call):
        self.n_rounds += 1
        # flows of one packet each, so that one that comes twice is known
        self.traffic.send(20, source=f"10.80.{self.n_rounds >> 8}.{self.n_rounds & 255}")
        if call == "bpf":
            self.traffic.ask(5, source=f"10.81.{self.n_rounds >> 8}.{self.n_rounds & 255}")
        if call in ("bpf", "recvmsg") and not self.options.secure:
            self.change_device()
        if call not in ("sendmmsg", "sendmsg", "writev"):
            self.flapping.kick()
        if call in ("socket", "connect", "bind", "setsockopt", "getsockname", "open", "read", "fstat", "stat", "fcntl",
                    "clock_gettime", "close", "getsockopt", "shutdown") or (call in ("recv", "poll") and self.options.secure):
            self.reload()
        if call in ("accept4", "send", "recv", "poll") and not self.options.secure:
            self.get_metrics()
        self.turn(self.options.secure)

    def trouble(self, stats):
        """What is not as it should be when all is well."""
        if not stats:
            return "no answer"
        for name in stats.collectors():
            if not stats.get("collector_up", collector=name):
                return f"{name} is down"
            if stats.get("queued_packets", collector=name):
                return f"{stats.get('queued_packets', collector=name)} packets wait for {name}"
        for unit, sent in (("packets", self.traffic.packets), ("octets", self.traffic.octets)):
            if stats.get(f"observed_{unit}_total") != sent:
                return f"{stats.get(f'observed_{unit}_total')} {unit} observed, {sent} sent"
            if stats.get(f"cached_{unit}"):
                return f"{stats.get(f'cached_{unit}')} {unit} in the cache"
            for name in stats.collectors():
                if stats.balance(name, unit):
                    return f"{name}: {stats.balance(name, unit)} {unit} are neither exported nor lost"
        if stats.get("interface_failed"):
            return "an interface is not metered"
        return None

    def recover(self):
        """Returns what does not come right, and the state."""
        why = stats = None

        def well():
            nonlocal why, stats
            if not self.daemon.alive():
                why = "the daemon is dead"
                return True
            self.turn()
            stats = self.daemon.stats()
            why = self.trouble(stats)
            return not why

        wait_for(15, well, every=0.02)
        return why, stats

    def fail(self, call, error, mode):
        """Until it has failed as it should, or can't be reached."""
        wanted = {"first": 1, "tenth": 1, "every third": 2}[mode]
        self.injection.arm(call, error, mode)
        end = time.monotonic() + 4
        while self.injection.counts()[1] < wanted and time.monotonic() < end and self.daemon.alive():
            self.stimulate(call)
        time.sleep(0.002)
        return self.injection.disarm()


def said(call, before, after, log):
    """What has been counted, and told. That the file and the mute one change and the flapping one flaps is no news."""
    told = {}
    for name in ("collector_failures_total", "lost_packets_total", "collector_reconnects_total"):
        for collector in after.collectors():
            n = after.get(name, collector=collector) - before.get(name, collector=collector)
            if n and (name != "collector_reconnects_total" or collector not in ("flapping", "file", "mute")) and (
                    name != "collector_failures_total" or collector != "flapping" or call == "sendmsg"):
                told[f"{collector}.{name.removesuffix('_total')}"] = n
    n = after.get("reloads_total", result="refused") - before.get("reloads_total", result="refused")
    if n:
        told["failed_reloads"] = n
    for line in log:
        if ("warning" in line or "error" in line) and "flapping" not in line:
            told.setdefault("log", []).append(line)
    return told


def judge(life, call, error, mode, calls, hits, told):
    rows = ROWS[life.options.secure]
    counted = rows.counted.get(call, "") + " " + rows.counted.get((call, mode), "")
    if not hits:
        return f"never failed: {calls} calls"
    if (call, error) in rows.unseen and told:
        return f"should be unseen: {told}"
    if error in counted.split() and mode != "tenth" and not set(told) - {"log"}:
        return "nothing counts it"
    return ""


def run_cell(life, tap, call, error, mode):
    # the first call may be the goodbye of a session that is over, of which nothing comes, or its renewal, which the moved
    # clock outruns: once more
    for last in (mode != "first", True):
        before = life.daemon.stats()
        life.log.read()
        begin = time.monotonic()
        calls, hits = life.fail(call, error, mode)
        armed = time.monotonic()
        why, after = life.recover()
        log = life.log.read().splitlines()
        told = said(call, before, after, log) if after else {}
        why = why or judge(life, call, error, mode, calls, hits, told)
        if last or not why.startswith(("nothing counts it", "should be unseen")):
            break
    tap.ok(not why, f"{call} {error}, {mode}", why)
    if why or life.options.verbose or time.monotonic() - begin > 2:
        tap.diag(f"{hits} of {calls} calls failed; {told}; {armed - begin:.2f} + {time.monotonic() - armed:.2f} s")
        for line in log[:20 if why else 6]:
            tap.diag("log: " + line)
    return life.daemon.alive() and after is not None and not life.trouble(after)


def run_lasting(life, tap, call, error):
    """All calls fail for a while of real time."""
    life.injection.arm(call, error, "always")
    began = busy = life.cpu_s()
    for turn in range(10):
        if turn < 3:
            life.stimulate(call)
        time.sleep(0.05)
        busy = life.cpu_s()
    calls, hits = life.injection.disarm()
    why, _ = life.recover()
    if not hits:
        why = why or "never failed"
    elif calls > 5000:
        why = why or f"it spins: {calls} calls, {busy - began:.2f} s of processor time"
    tap.ok(not why, f"{call} {error}, for half a second", why)
    if life.options.verbose:
        tap.diag(f"{hits} of {calls} calls failed; {busy - began:.2f} s of processor time")


def main():
    parser = table_options("log", "sent", numbers=["pid"])
    parser.add_argument("--secure", choices=("tls", "dtls"), default="")
    options = parser.parse_args()
    tap = Tap(options.tap)
    life = Life(options)
    why, _ = life.recover()
    if not tap.ok(not why, "all collectors are served", why):
        sys.exit(1)
    begin, n_cells, rows = time.monotonic(), 0, ROWS[options.secure]
    for call, errors in rows.table:
        if options.only and call not in options.only.split(","):
            continue
        for error in errors.split():
            for mode in MODES:
                n_cells += 1
                if not run_cell(life, tap, call, error, mode) and not life.daemon.alive():
                    tap.diag("the daemon is dead: the rest of the table is not run")
                    tap.close()
                    sys.exit(1)
    for call, errors in rows.lasting:
        for error in errors.split():
            if not options.only or call in options.only.split(","):
                run_lasting(life, tap, call, error)
                n_cells += 1
    tap.diag(f"{n_cells} cells in {time.monotonic() - begin:.0f} s; calls that it never makes: "
             + " ".join(life.injection.never_called()))
    with open(options.sent, "w") as sent:
        sent.write(f"{life.traffic.packets} {life.traffic.octets}\n")
    tap.close()


main()
