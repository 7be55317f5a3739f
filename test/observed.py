# SPDX-License-Identifier: Apache-2.0
"""Programs of test/observe under libmn, and what it prints of them."""

import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
from mnlib import preload, suite  # noqa: E402

PROGRAMS = os.path.join(ROOT, 'build', 'test', 'observe')
SECONDS = 60    # tells a hang
PROCS = ('1', '2', '8')

THREAD = re.compile(r'((?:main |kernel )?thread(?: \d+)?)(?: "(.*)")? \(0x[0-9a-f]+\) \[(.*)\]:$')
FRAME = re.compile(r'    #\d+ (\? )?([^+]*)(\+0x[0-9a-f]+)?( \(.*\+0x[0-9a-f]+\))?$')
ADDRESS = '0x[0-9a-f]+'

Thread = collections.namedtuple('Thread', 'label name state functions')

library = None    # the libmn.so to test; run.py says which


def the_library():
    return library or preload.find_library(None)


class Program:
    """A program of test/observe under libmn, and what it has written so far."""

    def __init__(self, *argv, lib=None, ignore=None, user=None, cwd=None, **env):
        def at_start():
            if ignore:
                signal.signal(ignore, signal.SIG_IGN)
            if user:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)

        lib = lib or the_library()
        argv = [os.path.join(PROGRAMS, argv[0]), *argv[1:]]
        self._folder = None
        if user:
            lib, argv[0] = self._within_reach(lib, argv[0])
        env = {**preload.libmn_environment(lib, suite.clean_environment()), **env}
        self.child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.PIPE, text=True, errors='replace',
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      preexec_fn=at_start)
        self._text = {}
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=(name, pipe), daemon=True)
                         for name, pipe in (('out', self.child.stdout), ('err', self.child.stderr))]
        for reader in self._readers:
            reader.start()

    def _within_reach(self, lib, program):
        """Copies: other users need not reach the checkout."""
        self._folder = tempfile.TemporaryDirectory()
        os.chmod(self._folder.name, 0o755)
        shutil.copy(os.path.join(os.path.dirname(lib), 'libmn-dump.so'), self._folder.name)
        return [shutil.copy(path, self._folder.name) for path in (lib, program)]

    def _read(self, name, pipe):
        for line in pipe:
            with self._changed:
                self._text[name] = self._text.get(name, '') + line
                self._changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            pipe.close()
        if self._folder:
            self._folder.cleanup()

    @property
    def out(self):
        return self._text.get('out', '')

    @property
    def err(self):
        return self._text.get('err', '')

    def until(self, holds, what):
        """Waits until holds() is true of what has been written."""
        deadline = time.monotonic() + SECONDS
        with self._changed:
            while not holds():
                if time.monotonic() >= deadline:
                    raise AssertionError(f'not within {SECONDS} s: {what}; so far:\n{self.out}{self.err}')
                self._changed.wait(0.1)

    def ready(self):
        self.until(lambda: 'ready\n' in self.out, 'ready')
        return self

    def say(self):
        """The line that programs wait for."""
        self.child.stdin.write('\n')
        self.child.stdin.flush()

    def end(self):
        """Waits for the end; the exit status, or -N."""
        status = self.child.wait(SECONDS)
        for reader in self._readers:
            reader.join()
        return status

    def ask(self, number):
        """Sends a signal after which the program goes on; the dump that follows."""
        before = self.err.count('libmn: end of dump')
        self.child.send_signal(number)
        self.until(lambda: self.err.count('libmn: end of dump') > before, 'a dump')
        return threads_in(self.err[self.err.rindex('libmn: dump of process'):])


def threads_in(text):
    """The threads of a dump. A line in it that is none of a dump's is an error."""
    begin = text.index('libmn: dump of process')
    found = []
    for line in text[begin:text.index('libmn: end of dump', begin)].splitlines():
        thread, frame = THREAD.match(line), FRAME.match(line)
        if thread:
            found.append(Thread(thread[1], thread[2], thread[3], []))
        elif frame:
            found[-1].functions.append((frame[1] or '') + frame[2])
        elif not line.startswith('libmn: '):
            raise AssertionError(f'in a dump: {line!r}')
    return found


def named(threads, name):
    found = [thread for thread in threads if thread.name == name]
    if len(found) != 1:
        raise AssertionError(f'{len(found)} threads called {name}: {threads}')
    return found[0]
