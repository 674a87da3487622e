#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""System calls that fail while the daemon starts; start.sh starts it. Each start ends in one sentence and status 1 or 2, or
in a daemon that runs and ends with status 0 when told to. GLib itself aborts where it can't go on, with its own words."""
import signal
import time

from control import Injection, Run, Tap, table_options, wait_for

TABLE = [
    ("socket", "EMFILE ENFILE ENOMEM ENOBUFS EPERM EAGAIN"),
    ("bind", "EADDRINUSE ENOMEM EPERM EIO"),
    ("listen", "EADDRINUSE EPERM"),
    ("setsockopt", "ENOMEM EPERM EIO"),
    ("sendto", "ENOBUFS ENOMEM EPERM EIO"),
    ("recvmsg", "ENOBUFS ENOMEM EINTR EIO"),
    ("getsockname", "ENOBUFS EIO"),
    ("open", "EMFILE ENFILE ENOMEM EPERM EIO EINTR"),
    ("read", "EINTR EIO ENOMEM"),
    ("stat", "EIO ENOMEM"),
    ("fstat", "EIO ENOMEM"),
    ("mmap", "ENOMEM EAGAIN EPERM ENFILE"),
    ("bpf", "EMFILE ENFILE ENOMEM EPERM EINTR EAGAIN ENOSPC EIO"),
    ("epoll_create1", "EMFILE ENFILE ENOMEM"),
    ("epoll_ctl", "ENOMEM ENOSPC EPERM"),
    ("eventfd", "EMFILE ENFILE ENOMEM"),
    ("fcntl", "EINTR EIO"),
    ("ioctl", "EIO"),
    ("close", "EINTR EIO"),
    ("poll", "EINTR ENOMEM"),
    ("write", "EIO ENOSPC"),
]
MODES = ("first", "tenth", "every third")


def run_cell(options, injection, tap, call, error, mode):
    injection.arm_before(options.names, call, error, mode)
    run = Run(options)
    ran = run.up(20)
    calls, hits = injection.disarm()
    answered = bool(wait_for(5, lambda: run.daemon.ask("stats", timeout=1) or run.ended())) if ran else False
    status = run.end()
    lines = run.lines()
    told = [line for line in lines if line.startswith(("error: ", options.config)) or "loading shared libraries" in line]
    name = f"start: {call} {error}, {mode}"
    aborted = status in (-signal.SIGABRT, -signal.SIGTRAP) and any("GLib" in line for line in lines)
    if not hits:
        return None
    if ran:
        passed = answered and status == 0
    else:
        passed = (status in (1, 2) and len(told) >= 1) or aborted
    tap.ok(passed, name, f"{'ran, ' if ran else ''}status {status}, {hits} of {calls} failed")
    if not passed or options.verbose:
        tap.diag(f"{'ran' if ran else 'ended'}, status {status}, {hits} of {calls} failed")
        tap.diag("\n".join(lines[-8:]))
    return "ran" if ran else "aborted by GLib" if aborted else "ended in a sentence"


def main():
    options = table_options("log", "daemon").parse_args()
    tap = Tap(options.tap)
    injection = Injection(options.control)
    options.names = injection.numbers()
    ends, unreached, begin = {}, [], time.monotonic()
    for call, errors in TABLE:
        if options.only and call not in options.only.split(","):
            continue
        for error in errors.split():
            for mode in MODES:
                if (call, mode) in unreached:
                    continue
                end = run_cell(options, injection, tap, call, error, mode)
                if end:
                    ends[end] = ends.get(end, 0) + 1
                else:
                    unreached.append((call, mode))
    tap.diag(f"{sum(ends.values())} starts in {time.monotonic() - begin:.0f} s: "
             + ", ".join(f"{n} {end}" for end, n in ends.items()))
    tap.diag("too few calls at a start: " + ", ".join(f"{call}, {mode}" for call, mode in unreached))
    tap.close()


main()
