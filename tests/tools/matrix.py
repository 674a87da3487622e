#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares what collectors show of real packets with the packets, for tests/e2e/matrix.sh: matrix.py DIRECTORY.

Prints "ok NAME" or "fault NAME" and why, for each collector and what it was sent: every value of every flow must be right or
not shown at all. Writes DIRECTORY/matrix.md: a row for each metric, who shows it from what.
"""
import glob, itertools, json, sys
from collections import defaultdict

import readers

SUMS = {"packets", "octets", "dropped_packets", "dropped_octets"}
TOLERANCE = {"start": 2, "end": 2}  # ms
LATENCY_TOLERANCE = 2000  # us; less than twice that is no evidence of a latency
CLASS_OF_FIREWALL, FORWARDED = 130, 64  # forwardingStatus
ESTABLISHED = 1
DOCUMENTATION_PEN = 32473
ICMP = (1, 58)
NOT_IP = ("not IP",)
METRICS = {
    "flows of IP": ["src", "dst"], "other flows (ARP)": ["other"], "ports": ["sport", "dport"], "protocol": ["proto"], "ICMP type and code": ["icmp"],
    "packets": ["packets"], "octets": ["octets"], "TCP flags": ["flags"], "TOS, traffic class": ["tos"],
    "interfaces": ["in", "out"], "interface names": ["in_name", "out_name"], "direction": ["direction"],
    "MAC addresses": ["smac", "dmac"], "VLAN": ["vlan"], "start and end to the millisecond": ["start", "end"],
    "flow end reason": ["reason"], "TTL, hop limit": ["ttl_min", "ttl_max"], "packet lengths": ["len_min", "len_max"],
    "dropped packets": ["dropped_packets"], "dropped octets": ["dropped_octets"], "forwarding status": ["fwd"],
    "drop cause": ["cause"], "drop cause by name": ["cause_name"], "TCP state at drop": ["tcp_state"],
    "RTT to the server": ["rtt_server"], "RTT to the client": ["rtt_client"], "RTT of local sockets": ["rtt_local"],
    "DNS id": ["dns_id"], "DNS question type": ["dns_type"], "DNS response code": ["dns_rcode"], "DNS name": ["dns_name"],
    "DNS latency": ["dns_latency"],
}
COLLECTORS = ["nfdump", "nfacctd", "tshark", "ipfixDump", "ipfix2csv"]
ONLY_IPFIX = ["ipfixDump", "ipfix2csv"]
TEMPLATES = ["standard", "minimal", "nfdump", "ntopng", "elastiflow", "cert", "full"]


# ---- the truth

def number(packet, *names):
    return next((int(packet[name], 0) for name in names if name in packet), 0)


def key_of(packet):
    if number(packet, "eth.type", "vlan.etype") == 0x8100:
        ethertype = number(packet, "vlan.etype")
    else:
        ethertype = number(packet, "eth.type")
    if ethertype not in (0x0800, 0x86dd):
        return NOT_IP
    ports = number(packet, "tcp.srcport", "udp.srcport"), number(packet, "tcp.dstport", "udp.dstport")
    return (packet.get("ip.src") or packet["ipv6.src"], packet.get("ip.dst") or packet["ipv6.dst"], *ports,
            number(packet, "ip.proto", "ipv6.nxt"))


def length(packet):
    if "ip.len" in packet:
        return number(packet, "ip.len")
    return 40 + number(packet, "ipv6.plen") if "ipv6.plen" in packet else 28  # ARP


def describe(packets):
    """Values of a flow, from its packets at the interface where it is counted."""
    first, times = packets[0], [float(p["frame.time_epoch"]) * 1000 for p in packets]
    ttls, lengths, flags = [number(p, "ip.ttl", "ipv6.hlim") for p in packets], [length(p) for p in packets], 0
    for p in packets:
        flags |= number(p, "tcp.flags") & 0xff
    flow = {
        "packets": len(packets), "octets": sum(lengths), "tos": number(first, "ip.dsfield", "ipv6.tclass"), "flags": flags,
        "smac": first["eth.src"], "dmac": first["eth.dst"], "vlan": number(first, "vlan.id"), "start": min(times), "end": max(times),
        "ttl_min": min(ttls), "ttl_max": max(ttls), "len_min": min(lengths), "len_max": max(lengths), "fwd": FORWARDED,
        "icmp": number(first, "icmp.type", "icmpv6.type") * 256 + number(first, "icmp.code", "icmpv6.code"),
        "reason": {1}, "dropped_packets": 0, "dropped_octets": 0,
    }
    key = key_of(first)
    if len(key) > 1:
        flow.update(zip(("src", "dst", "sport", "dport", "proto"), key))
        if flow["proto"] in ICMP:
            flow["dport"] = 0
    if flags & 1:
        flow["reason"] = {3}
    return flow


def reverse(key):
    return (key[1], key[0], key[3], key[2], key[4])


def add_rtt(flows, seen):
    """seen: key -> packets in order of time, as the router saw them first"""
    for key, packets in seen.items():
        if not number(packets[0], "tcp.flags") & 2 or number(packets[0], "tcp.flags") & 16:
            continue
        at = lambda packet: float(packet["frame.time_epoch"]) * 1e6
        syn, answer = at(packets[0]), at(seen[reverse(key)][0])
        ack = next(at(p) for p in packets if number(p, "tcp.flags") & 16)
        for side in key, reverse(key):
            flows[side]["rtt_server"], flows[side]["rtt_client"] = answer - syn, ack - answer


def add_dns(flows, seen):
    for key, packets in seen.items():
        if "dns.id" not in packets[0] or number(packets[0], "dns.flags.response"):
            continue
        question, answer = packets[0], seen[reverse(key)][0]
        for side in key, reverse(key):
            flows[side].update(
                dns_id=number(question, "dns.id"), dns_type=number(question, "dns.qry.type"), dns_name=question["dns.qry.name"],
                dns_rcode=number(answer, "dns.flags.rcode"),
                dns_latency=(float(answer["frame.time_epoch"]) - float(question["frame.time_epoch"])) * 1e6)


def add_drops(flows, directory):
    """What the firewall counted, with the kernel's own number of the reason."""
    counters = json.load(open(f"{directory}/dropped.json"))
    assert counters["forward"]["packets"] and counters["input"]["packets"], "the firewall has dropped nothing"
    for key, flow in flows.items():
        counter = {9009: "forward", 7002: "input"}.get(flow.get("dport"))
        if counter:
            flow.update(dropped_packets=counters[counter]["packets"], dropped_octets=counters[counter]["bytes"],
                        cause=counters["cause"], cause_name="NETFILTER_DROP", fwd=CLASS_OF_FIREWALL)
            flow["tcp_state"] = ESTABLISHED if flow["proto"] == 6 else 0
        if flow.get("dport") == 9010:
            flow["reason"] = {1, 2}  # longer than the active timeout
        if key[0] == "10.3.0.4":
            flow["reason"] = {4}  # bpflowctl flush
        if 7002 in (flow.get("sport"), flow.get("dport")):
            flow["rtt_local"] = flow["rtt_client"]


