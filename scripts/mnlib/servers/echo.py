# SPDX-License-Identifier: Apache-2.0
"""A python3 socketserver.ThreadingTCPServer that echoes: a thread for each of many connections."""

import os
import selectors
import sys
import time

from . import net
from .base import Server, Wrong

SCRIPT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..',
                                       'test', 'apps', 'echo_server.py'))
FEW = 64
MANY = 1_000
SIZE = 512


class Echo(Server):
    name = 'python3 ThreadingTCPServer'
    programs = ('python3',)
    unit = 'echoes/s'

    def prepare(self):
        self.port = net.free_port()

    def argv(self):
        return [sys.executable, SCRIPT, str(self.port)]

    def probe(self):
        echo(self.port, 1, 1)

    def load(self):
        few, many = (100, 6) if self.quick else (300, 20)
        return {f'{FEW} connections': echo(self.port, FEW, few),
                f'{MANY:,} connections': echo(self.port, MANY, many)}


class Connection:
    """One client: sends a block when the one before has come back."""

    def __init__(self, port, index):
        self.socket = net.connect(port)
        self._seed = net.content(index, SIZE - 4)
        self.turn = 0
        self._missing = b''

    def send(self):
        self._missing = self.turn.to_bytes(4, 'big') + self._seed
        self.socket.sendall(self._missing)
        self.turn += 1

    def receive(self):
        """Whether the whole block is back."""
        part = self.socket.recv(SIZE)
        if not part or not self._missing.startswith(part):
            raise Wrong('the echo is not what was sent' if part else 'a connection was closed')
        self._missing = self._missing[len(part):]
        return not self._missing


def echo(port, count, rounds):
    """Blocks that come back a second, over `count` connections that are all open at once."""
    selector = selectors.DefaultSelector()
    connections = []
    try:
        for index in range(count):
            connections.append(Connection(port, index))
            selector.register(connections[-1].socket, selectors.EVENT_READ, connections[-1])
        begin = time.monotonic()
        for connection in connections:
            connection.send()
        left = count
        while left > 0:
            ready = selector.select(net.SECONDS)
            if not ready:
                raise Wrong(f'no answer in {net.SECONDS} s on any of {left} connections')
            for key, _ in ready:
                if key.data.receive():
                    if key.data.turn < rounds:
                        key.data.send()
                    else:
                        left -= 1
        return count * rounds / (time.monotonic() - begin)
    finally:
        for connection in connections:
            connection.socket.close()
        selector.close()
