#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast memory grows: slope.py FILE FROM, with lines "seconds kB ..." in FILE; prints KiB per minute.

What a leak raises is the floor: the least of every ten seconds. Its slope is the median of the slopes between any two
of them (Theil and Sen), which no single burst moves.
"""
import collections
import statistics
import sys

floors = collections.defaultdict(list)
for line in open(sys.argv[1]):
    seconds, kb = map(int, line.split()[:2])
    if seconds >= int(sys.argv[2]):
        floors[seconds // 10].append(kb)
points = [(10 * window, min(values)) for window, values in sorted(floors.items()) if len(values) > 1]
slopes = [(b[1] - a[1]) * 60 / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1 :]]
print(f"{statistics.median(slopes):.3f}" if slopes else "none")