def the_truth(directory):
    links = {link["ifname"]: link for link in json.load(open(f"{directory}/links.json"))}
    incoming, outgoing, seen = defaultdict(list), defaultdict(list), defaultdict(list)
    for packet in sorted(readers.packets(f"{directory}/packets.pcap"), key=lambda p: float(p["frame.time_epoch"])):
        leaves = packet["eth.src"] == links[packet["frame.interface_name"]]["address"]
        (outgoing if leaves else incoming)[key_of(packet)].append(packet)
        seen[key_of(packet)].append(packet)
    flows = {}
    for key in seen:
        flows[key] = describe(incoming[key] or outgoing[key])
        flows[key]["direction"] = 0 if incoming[key] else 1
        for way, packets in ("in", incoming[key]), ("out", outgoing[key]):
            link = links[packets[0]["frame.interface_name"]] if packets else {}
            flows[key][way] = link.get("ifindex", 0)
            flows[key][way + "_name"] = {link.get("ifname"), link.get("ifalias")} - {None}
    add_rtt(flows, seen)
    add_dns(flows, seen)
    add_drops(flows, directory)
    return flows


# ---- what was shown

def key_of_record(record):
    if not record.get("src") or not record.get("proto"):
        return NOT_IP
    ports = (0, 0) if record["proto"] in ICMP else (record["sport"], record["dport"])
    return (record["src"], record["dst"], *ports, record["proto"])


