#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TCP collectors that misbehave: ill.py MODE:PORT...

close: ends each session at once; reset: the same by RST, with data unread; garbage: sends nonsense, and reads; trickle: reads
an octet each 100 ms; silent: takes sessions and says nothing; cut: resets each session after a kilobyte."""
import os
import select
import socket
import struct
import sys
import time


def end(session, reset):
    if reset:
        session.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.close()


class Server:
    def __init__(self, mode, port):
        self.mode = mode
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.server.bind(("127.0.0.1", port))
        self.server.listen()
        self.sessions = {}  # octets read

    def accept(self):
        session = self.server.accept()[0]
        if self.mode in ("close", "reset"):
            end(session, self.mode == "reset")
            return
        session.setblocking(False)
        self.sessions[session] = 0

    def turn(self, session):
        try:
            if self.mode == "garbage":
                session.send(os.urandom(16384))
            if self.mode in ("garbage", "cut"):
                data = session.recv(1024)
            elif self.mode == "trickle":
                data = session.recv(1)
            else:
                return
            self.sessions[session] += len(data)
            if not data or (self.mode == "cut" and self.sessions[session] >= 1024):
                end(session, True)
                del self.sessions[session]
        except BlockingIOError:
            pass
        except OSError:
            session.close()
            del self.sessions[session]


def main():
    servers = [Server(mode, int(port)) for mode, port in (argument.split(":") for argument in sys.argv[1:])]
    print("ready", flush=True)
    due = 0
    while True:
        for server in select.select([s.server for s in servers], [], [], 0.02)[0]:
            next(s for s in servers if s.server is server).accept()
        slow = time.monotonic() >= due
        if slow:
            due = time.monotonic() + 0.1
        for server in servers:
            for session in list(server.sessions):
                if server.mode != "trickle" or slow:
                    server.turn(session)


main()
