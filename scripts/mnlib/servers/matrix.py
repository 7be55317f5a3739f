# SPDX-License-Identifier: Apache-2.0
"""Runs each server natively and with each MN_PROCS, and compares what was measured.

A run counts when every answer was right, the server ended in time when it was asked to, with the
status that it has natively, what it left on disk is whole, and libmn was at work.
"""

import os
import statistics
import tempfile
import time

from .. import preload, process, verdict
from . import base

NATIVE_RUNS = 3    # at most, for a fair figure


class Run:
    """How one run of a server went."""

    def __init__(self):
        self.measured = {}
        self.failure = None
        self.details = []
        self.status = None
        self.kernel_threads = 0
        self.proof = ''
        self.wall = 0.0


class Servers:
    """`table` is told each figure and verdict, `options` are the command's."""

    def __init__(self, recipes, options, env, table, logs):
        self._recipes = recipes
        self._options = options
        self._env = env
        self._table = table
        self._logs = logs

    def run(self):
        for recipe in self._recipes:
            missing = [name for name in recipe.programs if base.find(name) is None]
            if missing:
                self._table.fail(recipe.name, f'{", ".join(missing)}: not installed: '
                                 'sh scripts/setup apps', '', [])
                continue
            with tempfile.TemporaryDirectory(prefix='mn-shared-') as shared:
                self._compare(recipe, shared)

    def _compare(self, recipe, shared):
        native = self._repeat(recipe, shared, None, min(NATIVE_RUNS, self._options.repeat))
        if not native or self._options.native:
            figures = _medians(native)
            for what in figures or ['']:
                self._table.add(_title(recipe, what), None, figures.get(what), None, recipe.unit,
                                'right' if native else 'FAILED natively', native[-1:])
            return
        status = native[-1].status
        for procs in self._options.server_procs:
            runs = self._repeat(recipe, shared, procs, self._options.repeat, status)
            ours, theirs = _medians(runs), _medians(native)
            verdict_ = f'{len(runs)} of {self._options.repeat} right'
            for what in theirs:
                self._table.add(_title(recipe, what), procs, theirs[what], ours.get(what),
                                recipe.unit, verdict_, native[-1:] + runs[-1:])

    def _repeat(self, recipe, shared, procs, times, status=None):
        """The runs that went well."""
        good = []
        for turn in range(times):
            run = self._once(recipe, shared, procs, status)
            where = 'natively' if procs is None else f'MN_PROCS={procs}'
            if run.failure:
                name = f'{recipe.name} [{where}, run {turn + 1}]'
                self._table.fail(name, run.failure, '', run.details,
                                 self._log(name, run))
            else:
                good.append(run)
                if procs is not None or self._options.native:
                    self._table.passed += 1
                figures = ', '.join(f'{what} {value:,.0f}'.strip()
                                    for what, value in run.measured.items())
                self._table.say(f'{recipe.name} [{where}]: {figures} {recipe.unit}, '
                                f'{run.kernel_threads} kernel threads{run.proof}, run {turn + 1} '
                                f'took {run.wall:.0f} s')
        return good

    def _once(self, recipe, shared, procs, status):
        run = Run()
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='mn-server-') as folder:
            os.chmod(folder, 0o755)
            server = recipe(folder, shared, self._options.quick, self._env)
            try:
                self._serve(server, run, procs, status)
            except (base.Wrong, OSError, EOFError, ValueError) as wrong:
                run.failure = str(wrong) or type(wrong).__name__
                run.details = _tails(server)
                if server.daemon:
                    run.details += server.daemon.describe()
            finally:
                if server.daemon:
                    server.daemon.kill()
                server.close()
        run.wall = time.monotonic() - begin
        return run

    def _serve(self, server, run, procs, status):
        server.prepare()
        env = self._env
        if procs is not None:
            env = preload.libmn_environment(self._options.lib, env, procs, stats=True)
        server.daemon = daemon = base.Daemon(server.argv(), env, server.folder)
        daemon.wait_until_ready(server.probe, server.start_seconds)
        run.measured = server.load()
        run.status = daemon.stop(server.stop_seconds, server.stop_signal)
        run.kernel_threads = daemon.kernel_threads
        if status is not None and run.status != status:
            raise base.Wrong(f'{process.ending(run.status)}, natively {process.ending(status)}')
        if procs is not None:
            run.proof = _proof(server)
        server.check_after()

    def _log(self, name, run):
        os.makedirs(self._logs, exist_ok=True)
        words = ''.join(c if c.isalnum() or c in '.=-' else '_' for c in name).strip('_')
        path = os.path.join(self._logs, f'{words}.log')
        with open(path, 'w') as file:
            file.write('\n'.join([run.failure, *run.details]) + '\n')
        return path


def _proof(server):
    """In words, from libmn's statistics: that it was at work."""
    text = '\n'.join(_read(path) for path in [server.daemon.err_path, *server.logs()])
    complaint = verdict.complaint(text, server.threads)
    if complaint:
        raise base.Wrong(complaint)
    lines = verdict.stats_of(text)
    gs = sum(int(line.get('gs', 0)) for line in lines)
    return f', {gs:,} Gs in {len(lines)} processes'


def _read(path):
    try:
        with open(path, errors='replace') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def _tails(server):
    lines = []
    if server.daemon:
        for path in [server.daemon.out_path, server.daemon.err_path, *server.logs()]:
            tail = _read(path).splitlines()[-20:]
            if tail:
                lines += [f'{os.path.basename(path)}:'] + ['  ' + line for line in tail]
    return lines


def _title(recipe, what):
    return f'{recipe.name}: {what}' if what else recipe.name


def _medians(runs):
    return {what: statistics.median(run.measured[what] for run in runs)
            for what in (runs[0].measured if runs else {})}