def is_nothing(value):
    return value in (None, 0, "", (0, 0), "00:00:00:00:00:00", "0.0.0.0", "::")


def is_right(name, values, flow):
    truth = flow[name]
    if name == "dport" and flow["proto"] in ICMP:
        return set(values) == {flow["icmp"]}  # its place in NetFlow v9
    if name in SUMS:
        return sum(values) == truth
    if name == "flags":
        return max(values) == truth
    if name == "fwd":
        return max(values) == truth
    if name == "reason":
        return set(values) == truth
    if name in TOLERANCE:
        return abs((min if name == "start" else max)(values) - truth) <= TOLERANCE[name]
    if name in readers.LATENCIES:
        slack = truth if name == "rtt_local" else LATENCY_TOLERANCE  # the kernel smooths it
        return all(low <= truth + slack and truth - slack <= high for low, high in values)
    if name.endswith("_name") and isinstance(truth, set):
        return set(values) <= truth
    if name in ("ttl_min", "len_min"):
        return min(values) == truth
    if name in ("ttl_max", "len_max"):
        return max(values) == truth
    return set(values) == {truth}


def counts_as_evidence(name, truth):
    if name in readers.LATENCIES:
        return (truth or 0) > 2 * LATENCY_TOLERANCE
    return bool(truth)


def with_drops_as_traffic(flow):
    """What records of drops look like to whom forwardingStatus says nothing."""
    return {**flow, "packets": flow["packets"] + flow["dropped_packets"], "octets": flow["octets"] + flow["dropped_octets"]}


def set_drops_apart(records):
    """A record of drops (drops: record) tells so by forwardingStatus. False if it isn't shown."""
    for record in records:
        if record.get("fwd", 0) >= 128 and not record.get("dropped_packets"):
            record["dropped_packets"], record["dropped_octets"] = record.pop("packets"), record.pop("octets")
    return any(record.get("fwd") for record in records)


class Reading:
    """One collector's records of one template and protocol, held against the truth."""

    def __init__(self, collector, template, protocol, records, flows):
        self.name = f"{collector}, {template} over {protocol}"
        self.faults, self.shown = [], {}
        if template == "nfdump" and not set_drops_apart(records):
            flows = {key: with_drops_as_traffic(flow) for key, flow in flows.items()}
        self.by_key = defaultdict(list)
        for record in records:
            self.by_key[key_of_record(record)].append(record)
        self.shown["other"] = NOT_IP in self.by_key
        for key in (set(self.by_key) ^ set(flows)) - {NOT_IP}:
            self.faults.append(f"{key}: {'not there' if key in flows else 'never sent'}")
        for name in (name for names in METRICS.values() for name in names if name != "other"):
            self.judge(name, flows)

    def judge(self, name, flows):
        verdicts = set()
        for key, flow in flows.items():
            values = [record[name] for record in self.by_key[key] if not is_nothing(record.get(name))]
            if not values and not counts_as_evidence(name, flow.get(name)):
                continue
            if not values and key == NOT_IP:
                continue  # has fewer fields
            if not values:
                verdicts.add(False)
            elif name in flow and is_right(name, values, flow):
                verdicts.add(True)
            else:
                self.faults.append(f"{key}: {name} is {values}, should be {flow.get(name)}")
        if verdicts == {True, False}:
            self.faults.append(f"{name}: shown for some flows only")
        self.shown[name] = verdicts == {True}

    def shows(self, metric):
        return all(self.shown[name] for name in METRICS[metric])


def columns(templates, template, own):
    """ipfix2csv prints what has all of its columns: those of each record of the template that it knows."""
    form = next(t for t in templates["templates"] if t["name"] == template and t["format"] == "ipfix")
    known = lambda field: not field["enterprise"] or own and field["enterprise"] == DOCUMENTATION_PEN
    return [[field["name"] for field in record["fields"] if known(field)] for record in form["records"]]


