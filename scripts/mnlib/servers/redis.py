# SPDX-License-Identifier: Apache-2.0
"""redis with io-threads: redis-benchmark, values read equal values written, and both files that it
leaves hold what it held."""

import csv
import io
import os
import time

from . import net
from .base import Daemon, Server, Wrong, find

CLIENTS = 32
KEYS = 200
# They spin while they wait for each other: with more than there are CPUs redis crawls.
IO_THREADS = min(4, max(2, len(os.sched_getaffinity(0))))


class Redis(Server):
    name = 'redis, io-threads'
    programs = ('redis-server', 'redis-benchmark', 'redis-check-aof', 'redis-check-rdb')

    def prepare(self):
        self.port = net.free_port()
        self._digest = None

    def argv(self):
        return [find('redis-server'), '--port', str(self.port), '--bind', net.HOST, '--dir',
                self.folder, '--io-threads', str(IO_THREADS), '--io-threads-do-reads', 'yes',
                '--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', '--save', '3600 1',
                '--enable-debug-command', 'local']

    def probe(self):
        with Client(self.port) as client:
            client.expect('PONG', 'PING')

    def load(self):
        requests = 50_000 if not self.quick else 10_000
        out = self.client('redis-benchmark', '-h', net.HOST, '-p', self.port, '-t',
                          'set,get,incr,lpush', '-n', requests, '-c', 64, '--csv', '-q')
        figures = {row['test'].lower(): float(row['rps'])
                   for row in csv.DictReader(io.StringIO(out))}
        if set(figures) != {'set', 'get', 'incr', 'lpush'}:
            raise Wrong(f'redis-benchmark did {", ".join(figures)} only')
        net.in_threads(CLIENTS, self._check)
        with Client(self.port) as client:
            client.expect(str(requests).encode(), 'GET', 'counter:__rand_int__')
            client.expect(requests, 'LLEN', 'mylist')
            client.expect(CLIENTS * KEYS, 'SCARD', 'all')
            client.ask('BGSAVE')
            _wait(client, 'rdb_bgsave_in_progress', 'rdb_last_bgsave_status')
            client.ask('BGREWRITEAOF')
            _wait(client, 'aof_rewrite_in_progress', 'aof_last_bgrewrite_status')
            client.expect('OK', 'SET', 'last', 'one')
            self._digest = client.ask('DEBUG', 'DIGEST')
        return {what: figures[what] for what in ('set', 'get')}

    def _check(self, index):
        values = {f'key-{index}-{k}': net.content((index, k), 1 + k * k) for k in range(KEYS)}
        with Client(self.port) as client:
            for key, value in values.items():
                client.expect('OK', 'SET', key, value)
                client.expect(1, 'SADD', 'all', key)
            keys = list(values)
            for begin in range(0, KEYS, 10):
                part = keys[begin:begin + 10]
                client.expect([values[key] for key in part], 'MGET', *part)
            # Many requests before the first answer, so that the io-threads have work at once.
            client.send(*[('APPEND', keys[0], 'x')] * 100)
            for count in range(100):
                if client.answer() != len(values[keys[0]]) + count + 1:
                    raise Wrong('APPEND gave the wrong length')
            client.expect(values[keys[0]] + 100 * b'x', 'GET', keys[0])

    def check_after(self):
        aof = self.path('appendonlydir')
        manifest = [name for name in os.listdir(aof) if name.endswith('.manifest')]
        self.client('redis-check-aof', os.path.join(aof, manifest[0]))
        self.client('redis-check-rdb', self.path('dump.rdb'))
        for append_only in ('yes', 'no'):
            argv = self.argv()
            argv[argv.index('--appendonly') + 1] = append_only
            again = Daemon(argv, self.env, self.folder)
            try:
                again.wait_until_ready(self.probe, self.start_seconds)
                with Client(self.port) as client:
                    if client.ask('DEBUG', 'DIGEST') != self._digest:
                        raise Wrong(f'with appendonly={append_only} it has not the data it had')
                again.stop(self.stop_seconds)
            finally:
                again.kill()


def _wait(client, busy, status):
    deadline = time.monotonic() + net.SECONDS
    while True:
        words = client.ask('INFO', 'persistence').decode().split()
        if f'{busy}:0' in words:
            break
        if time.monotonic() > deadline:
            raise Wrong(f'{busy} for {net.SECONDS} s')
        time.sleep(0.05)
    if f'{status}:ok' not in words:
        raise Wrong(f'{status} is not ok')


class Client:
    def __init__(self, port):
        self._socket = net.connect(port)
        self._file = self._socket.makefile('rb')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()

    def send(self, *requests):
        data = []
        for words in requests:
            data.append(b'*%d\r\n' % len(words))
            for word in words:
                word = word.encode() if isinstance(word, str) else word
                data.append(b'$%d\r\n%s\r\n' % (len(word), word))
        self._socket.sendall(b''.join(data))

    def answer(self):
        line = self._file.readline()
        if not line.endswith(b'\r\n'):
            raise Wrong(f'the connection was closed after {line!r}')
        kind, rest = line[:1], line[1:-2]
        if kind == b'+':
            return rest.decode()
        if kind == b':':
            return int(rest)
        if kind == b'$':
            return None if rest == b'-1' else self._file.read(int(rest) + 2)[:-2]
        if kind == b'*':
            return [self.answer() for _ in range(int(rest))]
        raise Wrong(f'answered {line!r}')

    def ask(self, *words):
        self.send(words)
        return self.answer()

    def expect(self, answer, *words):
        got = self.ask(*words)
        if got != answer:
            raise Wrong(f'{" ".join(map(str, words))[:40]}: answered {str(got)[:40]}')
