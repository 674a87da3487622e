#!/bin/bash
# SPDX-License-Identifier: MIT
# The two strict decoders, one in Python, one in C, agree: on what the exporter sends with each template, and on each of
# these messages with an octet changed, or an octet less. Neither was made from the other's code.
. "$(dirname "$0")/../lib.sh"
need python3

emit=$build/tests/tools/emit
for golden in "$src"/tests/golden/*.hex; do
	name=$(basename "$golden" .hex)
	BPFLOWD_SRC=$src "$emit" "${name#*-}" "${name%%-*}" pcap >"$work/$name.pcap" 2>/dev/null || bail "emit: $name"
	python3 - "$src" "$build/tests/tools/strict_check" "$work/$name.pcap" "$work/recording" >"$work/out" 2>&1 <<-'END'
		import argparse, struct, subprocess, sys

		sys.path.insert(0, sys.argv[1] + "/tests/tools")
		sys.dont_write_bytecode = True
		import strict

		def packets(data):
		    at = 24
		    while at < len(data):
		        size = struct.unpack_from("<I", data, at + 8)[0]
		        yield data[at + 16 + 28 : at + 16 + size]
		        at += 16 + size

		def sessions(messages):
		    """As sent; then each octet inverted, incremented, and each message cut, by turns."""
		    yield messages
		    for i, message in enumerate(messages):
		        for at in range(len(message)):
		            changed = bytearray(message)
		            if at % 3 == 2:
		                del changed[at:]
		            else:
		                changed[at] = changed[at] ^ 0xFF if at % 3 else (changed[at] + 1) & 0xFF
		            yield messages[:i] + [bytes(changed)] + messages[i + 1 :]

		def judge(messages):
		    checker = strict.Checker(argparse.Namespace(src=[], records=False, flows=False))
		    for message in messages:
		        checker.message(message, 0, 0)
		    c = checker.count
		    return c["messages"], c["templates"], c["withdrawals"], c["records"], c["options_records"], checker.errors

		cases = list(sessions(list(packets(open(sys.argv[3], "rb").read()))))
		with open(sys.argv[4], "wb") as out:
		    out.write(strict.MAGIC)
		    for session, messages in enumerate(cases):
		        for message in messages:
		            out.write(strict.FRAME.pack(0, session, len(message)) + message)
		verdicts = subprocess.run([sys.argv[2], sys.argv[4]], check=True, text=True, capture_output=True).stdout.splitlines()
		assert len(verdicts) == len(cases), (len(verdicts), len(cases))
		differ = wrong = 0
		for session, (messages, line) in enumerate(zip(cases, verdicts)):
		    *numbers, errors = judge(messages)
		    wrong += bool(errors)
		    mine = f"{session} {' '.join(map(str, numbers))} {'wrong' if errors else 'right'}"
		    if mine != line.split(":")[0]:
		        differ += 1
		        if differ < 10:
		            print(f"{mine} {errors[:1]} / {line}")
		print(f"{len(cases)} sessions, {wrong} wrong, {differ} differ, as sent: {verdicts[0].split(':')[0].split()[-1]}")
	END
	[[ $(tail -n 1 "$work/out") == *", 0 differ, as sent: right" ]]
	ok $? "$name: $(tail -n 1 "$work/out")" || diag <"$work/out"
done
done_testing
