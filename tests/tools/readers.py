# SPDX-License-Identifier: MIT
"""What collectors show, as records of one form, for matrix.py. A record has only what its collector showed.

src dst sport dport proto icmp packets octets flags tos in out in_name out_name direction smac dmac vlan start end reason
ttl_min ttl_max len_min len_max dropped_packets dropped_octets fwd cause cause_name tcp_state rtt_server rtt_client
rtt_local dns_id dns_type dns_rcode dns_name dns_latency
Times are milliseconds since 1970, latencies pairs of microseconds that the value lies between (most have coarser units).
"""
import ast, csv, datetime, io, ipaddress, json, re, subprocess, xml.etree.ElementTree

PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58}
COMMON = {
    "sourceIPv4Address": "src", "destinationIPv4Address": "dst", "sourceIPv6Address": "src", "destinationIPv6Address": "dst",
    "sourceTransportPort": "sport", "destinationTransportPort": "dport", "protocolIdentifier": "proto",
    "icmpTypeCodeIPv4": "icmp", "icmpTypeCodeIPv6": "icmp", "packetDeltaCount": "packets", "octetDeltaCount": "octets",
    "tcpControlBits": "flags", "ipClassOfService": "tos", "ingressInterface": "in", "egressInterface": "out",
    "flowDirection": "direction", "sourceMacAddress": "smac", "destinationMacAddress": "dmac", "vlanId": "vlan",
    "flowStartMilliseconds": "start", "flowEndMilliseconds": "end", "flowEndReason": "reason", "minimumTTL": "ttl_min",
    "maximumTTL": "ttl_max", "minimumIpTotalLength": "len_min", "maximumIpTotalLength": "len_max",
    "droppedPacketDeltaCount": "dropped_packets", "droppedOctetDeltaCount": "dropped_octets", "forwardingStatus": "fwd",
    "dropCause": "cause", "dropCauseName": "cause_name", "tcpStateAtDrop": "tcp_state", "dnsMessageId": "dns_id",
    "dnsQuestionType": "dns_type", "dnsResponseCode": "dns_rcode", "dnsQuestionName": "dns_name", "dnsID": "dns_id",
    "dnsQRType": "dns_type", "dnsNXDomain": "dns_rcode", "dnsQName": "dns_name", "tcpServerRttMicroseconds": "rtt_server",
    "tcpClientRttMicroseconds": "rtt_client", "tcpSmoothedRttMicroseconds": "rtt_local", "dnsLatencyMicroseconds": "dns_latency",
    "reverseFlowDeltaMilliseconds": "rtt_server",
}
TEXT = {"src", "dst", "smac", "dmac", "cause_name", "dns_name", "in_name", "out_name"}
TIMES = {"start", "end"}
LATENCIES = {"rtt_server", "rtt_client", "rtt_local", "dns_latency"}


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout


def milliseconds(text, form="%Y-%m-%d %H:%M:%S"):
    """2026-11-22 13:51:20.559..., UTC"""
    whole, _, fraction = text.partition(".")
    at = datetime.datetime.strptime(whole, form).replace(tzinfo=datetime.timezone.utc)
    return int(at.timestamp()) * 1000 + int(fraction[:3] or 0)


def exactly(us):
    return us, us


def rounded_up(ms, factor=1):
    """factor 2: of half the time, as ntop has it"""
    return max(0, ms - 1) * 1000 * factor, ms * 1000 * factor


def named(pairs):
    """From (name of an information element, text)."""
    record = {}
    for name, text in pairs:
        key = COMMON.get(name)
        if not key:
            continue
        if key in TIMES:
            record[key] = milliseconds(text)
        elif name == "reverseFlowDeltaMilliseconds":
            record[key] = rounded_up(int(text))
        elif key in LATENCIES:
            record[key] = exactly(int(text))
        elif key in ("src", "dst"):
            record[key] = str(ipaddress.ip_address(text))  # ipfixDump: fd00:0001::0001
        else:
            record[key] = text if key in TEXT else int(text)
    return record