def readings(directory, definitions, flows):
    """Yields (collector, mode, template, protocol, records)"""
    templates = json.load(open(f"{directory}/templates.json"))
    combinations = [line.split() for line in open(f"{directory}/combinations")]
    ports = range(21000, 21000 + len(combinations))
    messages = readers.tshark_messages(f"{directory}/messages.pcap", ports)
    for port, (template, protocol) in zip(ports, combinations):
        at = f"{directory}/{template}-{protocol}"
        yield "nfdump", "native", template, protocol, readers.nfdump(glob.glob(f"{at}/nfcapd/nfcapd.2*")[0])
        for mode in "native", "definition":
            yield "nfacctd", mode, template, protocol, readers.nfacctd(f"{at}/nfacctd.json", mode == "definition")
        yield "tshark", "native", template, protocol, messages[port]
        if protocol != "ipfix":
            continue
        own = {"full": ["--rfc5610"], "cert": ["-y"]}.get(template, [])
        yield "ipfixDump", "native", template, protocol, readers.ipfixdump(f"{at}/file.ipfix", *own)
        yield "ipfixDump", "native", template, protocol, readers.ipfixdump(f"{at}/tcp.ipfix", *own)
        yield "ipfix2csv", "native", template, protocol, readers.ipfix2csv(f"{at}/file.ipfix", columns(templates, template, False))
        if template != "full":
            continue  # has none of our elements
        yield "ipfixDump", "definition", template, protocol, readers.ipfixdump(f"{at}/file.ipfix", "-e", f"{definitions}/bpflowd.xml")
        yield "ipfix2csv", "definition", template, protocol, readers.ipfix2csv(
            f"{at}/file.ipfix", columns(templates, template, True), "-s", f"{definitions}/bpflowd.iespec")


SAME = ["src", "dst", "sport", "dport", "proto", "icmp", "packets", "octets", "flags", "tos", "in", "out", "in_name", "out_name",
        "direction", "smac", "dmac", "vlan", "start", "end"]


def rows(records, names):
    """Comparable, whatever the order; destination ports of ICMP are NetFlow v9's place for type and code."""
    def value(record, name):
        return 0 if name in ("sport", "dport", "icmp") and record.get("proto") in (*ICMP, 0, None) else record.get(name)

    return sorted(str([value(record, name) for name in names]) for record in records)


def same_rows(kept):
    """Yields (name, fault): the same flows must make the same rows, whatever template and protocol carried them."""
    for (collector, template), by_protocol in kept.items():
        if len(by_protocol) < 2 or collector == "nfacctd":  # no milliseconds from NetFlow v9
            continue
        ipfix, netflow9 = (rows(by_protocol[protocol], SAME) for protocol in ("ipfix", "netflow9"))
        yield f"{collector}, {template}: the same rows from IPFIX and NetFlow v9", set(ipfix) ^ set(netflow9)
    names = ["src", "dst", "proto", "packets", "octets", "start", "end"]
    reference = rows((r for r in kept["ipfixDump", "full"]["ipfix"] if r.get("src")), names)
    for (collector, template), by_protocol in kept.items():
        records = by_protocol["ipfix"]
        if template != "nfdump":  # its drops are rows too
            yield (f"{collector}, {template}: the flows of full, to the millisecond",
                   set(rows((r for r in records if r.get("proto")), names)) ^ set(reference))


def same_latencies(kept):
    """Yields (name, fault): a latency in coarser units is that of full, rounded up."""
    exact = {(key_of_record(r), r["start"]): r for r in kept["ipfixDump", "full"]["ipfix"]}
    for collector, template in ("tshark", "ntopng"), ("tshark", "elastiflow"), ("ipfixDump", "cert"), ("nfdump", "nfdump"):
        for protocol, records in kept[collector, template].items():
            faults, found = [], 0
            for record in records:
                for name in readers.LATENCIES & set(record):
                    low, high = record[name]
                    us = exact[key_of_record(record), record["start"]].get(name, (0, 0))[1]
                    found += high > 0
                    if not (low < us <= high or low == us == high or high == 0):
                        faults.append(f"{key_of_record(record)}: {name} in {low}...{high}, full has {us}")
            if found or (collector, protocol) != ("nfdump", "ipfix"):
                yield f"{collector}, {template} over {protocol}: latencies are those of full, rounded up", faults or ([] if found else ["none"])


