#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A strict IPFIX (RFC 7011) and NetFlow v9 (RFC 3954) collector that shares no code with the exporter.

strict.py listen (udp|tcp) ADDRESS PORT FILE    record what arrives, until SIGTERM; one line "ready" when listening
strict.py check FILE [--src NET]... [--flows] [--records] [--clock-moved]
    decode a recording, or an IPFIX file (RFC 5655), and print one JSON object: counts, sums, errors. Exit 1 if there
    is any error. --src: sum only records whose source lies in one of NETs, and each NET by itself in "networks";
    --flows: add the sums of each 5-tuple; --records: print every data record as a line of JSON first;
    --clock-moved: the exporter's clock is not ours, and the time of the export says nothing.

A recording is MAGIC, then for each message: time received (ns, u64), session (u32), length (u32), the message.
"""
import argparse
import collections
import ipaddress
import json
import select
import signal
import socket
import struct
import sys
import time

MAGIC = b"strict1\n"
FRAME = struct.Struct("<QII")
VARIABLE = 65535
V9, IPFIX = 9, 10

# Elements whose length or form matters here (IANA registry): natural length and kind.
ELEMENTS = {
    1: (8, "uint"), 2: (8, "uint"), 4: (1, "uint"), 5: (1, "uint"), 6: (2, "uint"), 7: (2, "uint"), 8: (4, "ipv4"),
    10: (4, "uint"), 11: (2, "uint"), 12: (4, "ipv4"), 14: (4, "uint"), 21: (4, "uint"), 22: (4, "uint"),
    25: (8, "uint"), 26: (8, "uint"), 27: (16, "ipv6"), 28: (16, "ipv6"), 32: (2, "uint"), 34: (4, "uint"),
    35: (1, "uint"), 40: (8, "uint"), 41: (8, "uint"), 42: (8, "uint"), 52: (1, "uint"), 53: (1, "uint"),
    56: (6, "mac"), 58: (2, "uint"), 60: (1, "uint"), 61: (1, "uint"), 80: (6, "mac"), 82: (None, "string"),
    83: (None, "string"), 89: (4, "uint"), 132: (8, "uint"), 133: (8, "uint"), 136: (1, "uint"), 138: (8, "uint"),
    139: (2, "uint"), 144: (4, "uint"), 145: (2, "uint"), 149: (4, "uint"), 152: (8, "msec"), 153: (8, "msec"),
    160: (8, "msec"), 164: (8, "uint"), 165: (8, "uint"), 166: (8, "uint"), 167: (8, "uint"), 168: (8, "uint"),
    173: (8, "uint"), 341: (None, "string"), 344: (None, "string"),
}
FLOW_KEY = ("source", 7, "destination", 11, 4)


class Malformed(Exception):
    """The rest of the message can't be read."""


class Field:
    def __init__(self, element, length, enterprise, scope):
        self.element, self.length, self.enterprise, self.scope = element, length, enterprise, scope
        self.name = f"{enterprise}/{element}" if enterprise else element
        self.natural, self.kind = ELEMENTS.get(element, (None, None)) if not enterprise else (None, None)

    def __eq__(self, other):
        return (self.element, self.length, self.enterprise, self.scope) == (
            other.element, other.length, other.enterprise, other.scope)

    def value(self, octets):
        if self.kind in ("ipv4", "ipv6"):
            return str(ipaddress.ip_address(octets))
        if self.kind == "mac":
            return octets.hex(":")
        if self.kind == "string":
            text = octets.rstrip(b"\0")
            if b"\0" in text:
                raise UnicodeDecodeError("utf-8", text, text.index(b"\0"), text.index(b"\0") + 1, "NUL")
            return text.decode("utf-8")
        if self.kind is None and (self.length == VARIABLE or len(octets) > 8):
            return octets.hex()
        return int.from_bytes(octets, "big")


class Template:
    def __init__(self, fields, options):
        self.fields, self.options = fields, options
        self.least = sum(1 if field.length == VARIABLE else field.length for field in fields)


