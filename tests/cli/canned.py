#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A daemon's control socket with canned answers: canned.py SOCKET, until it is killed.

The rates of two questions differ, so that `top` has something to show."""
import json
import os
import socket
import sys


def flow(i, asked):
    row = {
        "sourceIPv4Address": f"192.0.2.{i}", "destinationIPv4Address": "198.51.100.9",
        "sourceTransportPort": 40000 + i, "destinationTransportPort": 443, "protocolIdentifier": 6,
        "ipVersion": 4, "ingressInterface": 2, "egressInterface": 3, "flowDirection": 0,
        "ingressInterfaceName": "lan0", "egressInterfaceName": "wan0", "tcpControlBits": 0x1b,
        "flowStartMilliseconds": 1700000000000, "flowEndMilliseconds": 1700000002500,
        "packetDeltaCount": 10 * i + asked * i, "octetDeltaCount": 1000 * i + asked * 125000 * i,
    }
    if i == 2:
        del row["sourceIPv4Address"], row["destinationIPv4Address"]
        row |= {"sourceIPv6Address": "2001:db8::2", "destinationIPv6Address": "2001:db8::9", "ipVersion": 6}
    return row


def metric(name, *samples, kind="counter"):
    return {"name": name, "type": kind, "help": "", "samples": list(samples)}


def histogram(labels, counts):
    bounds = [0.001, 0.01, 0.1, None]
    return {"labels": labels, "count": sum(counts), "sum": 0.5,
            "buckets": [{"up_to": b, "count": c} for b, c in zip(bounds, counts)]}


def stats(asked):
    return {"metrics": [
        metric("flows_active", {"labels": {}, "value": 40}, kind="gauge"),
        metric("flows_created_total", {"labels": {}, "value": 100 + 7 * asked}),
        metric("observed_packets_total", {"labels": {"direction": "ingress"}, "value": 5000 * asked}),
        metric("observed_octets_total", {"labels": {"direction": "ingress"}, "value": 1000000 * asked}),
        metric("lost_packets_total", {"labels": {"place": "queue", "collector": "primary"}, "value": 17},
               {"labels": {"place": "flow_table"}, "value": 0}),
        metric("dropped_packets_total", {"labels": {"reason": "NETFILTER_DROP", "interface": "lan0"}, "value": 30 * asked},
               {"labels": {"reason": "NETFILTER_DROP", "interface": "wan0"}, "value": 20 * asked},
               {"labels": {"reason": "NO_SOCKET"}, "value": 3}),
        metric("dns_latency_seconds", histogram({}, [1, 90, 9, 0]), kind="histogram"),
        metric("dns_unanswered_total", {"labels": {}, "value": 4}),
        metric("rtt_seconds", histogram({"side": "client"}, [5, 0, 0, 0]),
               histogram({"side": "server"}, [0, 0, 0, 8]), kind="histogram"),
    ]}


COLLECTORS = [
    {"name": "primary", "address": "2001:db8::10", "port": 4739, "protocol": "ipfix", "transport": "tcp",
     "template": "standard", "up": False, "sent_flows": 12, "sent_packets": 345, "sent_messages": 6,
     "queued_bytes": 1536, "lost_flows": 2, "lost_packets": 17, "last_error": "connection refused"},
    {"name": "archive", "file": "/var/lib/flows.ipfix", "protocol": "ipfix", "transport": "file",
     "template": "full", "up": True, "sent_flows": 14, "sent_packets": 362, "sent_messages": 7,
     "queued_bytes": 0, "lost_flows": 0, "lost_packets": 0, "last_error": ""},
]
INTERFACES = [
    {"name": "lan0", "netns": "", "ifindex": 2, "up": True, "metered": True, "ingress": "tcx", "egress": "tcx",
     "ingress_packets": 10, "ingress_octets": 1000, "egress_packets": 0, "egress_octets": 0, "error": ""},
    {"name": "we\x1b[31mird\n", "netns": "blue", "ifindex": 3, "up": False, "metered": False, "ingress": "",
     "egress": "", "ingress_packets": 0, "ingress_octets": 0, "egress_packets": 0, "egress_octets": 0,
     "error": "no permission"},
]
FLUSHED = {"flows": 40, "queued_bytes": 99, "waiting": [
    {"collector": "primary", "up": False, "queued_flows": 3, "queued_bytes": 99, "last_error": "connection refused"}]}
TEMPLATES = [{"name": "standard", "format": "ipfix", "records": [
    {"id": 256, "name": "ipv4", "fields": [{"name": "sourceIPv4Address"}, {"name": "octetDeltaCount"}]},
    {"id": 257, "name": "ipv6", "fields": [{"name": "sourceIPv6Address"}]}]}]


def answer(request, asked):
    verb = request["verb"]
    if verb == "flows":
        flows = [flow(i, asked) for i in range(1, 41)]
        shown = flows[:request.get("limit", 3)]
        return {"flows": shown, "matched": len(flows), "total": len(flows), "request": request}
    return {
        "stats": stats(asked), "collectors": {"collectors": COLLECTORS}, "interfaces": {"interfaces": INTERFACES},
        "templates": {"templates": TEMPLATES}, "flush": FLUSHED,
        "drops": {"drops": [{"reason": "NETFILTER_DROP", "cause": 8, "interface": "lan0", "netns": "",
                             "packets": 50, "octets": 4200}]},
        "reload": {"error": "bpflowd.yaml:3:1: exporter: unknown key"},
    }[verb]


path = sys.argv[1]
server = socket.socket(socket.AF_UNIX)
server.bind(path + ".new")
server.listen()
os.rename(path + ".new", path)  # whoever sees it can connect
asked = 0
while True:
    client, _ = server.accept()
    with client, client.makefile("r") as lines:
        line = lines.readline()
        if not line:
            continue
        request = json.loads(line)
        asked += request["verb"] == "flows"
        client.sendall(json.dumps(answer(request, asked)).encode() + b"\n")
