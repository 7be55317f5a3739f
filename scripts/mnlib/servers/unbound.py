# SPDX-License-Identifier: Apache-2.0
"""unbound with four threads that resolve through a native unbound, over UDP and TCP."""

import os
import struct

from . import net
from .base import Daemon, Server, Wrong, figure_in, find

NAMES = 2_000
CLIENTS = 8
COMMON = '''server:
  interface: {host}@{port}
  directory: {folder}
  chroot: ""
  username: ""
  pidfile: ""
  do-daemonize: no
  use-syslog: no
  logfile: ""
  do-ip6: no
  do-not-query-localhost: no
  module-config: "iterator"
  num-threads: {threads}
  cache-min-ttl: {ttl}
  cache-max-ttl: {ttl}
  rrset-roundrobin: no
'''
AUTHORITY = COMMON + '''  local-zone: test. static
'''
RESOLVER = COMMON + '''  local-zone: test. nodefault
forward-zone:
  name: test.
  forward-addr: {host}@{authority}
'''


def address(number):
    return f'10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}'


class Unbound(Server):
    name = 'unbound, 4 threads'
    programs = ('unbound', 'dnsperf')
    unit = 'queries/s'
    _authority = None

    def prepare(self):
        self.port = net.free_port()
        port = net.free_port()
        folder = self.path('authority')
        os.makedirs(folder)
        data = ''.join(f'  local-data: "n{n}.test. 3600 A {address(n)}"\n' for n in range(NAMES))
        text = AUTHORITY.format(host=net.HOST, port=port, folder=folder, threads=1, ttl=3600)
        path = self.write('authority/unbound.conf', text + data)
        self._authority = Daemon([find('unbound'), '-d', '-c', path], self.env, folder)
        self._authority.wait_until_ready(lambda: ask_tcp(port, [0]), self.start_seconds)
        # Answers live one second, so that the threads go on asking and sharing what they learn.
        self.write('unbound.conf', RESOLVER.format(
            host=net.HOST, port=self.port, folder=self.folder, threads=4, ttl=1, authority=port))
        self._queries = self.write('queries', ''.join(f'n{n}.test A\n' for n in range(NAMES)))

    def argv(self):
        return [find('unbound'), '-d', '-c', self.path('unbound.conf')]

    def probe(self):
        ask_tcp(self.port, [0])

    def load(self):
        net.in_threads(CLIENTS, lambda index: ask_udp(self.port, range(index, NAMES, CLIENTS)))
        net.in_threads(CLIENTS, lambda index: ask_tcp(self.port, range(index, NAMES, CLIENTS)))
        out = self.client('dnsperf', '-s', net.HOST, '-p', self.port, '-d', self._queries, '-c', 16,
                          '-T', 1, '-l', self.load_seconds, '-t', net.SECONDS)
        sent, completed, good = (figure_in(rf'{what}\s+(\d+)', out) for what in
                                 ('Queries sent:', 'Queries completed:', 'NOERROR'))
        if not sent == completed == good:
            raise Wrong(f'dnsperf: {sent:.0f} sent, {completed:.0f} answered, {good:.0f} well')
        return {'': figure_in(r'Queries per second:\s+([\d.]+)', out)}

    def close(self):
        if self._authority:
            self._authority.kill()


def query(number, ident):
    labels = b''.join(bytes([len(label)]) + label for label in (b'n%d' % number, b'test'))
    return struct.pack('>6H', ident, 0x0100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('>2H', 1, 1)


def check(answer, number, ident):
    """The answer must repeat the question and end with its address record."""
    got, flags, questions, answers = struct.unpack_from('>4H', answer)
    expected = bytes(int(part) for part in address(number).split('.'))
    question = query(number, ident)[12:]
    if (got, flags & 15, questions, answers) != (ident, 0, 1, 1) or \
            answer[12:12 + len(question)] != question or expected not in answer:
        raise Wrong(f'n{number}.test: a wrong answer, code {flags & 15}, {answers} records')


def ask_tcp(port, numbers):
    with net.connect(port) as connection:
        for ident, number in enumerate(numbers):
            question = query(number, ident)
            connection.sendall(struct.pack('>H', len(question)) + question)
            size, = struct.unpack('>H', net.read_exactly(connection, 2))
            check(net.read_exactly(connection, size), number, ident)


def ask_udp(port, numbers):
    with net.datagrams(port) as connection:
        for ident, number in enumerate(numbers):
            connection.send(query(number, ident))
            check(connection.recv(4096), number, ident)
