# SPDX-License-Identifier: Apache-2.0
"""Sockets on 127.0.0.1 for the loads, each with a time limit, and threads that use them."""

import concurrent.futures
import hashlib
import socket

from .base import Wrong

HOST = '127.0.0.1'
SECONDS = 30    # for one answer; only a hang takes that long


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def connect(port):
    connection = socket.create_connection((HOST, port), timeout=SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def datagrams(port):
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.settimeout(SECONDS)
    connection.connect((HOST, port))
    return connection


def read_exactly(connection, size):
    parts = []
    while size > 0:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise Wrong(f'the connection was closed {size} bytes too early')
        parts.append(part)
        size -= len(part)
    return b''.join(parts)


def content(seed, size):
    """The same `size` bytes for the same seed, unlike those of any other."""
    return hashlib.shake_128(str(seed).encode()).digest(size)


def in_threads(count, body):
    """Runs body(0) ... body(count - 1) at once; what they gave, or the first exception."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(body, index) for index in range(count)]
        try:
            return [future.result() for future in futures]
        except (OSError, EOFError) as error:
            raise Wrong(f'{type(error).__name__}: {error}') from error