def nfdump(file):
    keys = {
        "src addr": "src", "dst addr": "dst", "src port": "sport", "dst port": "dport", "proto": "proto", "in packets": "packets",
        "in bytes": "octets", "src tos": "tos", "direction": "direction", "in src mac": "smac", "in dst mac": "dmac",
        "src vlan": "vlan", "fwd status": "fwd", "first": "start", "last": "end",
    }
    latencies = {"cli latency": "rtt_client", "srv latency": "rtt_server", "app latency": "dns_latency"}
    records = []
    for block in run("nfdump", "-r", file, "-o", "raw", "-q").split("Flow Record:")[1:]:
        record = {}
        for line in block.splitlines():
            name, _, value = (part.strip() for part in line.partition(" = "))
            word, _, rest = value.partition(" ")
            if name in keys:
                record[keys[name]] = word if keys[name] in TEXT else int(word)
            elif name in latencies:
                record[latencies[name]] = exactly(round(float(word) * 1000))
            elif name in ("tcp flags", "end reason"):
                record["flags" if name == "tcp flags" else "reason"] = int(word, 16)
            elif name == "ICMP":
                record["icmp"] = int(word.split(".")[0]) * 256 + int(word.split(".")[1])
            elif name in ("input", "output"):
                record[name[:-3]], record[name[:-3] + "_name"] = int(word), rest.strip()
        records.append(record)
    return records


def nfacctd(file, own):
    """own: with our definitions; else what it knows by itself."""
    keys = {
        "ip_src": "src", "ip_dst": "dst", "port_src": "sport", "port_dst": "dport", "packets": "packets", "bytes": "octets",
        "tcp_flags": "flags", "tos": "tos", "iface_in": "in", "iface_out": "out", "mac_src": "smac", "mac_dst": "dmac", "vlan": "vlan",
    }
    snake = {re.sub("(?<![A-Z])([A-Z])", r"_\1", name).lower(): name for name in COMMON}
    records = []
    for line in open(file):
        shown = json.loads(line)
        record = {key: shown[name] if key in TEXT else int(shown[name]) for name, key in keys.items() if name in shown}
        record["proto"] = PROTOCOLS.get(shown["ip_proto"]) if not shown["ip_proto"].isdigit() else int(shown["ip_proto"])
        record["sampling"] = shown["sampling_rate"]
        record["direction"] = {"i": 0, "e": 1}.get(shown["sampling_direction"])
        for key, name in ("start", "timestamp_start"), ("end", "timestamp_end"):
            if not shown[name].endswith(".000000") or shown[name] == "0000-00-00 00:00:00.000000":
                record[key] = milliseconds(shown[name])
        if own:
            mine = named((snake[name], value) for name, value in shown.items() if name in snake and value not in ("", "0"))
            record.update(mine)
        records.append(record)
    return records


