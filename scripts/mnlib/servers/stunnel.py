# SPDX-License-Identifier: Apache-2.0
"""stunnel, a thread for each connection, in front of an echo server: what comes back must be what
was sent, over connections that stay and over many short ones."""

import ssl
import sys
import time

from . import net
from .base import Daemon, Server, Wrong, find
from .echo import SCRIPT

CLIENTS = 48
BLOCK = 32_768
CONFIGURATION = '''foreground = yes
pid =
output = {folder}/stunnel.log
debug = warning
cert = {folder}/certificate.pem
key = {folder}/key.pem
[echo]
accept = {host}:{port}
connect = {host}:{backend}
TIMEOUTclose = 0
'''


class Stunnel(Server):
    name = 'stunnel, 48 connections'
    programs = ('stunnel4', 'openssl', 'python3')
    unit = 'MiB/s'
    _backend = None

    def prepare(self):
        self.port = net.free_port()
        port = net.free_port()
        self.client('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
                    '-subj', '/CN=localhost', '-keyout', self.path('key.pem'), '-out',
                    self.path('certificate.pem'))
        self._backend = Daemon([sys.executable, SCRIPT, str(port)], self.env, self.folder)
        self._backend.wait_until_ready(lambda: net.connect(port).close(), self.start_seconds)
        self.write('stunnel.conf', CONFIGURATION.format(folder=self.folder, host=net.HOST,
                                                        port=self.port, backend=port))
        self._context = ssl.create_default_context(cafile=self.path('certificate.pem'))
        self._context.check_hostname = False

    def argv(self):
        return [find('stunnel4'), self.path('stunnel.conf')]

    def probe(self):
        self._session(0, 1, 100)

    def load(self):
        net.in_threads(CLIENTS, lambda index: [self._session(index * 10 + n, 1, 1_000)
                                               for n in range(5)])
        rounds = 40 if self.quick else 120
        begin = time.monotonic()
        net.in_threads(CLIENTS, lambda index: self._session(index, rounds, BLOCK))
        return {'': CLIENTS * rounds * BLOCK / (1 << 20) / (time.monotonic() - begin)}

    def _session(self, seed, rounds, size):
        data = net.content(seed, size)
        with net.connect(self.port) as plain, \
                self._context.wrap_socket(plain, server_hostname='localhost') as connection:
            for turn in range(rounds):
                block = turn.to_bytes(4, 'big') + data
                connection.sendall(block)
                if net.read_exactly(connection, len(block)) != block:
                    raise Wrong('the echo is not what was sent')

    def logs(self):
        return [self.path('stunnel.log')]

    def close(self):
        if self._backend:
            self._backend.kill()
