# SPDX-License-Identifier: Apache-2.0
"""MariaDB, one thread per connection: sysbench read-only and read-write with few and many
connections, then the data.

Read-write transactions delete a row and insert one of the same id, so whatever they do in whatever
order, the ids stay 1 to ROWS, once each. Accounts move money at the same time: the sum stays. A
native server that then opens the data must find the checksums that the one under test gave.
"""

import os
import re
import shutil

from . import net
from .base import Daemon, Server, Wrong, figure_in, find

TABLES = 4
ROWS = 10_000
ACCOUNTS = 50
TRANSFERS = 200
TELLERS = 8
CONNECTIONS = (64, 1_000)
DATABASE = 'test'


class MariaDb(Server):
    name = 'MariaDB'
    programs = ('mariadbd', 'mariadb', 'mariadb-check', 'mariadb-install-db', 'sysbench')
    unit = 'transactions/s'
    stop_seconds = 120

    def prepare(self):
        self.port = net.free_port()
        self._checksums = None
        template = os.path.join(self.shared, 'data')
        if not os.path.exists(template):
            self._make_template(template)
        shutil.copytree(template, self.path('data'))

    def _make_template(self, template):
        self.client('mariadb-install-db', '--no-defaults', f'--datadir={self.path("data")}',
                    '--auth-root-authentication-method=normal', '--skip-test-db', '--user=root',
                    '--skip-name-resolve', seconds=120)
        first = self._native_server()
        try:
            self._sql(f'CREATE DATABASE {DATABASE}', database='mysql')
            self._sysbench('oltp_read_only', 1, 'prepare')
            self._sql('CREATE TABLE account (id INT PRIMARY KEY, money INT) ENGINE=InnoDB; '
                      'INSERT INTO account VALUES ' +
                      ', '.join(f'({n}, 1000)' for n in range(ACCOUNTS)))
            first.stop(self.stop_seconds)
        finally:
            first.kill()
        shutil.move(self.path('data'), template)

    def argv(self):
        return [find('mariadbd'), '--no-defaults', '--user=root', f'--datadir={self.path("data")}',
                f'--socket={self.path("socket")}', f'--pid-file={self.path("pid")}',
                f'--bind-address={net.HOST}', f'--port={self.port}', f'--tmpdir={self.folder}',
                '--thread-handling=one-thread-per-connection', '--thread-cache-size=64',
                '--max-connections=1200', '--back-log=1200', '--table-open-cache=6000',
                '--skip-name-resolve', '--innodb-buffer-pool-size=128M',
                '--innodb-log-file-size=64M', '--max-prepared-stmt-count=200000']

    def probe(self):
        with net.connect(self.port) as connection:
            net.read_exactly(connection, 5)

    def load(self):
        before = self._sql(self._checksum_query())
        figures = {}
        for connections in CONNECTIONS:
            figures[f'{connections:,} connections, read-only'] = self._sysbench('oltp_read_only',
                                                                               connections)
        if self._sql(self._checksum_query()) != before:
            raise Wrong('reading changed the data')
        for connections in CONNECTIONS:
            figures[f'{connections:,} connections, read-write'] = self._sysbench('oltp_read_write',
                                                                                connections)
        net.in_threads(TELLERS, self._move_money)
        self._check_data()
        self._checksums = self._sql(self._checksum_query())
        return figures

    def check_after(self):
        with open(self.daemon.err_path, errors='replace') as log:
            if 'Shutdown complete' not in log.read():
                raise Wrong('did not say that its shutdown is complete')
        again = self._native_server()
        try:
            self._check_data()
            if self._sql(self._checksum_query()) != self._checksums:
                raise Wrong('a native server finds other data than this one had')
            out = self.client('mariadb-check', *self._login(), '--check', '--extended', DATABASE)
            if len(re.findall(r'\sOK$', out, re.M)) != TABLES + 1:
                raise Wrong(f'mariadb-check: {out.strip()}')
            again.stop(self.stop_seconds)
        finally:
            again.kill()

    def _native_server(self):
        daemon = Daemon(self.argv(), self.env, self.folder)
        try:
            daemon.wait_until_ready(self.probe, self.start_seconds)
        except Wrong:
            daemon.kill()
            raise
        return daemon

    def _login(self):
        return ['--no-defaults', '--user=root', f'--host={net.HOST}', f'--port={self.port}',
                '--protocol=tcp']

    def _sql(self, statement, database=DATABASE):
        return self.client('mariadb', *self._login(), '--batch', '--skip-column-names', database,
                           stdin_text=statement)

    @staticmethod
    def _checksum_query():
        tables = [f'sbtest{n + 1}' for n in range(TABLES)] + ['account']
        return 'CHECKSUM TABLE ' + ', '.join(tables)

    def _sysbench(self, script, threads, command='run'):
        out = self.client('sysbench', script, '--db-driver=mysql', f'--mysql-host={net.HOST}',
                          f'--mysql-port={self.port}', '--mysql-user=root',
                          f'--mysql-db={DATABASE}', f'--tables={TABLES}', f'--table-size={ROWS}',
                          f'--threads={threads}', f'--time={self.load_seconds}',
                          '--rand-type=uniform', command)
        if command == 'prepare':
            return None
        if figure_in(r'reconnects:\s+(\d+)', out) != 0:
            raise Wrong(f'sysbench {script}: connections were lost')
        return figure_in(r'transactions:\s+\d+\s+\(([\d.]+) per sec', out)

    def _move_money(self, index):
        """Accounts in ascending order, so that no deadlock rolls a transfer back."""
        statements = []
        for turn in range(TRANSFERS):
            first = (index * 7 + turn) % (ACCOUNTS - 1)
            second = first + 1 + turn % (ACCOUNTS - 1 - first)
            amount = (turn * 13 + index) % 50 - 25
            statements.append(f'BEGIN; UPDATE account SET money = money + {amount} WHERE id = '
                              f'{first}; UPDATE account SET money = money - {amount} WHERE id = '
                              f'{second}; COMMIT;')
        self._sql('\n'.join(statements))

    def _check_data(self):
        for n in range(TABLES):
            row = self._sql('SELECT COUNT(*), COUNT(DISTINCT id), MIN(id), MAX(id) FROM '
                            f'sbtest{n + 1}').split()
            if row != [str(ROWS), str(ROWS), '1', str(ROWS)]:
                raise Wrong(f'sbtest{n + 1}: rows, ids, first, last: {" ".join(row)}')
        money = self._sql('SELECT COUNT(*), SUM(money) FROM account').split()
        if money != [str(ACCOUNTS), str(ACCOUNTS * 1000)]:
            raise Wrong(f'account: rows and sum: {" ".join(money)}')