def tshark_messages(file, ports):
    """UDP port -> records"""
    names = {
        "srcaddr": "src", "dstaddr": "dst", "srcaddrv6": "src", "dstaddrv6": "dst", "srcport": "sport", "dstport": "dport",
        "protocol": "proto", "icmp_type_code_ipv4": "icmp", "packets": "packets", "octets": "octets",
        "tcpflags": "flags", "tos": "tos", "inputint": "in", "outputint": "out", "direction": "direction", "srcmac": "smac",
        "dstmac": "dmac", "vlanid": "vlan", "flow_end_reason": "reason", "ttl_min": "ttl_min", "ttl_max": "ttl_max",
        "length_min": "len_min", "length_max": "len_max", "drop_packets": "dropped_packets", "drop_octets": "dropped_octets",
        "pie.ntop.dns_query_id": "dns_id", "pie.ntop.dns_query_type": "dns_type", "pie.ntop.dns_ret_code": "dns_rcode",
        "pie.ntop.dns_query": "dns_name",
    }
    halves = {"pie.ntop.client_nw_latency_ms": "rtt_client", "pie.server_nw_latency_ms": "rtt_server"}
    records, interfaces = {port: [] for port in ports}, {}
    pdml = subprocess.Popen(["tshark", "-r", file, "-d", f"udp.port=={min(ports)}-{max(ports)},cflow", "-T", "pdml"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for _, packet in xml.etree.ElementTree.iterparse(pdml.stdout):
        if packet.tag != "packet":
            continue
        show = {f.get("name"): f.get("show") for f in packet.iter("field")}
        boot = 0
        if show.get("cflow.version") == "9":
            boot = int(show["cflow.unix_secs"]) * 1000 - round(float(show["cflow.sysuptime"]) * 1000)
        for flow in packet.iter("field"):
            row = {child.get("name"): child.get("show") for child in flow}
            if "cflow.if_name" in row and "cflow.if_descr" in row:
                interfaces[int(show["udp.dstport"]), int(row["cflow.inputint"])] = row["cflow.if_name"]
            if "cflow.packets" not in row:
                continue
            record = {}
            for field in flow.iter("field"):
                name, value = (field.get("name") or "").replace("cflow.", "", 1), field.get("show")
                if name in names:
                    record[names[name]] = value if names[name] in TEXT else int(value, 0)
                elif name in halves:
                    record[halves[name]] = rounded_up(int(value), 2)
                elif name == "pie.ntop.appl_latency_ms":
                    record["dns_latency"] = rounded_up(int(value))
                elif name in ("abstimestart", "abstimeend"):
                    record[name[7:]] = milliseconds(value, "%b %d, %Y %H:%M:%S")
                elif name in ("timestart", "timeend"):
                    record[name[4:]] = boot + round(float(value) * 1000)
                elif name in ("icmp_ipv6_type", "icmp_ipv6_code"):
                    record["icmp"] = record.get("icmp", 0) + int(value) * (256 if name == "icmp_ipv6_type" else 1)
                elif value == "Forwarding Status":
                    record["fwd"] = int(field.get("value"), 16)
            records[int(show["udp.dstport"])].append(record)
        packet.clear()
    for port in ports:
        for record in records[port]:
            record["in_name"], record["out_name"] = (interfaces.get((port, record[way])) for way in ("in", "out"))
    return records


def ipfixdump(file, *options):
    records, interfaces, names = [], {}, []
    for line in run("ipfixDump", "--in", file, "--data", *options).splitlines() + ["--- end"]:
        if line.startswith("---"):
            record = named(names)
            if "packets" in record:
                records.append(record)
            elif "interfaceDescription" in dict(names):
                interfaces[record["in"]] = dict(names)["interfaceName"]
            names = []
        match = re.match(r"\t\([0-9/]+\) +(\w+) : (?:\(len: \d+\) ?)?(.*)", line)
        if match and match[1] != "_alienInformationElement":
            names.append((match[1], match[2].strip()))
    for record in records:
        record["in_name"], record["out_name"] = (interfaces.get(record[way]) for way in ("in", "out"))
    return records


def ipfix2csv(file, columns, *options):
    """columns: lists of names; it prints the records that have all of a list. Records of several lists are joined."""
    records = {}
    for names in columns:
        rows = csv.DictReader(io.StringIO(run("ipfix2csv", *options, "-f", file, *names)))
        for row in rows:
            for name in ("sourceMacAddress", "destinationMacAddress"):
                if name in row:
                    row[name] = ":".join(f"{octet:02x}" for octet in ast.literal_eval(row[name]))  # b'...'
            record = named(row.items())
            identity = [record.get(key) for key in ("src", "dst", "sport", "dport", "proto", "smac", "direction", "start", "end", "packets")]
            records.setdefault(str(identity), {}).update(record)
    of_ip = {moment(record) for record in records.values() if "src" in record}
    return [record for record in records.values() if "src" in record or moment(record) not in of_ip]


def moment(record):
    return tuple(record.get(key) for key in ("smac", "direction", "start", "end", "packets", "octets"))


def sampling_of_tshark(file):
    intervals = run("tshark", "-r", file, "-d", "udp.port==21000-21099,cflow", "-T", "fields", "-e", "cflow.sampling_interval")
    return {int(interval) for line in intervals.split() for interval in line.split(",")}


def sampling_of_ipfixdump(file):
    return {int(interval) for interval in re.findall(r" samplingInterval : (\d+)", run("ipfixDump", "--in", file, "--data"))}


def packets(file):
    """The packets themselves, by tshark: dicts of its fields."""
    fields = """frame.interface_name frame.time_epoch eth.src eth.dst eth.type vlan.id vlan.etype ip.src ip.dst ipv6.src ipv6.dst ip.len
        ipv6.plen ip.ttl ipv6.hlim ip.dsfield ipv6.tclass ip.proto ipv6.nxt tcp.srcport tcp.dstport udp.srcport udp.dstport tcp.flags
        icmp.type icmp.code icmpv6.type icmpv6.code dns.id dns.qry.name dns.qry.type dns.flags.rcode dns.flags.response""".split()
    arguments = [argument for field in fields for argument in ("-e", field)]
    text = run("tshark", "-r", file, "-T", "fields", "-E", "separator=|", "-E", "occurrence=f", *arguments)
    for line in text.splitlines():
        yield {name: value for name, value in zip(fields, line.split("|")) if value}
