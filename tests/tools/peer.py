#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ends of a conversation, for tests: what the kernel's own tools don't do.

peer.py serve PORT...                      TCP: answers 1,000 octets to each request; UDP: takes everything; IPv4 and IPv6
peer.py talk ADDRESS PORT [REQUESTS]       a client of it: requests of 300 octets
peer.py arp INTERFACE COUNT SENDER TARGET  ARP requests to a MAC address that nobody has
"""
import fcntl, selectors, socket, struct, sys

ETH_P_ARP = 0x0806
REQUEST, ANSWER = 300, 1000


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
        {"serve": serve, "talk": talk, "arp": arp}[sys.argv[1]](*sys.argv[2:])
    except (KeyError, IndexError, TypeError):
        sys.exit(__doc__)
    except KeyboardInterrupt:
        pass
