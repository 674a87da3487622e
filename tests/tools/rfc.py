#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The RFC checklist of tests/rfc.tsv.

rfc.py programs          the tests that it names, as make check TESTS= wants them
rfc.py report BUILD      what their logs say: a line for each row, exit status 1 if any fails or is missing
rfc.py tap BUILD         the same as TAP, without the rows that do not apply
rfc.py readme            the table of rows that do not apply or need make check-vm, for the README
rfc.py check SOURCE      the table is complete, its files exist, the README has its table
"""
import pathlib
import re
import sys

ROWS = 76
TABLE = pathlib.Path(__file__).resolve().parent.parent / "rfc.tsv"
TAP = re.compile(r"(ok|not ok) \d+ (?:- )?(.*)")


class Row:
    def __init__(self, line):
        self.number, self.level, self.what, tests = line.split("\t")
        kind, _, reason = tests.partition(": ") if tests.startswith("n/a") else ("", "", "")
        self.kind, self.reason = kind, reason
        self.tests = [] if kind else [tuple(test.strip().partition("#")[::2]) for test in tests.split(";")]
        self.needs_vm = any(path.startswith("vm/") for path, _ in self.tests)


def rows():
    return [Row(line) for line in TABLE.read_text().splitlines() if not line.startswith("#")]


def programs():
    """All but those of make check-vm, which takes a while: report() reads its log if there is one."""
    return sorted({f"tests/{path}" for row in rows() for path, _ in row.tests if not path.startswith("vm/")})


def results(build, path):
    """(passed, name, skipped) of every case in the log of a test; none if it has not run."""
    log = pathlib.Path(build) / "tests" / (path.removesuffix(".sh") + ".log")
    if not log.exists():
        return
    for line in log.read_text(errors="replace").splitlines():
        match = TAP.fullmatch(line)
        if match:
            name, _, skip = match[2].partition(" # SKIP")
            yield match[1] == "ok", name, bool(skip)


def is_named(name, wanted):
    if wanted.startswith("/"):
        return name == wanted or name.startswith(wanted + "/")
    return wanted in name


def judge(build, row):
    """The verdict on a row and what is to blame."""
    skipped = []
    for path, wanted in row.tests:
        cases = [case for case in results(build, path) if is_named(case[1], wanted)]
        if not cases and row.needs_vm and not next(results(build, path), None):
            return "vm", "make check-vm has not run"
        if not cases:
            return "MISSING", f"{path}: no case {wanted}"
        failed = [name for passed, name, _ in cases if not passed]
        if failed:
            return "FAIL", f"{path}: {failed[0]}"
        skipped += [f"{path}: {name}" for _, name, skip in cases if skip]
    return ("skip", skipped[0]) if skipped else ("pass", "")


def report(build):
    verdicts = []
    for row in rows():
        verdict, blame = (row.kind, row.reason) if row.kind else judge(build, row)
        verdicts.append(verdict)
        print(f"{row.number:>2} {verdict:<7} {row.level:<6} {row.what}" + (f" [{blame}]" if blame else ""))
    print(", ".join(f"{verdicts.count(name)} {name}" for name in sorted(set(verdicts))))
    return any(verdict in ("FAIL", "MISSING") for verdict in verdicts)


def tap(build):
    applying = [row for row in rows() if not row.kind]
    failed = 0
    for i, row in enumerate(applying, 1):
        verdict, blame = judge(build, row)
        bad = verdict in ("FAIL", "MISSING")
        failed += bad
        skip = {"skip": f" # SKIP kernel: {blame}", "vm": f" # SKIP {blame}"}.get(verdict, "")
        print(f"{'not ok' if bad else 'ok'} {i} - row {row.number}: {row.what}{skip}")
        if bad:
            print(f"# {blame}")
    print(f"1..{len(applying)}")
    return bool(failed)


def readme():
    lines = ["| row | what | |", "| --- | --- | --- |"]
    for row in rows():
        if row.needs_vm:
            lines.append(f"| {row.number} | {row.what} | `make check-vm`: needs a kernel with SCTP, a virtual machine |")
        elif row.kind:
            lines.append(f"| {row.number} | {row.what} | {row.reason} |")
    return "\n".join(lines)


def check(source):
    source = pathlib.Path(source)
    complaints = []
    if [int(row.number) for row in rows()] != list(range(1, ROWS + 1)):
        complaints.append(f"the rows are not 1 to {ROWS}")
    for program in {f"tests/{path}" for row in rows() for path, _ in row.tests}:
        if not any((source / (program + end)).exists() for end in ("", ".c")):
            complaints.append(f"{program} does not exist")
    if readme() not in (source / "README.md").read_text():
        complaints.append("the README lacks the table that `tests/tools/rfc.py readme` prints")
    for i, name in enumerate(("rows", "files and README"), 1):
        mine = [text for text in complaints if text.startswith("the rows") == (i == 1)]
        print(f"{'not ok' if mine else 'ok'} {i} - {name}", *[f"# {text}" for text in mine], sep="\n")
    print("1..2")
    return bool(complaints)


def main():
    verb, rest = sys.argv[1], sys.argv[2:]
    if verb == "programs":
        print(*programs())
    elif verb == "readme":
        print(readme())
    else:
        return {"report": report, "tap": tap, "check": check}[verb](*rest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
