# SPDX-License-Identifier: Apache-2.0
"""What is common to all servers under test: the recipe that each module fills in, and a process
that is started, awaited, watched and stopped.

A server runs in the foreground with its configuration and data in a folder of its own and listens
on 127.0.0.1. The clients run natively. A load checks every answer, and gives what it measured.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time

from .. import process, proctree

SBIN = '/usr/local/sbin:/usr/sbin:/sbin'
SAMPLE_SECONDS = 0.1


class Wrong(Exception):
    """What a server did, or did not do, that it does when it is well."""


def find(program):
    """The path of a program, also of one that only root has in PATH; None if it is missing."""
    return shutil.which(program, path=os.environ.get('PATH', os.defpath) + ':' + SBIN)


def client(argv, seconds, env=None, stdin_text=None):
    """Runs a client, which must end well and in time: what it wrote."""
    try:
        result = subprocess.run(argv, env=env, input=stdin_text, text=True, timeout=seconds,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                                errors='replace')
    except subprocess.TimeoutExpired as expired:
        raise Wrong(f'{argv[0]} did not end in {seconds} s') from expired
    if result.returncode != 0:
        tail = ' | '.join(result.stdout.strip().splitlines()[-5:])
        raise Wrong(f'{argv[0]}: {process.ending(result.returncode)}: {tail}')
    return result.stdout


def figure_in(pattern, text):
    """The number that `pattern`'s group finds in what a client wrote."""
    match = re.search(pattern, text)
    if match is None:
        raise Wrong(f'a client did not say {pattern}: {text.strip()[-200:]}')
    return float(match[1])


class Server:
    """A recipe. One object is one run: folder, ports and helpers are its own."""

    name = ''
    programs = ()          # what must be installed; the first is the server
    unit = 'requests/s'
    threads = True         # makes threads, so libmn's statistics must count some
    seconds = {False: 5, True: 2}    # of each load: full, quick
    start_seconds = 60
    stop_seconds = 60
    stop_signal = signal.SIGTERM

    def __init__(self, folder, shared, quick, env):
        self.folder = folder
        self.shared = shared    # a folder for what all runs of a server can start from
        self.quick = quick
        self.load_seconds = self.seconds[quick]
        self.env = env          # for clients: without libmn
        self.daemon = None

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        path = self.path(name)
        with open(path, 'wb' if isinstance(text, bytes) else 'w') as file:
            file.write(text)
        return path

    def client(self, *argv, seconds=None, stdin_text=None):
        return client([str(word) for word in argv], seconds or self.load_seconds + 90,
                      self.env, stdin_text)

    # What a module says.

    def prepare(self):
        """Configuration, data, and helpers that run natively."""

    def argv(self):
        raise NotImplementedError

    def probe(self):
        """Raises OSError or Wrong while the server does not answer."""
        raise NotImplementedError

    def load(self):
        """Checks every answer: {what: measured}, where what may be empty."""
        raise NotImplementedError

    def check_after(self):
        """After a clean end: what the server left on disk."""

    def logs(self):
        """Files to which the server turns its standard error."""
        return []

    def close(self):
        """Ends helpers."""


class Daemon:
    """A server's process, with its descendants."""

    def __init__(self, argv, env, folder):
        self.argv = argv
        self.out_path = os.path.join(folder, 'stdout')
        self.err_path = os.path.join(folder, 'stderr')
        with open(self.out_path, 'ab') as out, open(self.err_path, 'ab') as err:
            self._child = subprocess.Popen(argv, env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=err, start_new_session=True)
        self.pid = self._child.pid
        self.kernel_threads = 0    # at the peak
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _watch(self):
        while not self._stop.wait(SAMPLE_SECONDS):
            tasks = 0
            for pid in proctree.descendants(self.pid):
                try:
                    tasks += len(os.listdir(f'/proc/{pid}/task'))
                except OSError:
                    pass    # it has just ended
            self.kernel_threads = max(self.kernel_threads, tasks)

    def ended(self):
        if self._child.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait_until_ready(self, probe, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                probe()
                return
            except (OSError, EOFError, Wrong) as error:
                if self.ended():
                    raise Wrong('ended before it answered') from error
                if time.monotonic() > deadline:
                    raise Wrong(f'did not answer in {seconds} s: {error}') from error
            time.sleep(0.05)

    def stop(self, seconds, by=signal.SIGTERM):
        """Asks it to end: the exit status, -N after signal N; Wrong if it does not."""
        if self.ended():
            raise Wrong('ended before it was asked to')
        os.kill(self.pid, by)
        if not process.wait_until(self._child, seconds):
            raise Wrong(f'did not end within {seconds} s of {by.name}')
        return self.reap()

    def reap(self):
        self._stop.set()
        self._watcher.join()
        return self._child.wait()

    def describe(self):
        """Where it hangs, or how it ended."""
        if self.ended():
            return [f'the server: {process.ending(self.reap())}']
        return process.diagnose(self.pid)

    def kill(self):
        """Ends whatever is left, descendants that went into sessions of their own included."""
        for pid in proctree.descendants(self.pid)[::-1]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.reap()
