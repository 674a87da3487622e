#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hours pass for the daemon, with packets in each of them: moves its clocks in steps, and sends flows in each step.
Prints how many packets, and octets."""
import argparse
import sys

from control import Daemon, Injection, Traffic, wait_for


def main():
    parser = argparse.ArgumentParser()
    for name in ("control", "socket", "far", "mac"):
        parser.add_argument("--" + name, required=True)
    for name in ("steps", "seconds", "flows"):
        parser.add_argument("--" + name, type=int, required=True)
    options = parser.parse_args()
    injection = Injection(options.control)
    daemon = Daemon(options.socket, 0)
    traffic = Traffic(options.far, "veth0", options.mac)
    before = daemon.stats().get("observed_packets_total")

    def settled():
        stats = daemon.stats()
        return (stats and stats.get("observed_packets_total") - before == traffic.packets
                and not stats.get("cached_packets"))

    for step in range(options.steps):
        traffic.send(options.flows, source=f"10.65.{step >> 8 & 255}.{step & 255}")
        injection.shift(options.seconds)
        if not wait_for(10, settled):
            sys.exit(f"step {step}: the packets are not all observed and exported")
    print(traffic.packets, traffic.octets)


main()
