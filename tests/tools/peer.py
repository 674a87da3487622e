#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ends of a conversation, for tests: what the kernel's own tools don't do.

peer.py relay MS IF1 IF2 [MS IF3 IF4]...   frames from one interface to the other and back, each MS later (no netem needed)
peer.py serve PORT...                      TCP: answers 1,000 octets to each request; UDP: takes everything; IPv4 and IPv6
peer.py talk ADDRESS PORT [REQUESTS]       a client of it: requests of 300 octets
peer.py arp INTERFACE COUNT SENDER TARGET  ARP requests to a MAC address that nobody has
"""
import fcntl, heapq, itertools, selectors, socket, struct, sys, time

ETH_P_ALL, ETH_P_ARP = 3, 0x0806
SO_RCVBUFFORCE, PACKET_IGNORE_OUTGOING, SOL_PACKET = 33, 23, 263
REQUEST, ANSWER = 300, 1000


def packet_socket(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    s.bind((interface, ETH_P_ALL))
    return s


def relay(*args):
    selector, waiting, order = selectors.DefaultSelector(), [], itertools.count()
    for ms, one, other in zip(args[::3], args[1::3], args[2::3]):
        a, b = packet_socket(one), packet_socket(other)
        selector.register(a, selectors.EVENT_READ, (float(ms) / 1e3, b))
        selector.register(b, selectors.EVENT_READ, (float(ms) / 1e3, a))
    print("ready", flush=True)
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for key, _ in selector.select(timeout):
            delay, to = key.data
            frame = key.fileobj.recv(65536)
            heapq.heappush(waiting, (time.monotonic() + delay, next(order), to, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            to.send(frame)


def serve(*ports):
    selector = selectors.DefaultSelector()
    for port in map(int, ports):
        tcp = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        selector.register(tcp, selectors.EVENT_READ, "accept")
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind(("", port))
        selector.register(udp, selectors.EVENT_READ, "udp")
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data == "accept":
                selector.register(key.fileobj.accept()[0], selectors.EVENT_READ, "tcp")
            elif not key.fileobj.recv(65536) and key.data == "tcp":
                selector.unregister(key.fileobj)
                key.fileobj.close()
            elif key.data == "tcp":
                key.fileobj.sendall(bytes(ANSWER))


def talk(address, port, requests=3):
    with socket.create_connection((address, int(port)), timeout=10) as s:
        for _ in range(int(requests)):
            s.sendall(bytes(REQUEST))
            left = ANSWER
            while left:
                left -= len(s.recv(left)) or sys.exit("peer.py: the server went away")


def arp(interface, count, sender, target):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((interface, 0))
    mac = fcntl.ioctl(s, 0x8927, struct.pack("16s16x", interface.encode()))[18:24]  # SIOCGIFHWADDR
    head = bytes.fromhex("02deadbeef01") + mac + struct.pack("!H", ETH_P_ARP)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(sender) + bytes(6) + socket.inet_aton(target)
    for _ in range(int(count)):
        s.send(head + body)


if __name__ == "__main__":
    try:
        {"relay": relay, "serve": serve, "talk": talk, "arp": arp}[sys.argv[1]](*sys.argv[2:])
    except (KeyError, IndexError, TypeError):
        sys.exit(__doc__)
    except KeyboardInterrupt:
        pass
