# SPDX-License-Identifier: Apache-2.0
"""memcached with 16 threads: values read equal values written, counters count, then memcaslap."""

from . import net
from .base import Server, Wrong, figure_in, find

CLIENTS = 32
KEYS = 150


class Memcached(Server):
    name = 'memcached, 16 threads'
    programs = ('memcached', 'memcaslap')

    def prepare(self):
        self.port = net.free_port()

    def argv(self):
        return [find('memcached'), '-u', 'root', '-l', net.HOST, '-p', str(self.port), '-U', '0',
                '-t', '16', '-m', '256', '-c', '2048']

    def probe(self):
        with Client(self.port) as client:
            client.ask(b'version\r\n')

    def load(self):
        with Client(self.port) as client:
            client.expect(b'set counter 0 0 1\r\n0\r\n', b'STORED')
        net.in_threads(CLIENTS, self._check)
        with Client(self.port) as client:
            counter = client.get([b'counter'])[b'counter']
            if int(counter) != CLIENTS * KEYS:
                raise Wrong(f'counted {counter.decode()}, not {CLIENTS * KEYS}')
            threads = client.statistics()[b'threads']
            if threads != b'16':
                raise Wrong(f'runs {threads.decode()} threads')
        # Verifies what it gets: -v is the share of gets whose value is compared.
        out = self.client('memcaslap', '-s', f'{net.HOST}:{self.port}', '-T', 1, '-c', 64,
                          '-t', f'{self.load_seconds}s', '-v', '0.2')
        for count in ('get_misses', 'verify_misses', 'verify_failed'):
            found = figure_in(rf'{count}: (\d+)', out)
            if found != 0:
                raise Wrong(f'memcaslap: {count}: {found:.0f}')
        return {'': figure_in(r'TPS: (\d+)', out)}

    def _check(self, index):
        values = {f'key-{index}-{k}'.encode(): net.content((index, k), 1 + k * k * 3)
                  for k in range(KEYS)}
        with Client(self.port) as client:
            for key, value in values.items():
                client.expect(b'set %s 7 0 %d\r\n%s\r\n' % (key, len(value), value), b'STORED')
                client.ask(b'incr counter 1\r\n')
            keys = list(values)
            for begin in range(0, len(keys), 10):
                part = keys[begin:begin + 10]
                if client.get(part) != {key: values[key] for key in part}:
                    raise Wrong('a value that was read is not what was written')
            client.expect(b'append %s 0 0 3\r\nend\r\n' % keys[1], b'STORED')
            client.expect(b'delete %s\r\n' % keys[0], b'DELETED')
            client.expect(b'add %s 0 0 1\r\nx\r\n' % keys[1], b'NOT_STORED')
            if client.get(keys[:2]) != {keys[1]: values[keys[1]] + b'end'}:
                raise Wrong('append or delete went wrong')


class Client:
    def __init__(self, port):
        self._socket = net.connect(port)
        self._file = self._socket.makefile('rb')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def _line(self):
        line = self._file.readline()
        if not line.endswith(b'\r\n'):
            raise Wrong(f'the connection was closed after {line!r}')
        return line[:-2]

    def ask(self, request):
        self._socket.sendall(request)
        return self._line()

    def expect(self, request, answer):
        got = self.ask(request)
        if got != answer:
            raise Wrong(f'{request[:40]!r}: answered {got[:40]!r}')

    def get(self, keys):
        self._socket.sendall(b'get ' + b' '.join(keys) + b'\r\n')
        found = {}
        while True:
            words = self._line().split()
            if words == [b'END']:
                return found
            value = self._file.read(int(words[3]) + 2)
            found[words[1]] = value[:-2]

    def statistics(self):
        self._socket.sendall(b'stats\r\n')
        found = {}
        while True:
            words = self._line().split(None, 2)
            if words == [b'END']:
                return found
            found[words[1]] = words[2] if len(words) > 2 else b''