class Reader:
    """Octets of a set or message, never read past the end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def octets(self, size):
        if size > self.left():
            raise Malformed(f"{size} octets wanted, {self.left()} left")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size):
        return int.from_bytes(self.octets(size), "big")


class Checker:
    def __init__(self, options):
        self.options = options
        self.networks = {ipaddress.ip_network(text): text for text in options.src}
        self.templates, self.expected = {}, {}
        self.flows = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))  # by network, key
        self.count = collections.Counter()
        self.errors, self.where = [], ""

    def error(self, text):
        self.count["errors"] += 1
        if len(self.errors) < 20:
            self.errors.append(f"{self.where}: {text}")

    # ---- message

    def message(self, data, session, received_ns):
        self.count["messages"] += 1
        self.where = f"message {self.count['messages']}"
        try:
            reader = Reader(data)
            version = reader.number(2)
            if version == IPFIX:
                self.ipfix(reader, session, received_ns)
            elif version == V9:
                self.netflow9(reader, session, received_ns)
            else:
                raise Malformed(f"version {version}")
        except Malformed as trouble:
            self.error(str(trouble))

    def ipfix(self, reader, session, received_ns):
        length, exported_s = reader.number(2), reader.number(4)
        sequence, domain = reader.number(4), reader.number(4)
        if length != len(reader.data):
            raise Malformed(f"length {length}, but {len(reader.data)} octets came")
        self.export_time(exported_s, received_ns)
        self.sequence((session, domain), sequence)
        records = self.sets(reader, IPFIX, (session, domain), exported_s)
        self.expected[session, domain] = (sequence + records["data"]) & 0xFFFFFFFF

    def netflow9(self, reader, session, received_ns):
        count, _uptime = reader.number(2), reader.number(4)
        exported_s, sequence, source = reader.number(4), reader.number(4), reader.number(4)
        self.export_time(exported_s, received_ns)
        self.sequence((session, source), sequence)
        records = self.sets(reader, V9, (session, source), exported_s)
        if count != records["data"] + records["template"]:
            self.error(f"count {count}, but {sum(records.values())} records")
        self.expected[session, source] = (sequence + 1) & 0xFFFFFFFF

    def export_time(self, exported_s, received_ns):
        if received_ns and not self.options.clock_moved and abs(exported_s - received_ns / 1e9) > 3:
            self.error(f"export time {exported_s}, received at {received_ns / 1e9:.3f}")

    def sequence(self, domain, sequence):
        expected = self.expected.get(domain)
        if expected is not None and sequence != expected:
            self.count["sequence_gaps"] += 1
            self.error(f"sequence {sequence}, expected {expected}")

    def sets(self, reader, version, domain, exported_s):
        records = collections.Counter()
        while reader.left():
            set_id, length = reader.number(2), reader.number(2)
            if length < 4:
                raise Malformed(f"set {set_id} of length {length}")
            body = Reader(reader.octets(length - 4))
            first = 0 if version == V9 else 2
            if set_id in (first, first + 1):
                records["template"] += self.template_set(body, version, domain, set_id == first + 1)
            elif set_id >= 256:
                records["data"] += self.data_set(body, version, domain, set_id, exported_s)
            else:
                self.error(f"set id {set_id} is reserved")
        return records

    # ---- templates

    def template_set(self, body, version, domain, options):
        count = 0
        while body.left() >= 4:
            if version == V9 and not any(body.data[body.at :]):
                break  # padding (at most 3 octets is checked below)
            self.template(body, version, domain, options)
            count += 1
        self.padding(body, 4)
        if not count:
            self.error("template set without template")
        return count

    def template(self, body, version, domain, options):
        template_id, n_fields = body.number(2), body.number(2)
        if template_id < 256:
            self.error(f"template id {template_id}")
        if version == IPFIX and n_fields == 0:
            self.count["withdrawals"] += 1
            self.templates.pop((domain, template_id), None)
            return
        n_scope = 0
        if options and version == V9:  # lengths in octets (RFC 3954 6.1)
            n_scope, n_fields = n_fields // 4, n_fields // 4 + body.number(2) // 4
        elif options:
            n_scope = body.number(2)
        if options and not 1 <= n_scope <= n_fields:
            self.error(f"options template {template_id}: {n_scope} scope fields of {n_fields}")
        fields = [self.field(body, version, i < n_scope) for i in range(n_fields)]
        self.count["templates"] += 1
        old = self.templates.get((domain, template_id))
        if old and (old.fields != fields or old.options != options):
            self.error(f"template {template_id} changed its meaning")
        self.templates[domain, template_id] = template = Template(fields, options)
        if not template.least:
            self.error(f"template {template_id}: its records are empty")

    def field(self, body, version, scope):
        element, length, enterprise = body.number(2), body.number(2), 0
        if version == IPFIX and element & 0x8000:
            element, enterprise = element & 0x7FFF, body.number(4)
        elif version == V9 and scope:
            enterprise = "scope"
        field = Field(element, length, enterprise, scope)
        fixed = field.kind in ("ipv4", "ipv6", "mac", "msec")
        if length == 0 or (version == V9 and length == VARIABLE):
            self.error(f"element {field.name}: length {length}")
        if field.natural and (length > field.natural or (fixed and length != field.natural)):
            self.error(f"element {field.name}: length {length}, natural {field.natural}")
            field.kind = "wrong"  # its values mean nothing
        return field

    # ---- data

    def data_set(self, body, version, domain, template_id, exported_s):
        template = self.templates.get((domain, template_id))
        if not template:
            self.count["missing_templates"] += 1
            raise Malformed(f"data set {template_id} before its template")
        if not template.least:
            raise Malformed(f"data set {template_id} of empty records")
        count = 0
        while body.left() >= template.least:
            if version == V9 and body.left() < 4 and template.least < 4 and not any(body.data[body.at :]):
                break
            self.record(template_id, template, body, domain, exported_s)
            count += 1
        self.padding(body, template.least if version == IPFIX else 4)
        if not count:
            self.error(f"data set {template_id} without record")
        return count

    def padding(self, body, limit):
        left = body.left()
        if left >= limit:
            self.error(f"{left} octets of padding, less than {limit} may be")
        if any(body.octets(left)):
            self.error("padding is not zero")

    def record(self, template_id, template, body, domain, exported_s):
        values = {}
        for field in template.fields:
            length = field.length
            if length == VARIABLE:
                length = body.number(1)
                length = body.number(2) if length == 255 else length
            octets = body.octets(length)
            if field.kind == "wrong":
                continue
            try:
                values[field.name] = field.value(octets)
            except UnicodeDecodeError:
                self.error(f"element {field.name}: not UTF-8: {octets.hex()}")
        if self.options.records:
            print(json.dumps({"template": template_id, "options": template.options, **values}))
        self.count["records"] += 1
        if template.options:
            self.count["options_records"] += 1
            if 173 in values:
                self.flow_keys(self.templates.get((domain, values.get(145))), values)
            return
        self.flow(values, exported_s)

    def flow_keys(self, template, values):
        self.count["flow_keys"] += 1
        if not template or template.options:
            self.error(f"flow keys of {values.get(145)}, which is no template of flows")
        elif not 0 < values[173] < 1 << len(template.fields):
            self.error(f"flow keys {values[173]:#x} of {len(template.fields)} fields")

    def flow(self, values, exported_s):
        self.count["flow_records"] += 1
        start, end = values.get(152), values.get(153)
        if start is not None and end is not None and not start <= end < (exported_s + 2) * 1000:
            self.error(f"flow from {start} to {end}, exported at {exported_s} s")
        packets, octets = values.get(2, 0), values.get(1, 0)
        if packets == 0 and not values.get(133) and octets:
            self.error("octets without packets")
        values["source"] = values.get(8, values.get(27))
        values["destination"] = values.get(12, values.get(28))
        network = self.network_of(values["source"])
        if self.networks and not network:
            return
        self.count["packets"] += packets
        self.count["octets"] += octets
        sums = self.flows[network][tuple(values.get(part) for part in FLOW_KEY)]
        sums[0] += packets
        sums[1] += octets

    def network_of(self, text):
        if not self.networks or not text:
            return None
        address = ipaddress.ip_address(text)
        return next((name for network, name in self.networks.items() if address in network), None)

    @staticmethod
    def sums(flows):
        packets = [flow[0] for flow in flows]
        return {"packets": sum(packets), "octets": sum(flow[1] for flow in flows), "flows": len(packets),
                "flow_packets_min": min(packets, default=0), "flow_packets_max": max(packets, default=0)}

    def report(self):
        names = ("messages", "records", "flow_records", "options_records", "templates", "withdrawals", "packets",
                 "octets", "sequence_gaps", "missing_templates", "flow_keys", "errors")
        report = {name: self.count[name] for name in names}
        report["domains"] = sorted({domain for _, domain in self.expected})
        report["sessions"] = len({session for session, _ in self.expected})
        report.update(self.sums([flow for flows in self.flows.values() for flow in flows.values()]))
        report["networks"] = {name: self.sums(self.flows[name].values()) for name in self.networks.values()}
        report["first_errors"] = self.errors
        if self.options.flows:
            names = ("source", "source_port", "destination", "destination_port", "protocol", "packets", "octets")
            report["per_flow"] = [dict(zip(names, key + tuple(sums)))
                                  for flows in self.flows.values() for key, sums in flows.items()]
        return report


def messages(data):
    """Messages of a recording, or of an IPFIX file: (message, session, time received)."""
    if data.startswith(MAGIC):
        at = len(MAGIC)
        while at < len(data):
            received_ns, session, length = FRAME.unpack_from(data, at)
            at += FRAME.size
            yield data[at : at + length], session, received_ns
            at += length
        return
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 16:
            yield data[at:], 0, 0
            return
        yield data[at : at + length], 0, 0
        at += length


def check(options):
    checker = Checker(options)
    with open(options.file, "rb") as file:
        for message, session, received_ns in messages(file.read()):
            checker.message(message, session, received_ns)
    print(json.dumps(checker.report()))
    return 1 if checker.count["errors"] else 0


# ---- recording


class Recorder:
    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(MAGIC)

    def write(self, session, message):
        self.file.write(FRAME.pack(time.time_ns(), session, len(message)) + message)

    def stream(self, session, buffer):
        """Takes the complete messages off a stream's buffer."""
        while len(buffer) >= 4:
            length = max(int.from_bytes(buffer[2:4], "big"), 4)
            if len(buffer) < length:
                break
            self.write(session, bytes(buffer[:length]))
            del buffer[:length]