def sampled(directory, shown):
    """Yields (name, faults): one packet in 100, scaled by the collector or at least annotated."""
    metric, sent = "sampling 1:100", json.load(open(f"{directory}/sent"))["packets"]
    total = lambda records: sum(record["packets"] for record in records)
    counted = total(readers.ipfixdump(f"{directory}/standard-ipfix/file.ipfix"))
    messages = readers.tshark_messages(f"{directory}/sampled.pcap", range(21000, 21002))
    yield "sampling: about one packet in 100", [] if abs(counted * 100 - sent) < sent * .2 else [f"{counted} of {sent}"]
    for port, protocol in enumerate(("ipfix", "netflow9"), 21000):
        at = f"{directory}/standard-{protocol}"
        scaled, noted = total(readers.nfdump(glob.glob(f"{at}/nfcapd/nfcapd.2*")[0])), readers.nfacctd(f"{at}/nfacctd.json", False)
        verdicts = {
            "nfdump": (scaled, counted * 100),
            "nfacctd": ((total(noted), {record["sampling"] for record in noted}), (counted, {100})),
            "tshark": ((total(messages[port]), readers.sampling_of_tshark(f"{directory}/sampled.pcap")), (counted, {100})),
        }
        if protocol == "ipfix":
            verdicts["ipfixDump"] = readers.sampling_of_ipfixdump(f"{at}/file.ipfix"), {100}
        for collector, (got, wanted) in verdicts.items():
            if got == wanted:
                shown[collector, metric]["native"].add(("standard", protocol))
            yield f"sampling: {collector} over {protocol}", [] if got == wanted else [f"{got}, should be {wanted}"]


def cell(shown, only_ipfix):
    """shown: mode -> set of (template, protocol)"""
    mode = "native" if shown["native"] else "definition"
    if not shown[mode]:
        return "-"
    templates = [t for t in TEMPLATES if t in {template for template, _ in shown[mode]}]
    protocols = {protocol for template, protocol in shown[mode] if template not in ("cert", "full")}
    text = {"native": "native", "definition": "by file"}[mode]
    if len(protocols) == 1 and not only_ipfix:
        text += ", v9" if "netflow9" in protocols else ", IPFIX"
    if "standard" not in templates:
        text += ": " + ", ".join(templates)
    return text


def table(shown):
    lines = ["| | " + " | ".join(COLLECTORS) + " |", "| --- " * (len(COLLECTORS) + 1) + "|"]
    for metric in [*METRICS, "sampling 1:100"]:
        lines.append(f"| {metric} | " + " | ".join(cell(shown[collector, metric], collector in ONLY_IPFIX) for collector in COLLECTORS) + " |")
    return "\n".join(lines) + "\n"


def report(name, faults):
    print(f"{'fault' if faults else 'ok'} {name}")
    for fault in faults[:20]:
        print(f"# {fault}")


def main(directory):
    flows, shown = the_truth(directory), defaultdict(lambda: defaultdict(set))
    kept = defaultdict(dict)  # (collector, template) -> protocol -> records as they were read
    for collector, mode, template, protocol, records in readings(directory, directory, flows):
        if mode == "native":
            kept[collector, template][protocol] = [dict(record) for record in records]
        reading = Reading(collector, template, protocol, records, flows)
        report(f"{reading.name}, {mode}: what it shows is what was sent", reading.faults)
        for metric in METRICS:
            if reading.shows(metric):
                shown[collector, metric][mode].add((template, protocol))
    for name, faults in itertools.chain(same_rows(kept), same_latencies(kept), sampled(f"{directory}/sampled", shown)):
        report(name, sorted(faults))
    with open(f"{directory}/matrix.md", "w") as file:
        file.write(table(shown))


if __name__ == "__main__":
    main(sys.argv[1])
