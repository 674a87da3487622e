#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hours pass for the daemon, with packets in each of them: moves its clocks in steps, and sends flows in each step.
Prints how many packets, and octets."""
import sys

from control import Daemon, Injection, Traffic, options, wait_for


def main():
    args = options(numbers=("steps", "seconds", "flows")).parse_args()
    injection = Injection(args.control)
    daemon = Daemon(args.socket, 0)
    traffic = Traffic(args.far, "veth0", args.mac)
    before = daemon.stats().get("observed_packets_total")

    def settled():
        stats = daemon.stats()
        return (stats and stats.get("observed_packets_total") - before == traffic.packets
                and not stats.get("cached_packets"))

    for step in range(args.steps):
        traffic.send(args.flows, source=f"10.65.{step >> 8 & 255}.{step & 255}")
        injection.shift(args.seconds)
        if not wait_for(10, settled):
            sys.exit(f"step {step}: the packets are not all observed and exported")
    print(traffic.packets, traffic.octets)


main()