def udp_step(server, recorder, sessions):
    message, peer = server.recvfrom(65536)
    recorder.write(sessions.setdefault(peer, len(sessions)), message)


def listen(options):
    family = socket.AF_INET6 if ":" in options.address else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM if options.kind == "udp" else socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.kind == "udp":
        server.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    server.bind((options.address, options.port))
    if options.kind == "tcp":
        server.listen()
    recorder, sessions, buffers = Recorder(options.file), {}, {}
    stop_read, stop_write = socket.socketpair()
    stop_write.setblocking(False)
    signal.set_wakeup_fd(stop_write.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)
    print("ready", flush=True)
    stopping = False
    while True:
        ready = select.select([server, stop_read, *buffers], [], [], 0 if stopping else None)[0]
        if stop_read in ready:
            stop_read.recv(16)
            stopping = True  # but take first what is here already
        elif stopping and not ready:
            break
        if server in ready and options.kind == "udp":
            udp_step(server, recorder, sessions)
        elif server in ready:
            client = server.accept()[0]
            buffers[client] = bytearray()
            sessions[client] = len(sessions)
        for client in [client for client in ready if client in buffers]:
            try:
                data = client.recv(65536)
            except ConnectionResetError:
                data = b""
            buffers[client] += data
            recorder.stream(sessions[client], buffers[client])
            if not data:
                if buffers[client]:
                    recorder.write(sessions[client], bytes(buffers[client]))
                del buffers[client]
    recorder.file.close()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("listen")
    verb.add_argument("kind", choices=("udp", "tcp"))
    verb.add_argument("address")
    verb.add_argument("port", type=int)
    verb.add_argument("file")
    verb = verbs.add_parser("check")
    verb.add_argument("file")
    verb.add_argument("--src", action="append", default=[])
    verb.add_argument("--flows", action="store_true")
    verb.add_argument("--records", action="store_true")
    verb.add_argument("--clock-moved", action="store_true")
    options = parser.parse_args()
    return listen(options) if options.verb == "listen" else check(options)


if __name__ == "__main__":
    sys.exit(main())
