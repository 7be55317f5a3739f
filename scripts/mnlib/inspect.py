# SPDX-License-Identifier: Apache-2.0
"""Looks into a running process that has libmn: reads its memory and stops nothing."""

import collections
import errno
import os
import re

from . import layout
from .layout import Unreadable
from .preload import LIBRARY

YAMA = '/proc/sys/kernel/yama/ptrace_scope'

MAP_LINE = re.compile(r'([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ *(.*)')

Mapping = collections.namedtuple('Mapping', 'low high permissions offset path')


class Refused(Exception):
    """Why nothing can be seen, in one line."""


class Ended(Exception):
    """The process has ended, or executes another program."""


def why_not_permitted(pid):
    line = f'process {pid}: not permitted: run mn as the user that the process runs as, or as root'
    try:
        with open(YAMA) as file:
            scope = file.read().strip()
    except OSError:
        return line
    if scope == '0':
        return line
    what = {'1': 'only to ancestors', '2': 'only to root'}.get(scope, 'to nobody')
    return f'{line} (kernel.yama.ptrace_scope is {scope}, which permits it {what})'


class Process:
    """An open window on a process. Raises Refused when it cannot be opened."""

    def __init__(self, pid):
        self.pid = pid
        if not os.path.isdir(f'/proc/{pid}'):
            raise Refused(f'process {pid}: no such process')
        try:
            self._memory = os.open(f'/proc/{pid}/mem', os.O_RDONLY | os.O_CLOEXEC)
            mappings = self.mappings()
        except OSError as error:
            raise Refused(self._why(error)) from None
        if not mappings:
            raise Refused(f'process {pid}: it has ended, or is one of the kernel\'s own')
        address = self._find_table(mappings)
        try:
            self.layout = layout.Layout(self.read, address)
            self._check_mode()
        except layout.BadLayout as error:
            raise Refused(f'process {pid}: {error}') from None
        except Unreadable as where:
            raise Refused(f'process {pid}: its libmn\'s table leads to {where}, where nothing is') from None
        except Ended:
            raise Refused(f'process {pid}: it ended just now') from None

    def _why(self, error):
        if error.errno in (errno.EPERM, errno.EACCES):
            return why_not_permitted(self.pid)
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return f'process {self.pid}: no such process'
        return f'process {self.pid}: {error.strerror}'

    def _find_table(self, mappings):
        library = loaded_library(mappings)
        if library is None:
            raise Refused(f'process {self.pid}: it does not have libmn preloaded')
        self.library = library.path
        try:
            address = layout.find_symbol(self.read, library.low, layout.SYMBOL)
        except (Unreadable, Ended):
            address = None
        if address is None:
            raise Refused(f'process {self.pid}: its libmn is of another version than mn: it has no {layout.SYMBOL}')
        return address

    def _check_mode(self):
        offset, size = self.layout.field('Sched.nprocs')
        if layout.number(self.read, self.layout['sched'] + offset, size) == 0:
            raise Refused(f'process {self.pid}: its threads are libc\'s: libmn passes all calls through '
                          '(MN_MODE, MN_PROGRAMS, or what it said at start)')

    def read(self, address, size):
        """`size` bytes, or Unreadable; Ended when there is no process any more."""
        if size > layout.MOST_READ:
            raise Unreadable(hex(address))
        try:
            data = os.pread(self._memory, size, address)
        except (OSError, OverflowError, ValueError):
            raise Unreadable(hex(address)) from None
        if len(data) == size:
            return data
        if not data:
            raise Ended
        raise Unreadable(hex(address))

    def mappings(self):
        with open(f'/proc/{self.pid}/maps', errors='replace') as file:
            found = [MAP_LINE.match(line.rstrip('\n')) for line in file]
        return [Mapping(int(m[1], 16), int(m[2], 16), m[3], int(m[4], 16), m[5]) for m in found if m]

    def proc(self, name, mode='r'):
        """The text of a file of the process's in /proc; Ended when it is not there."""
        try:
            with open(f'/proc/{self.pid}/{name}', mode, errors='replace') as file:
                return file.read()
        except OSError:
            raise Ended from None

    def command(self):
        return self.proc('comm').rstrip('\n')

    def uptime(self):
        """Seconds since it began."""
        fields = self.proc('stat').rpartition(')')[2].split()
        with open('/proc/uptime') as file:
            return float(file.read().split()[0]) - int(fields[19]) / os.sysconf('SC_CLK_TCK')

    def signals(self, field, task=None):
        """A set of signals, as a number: field SigCgt, SigBlk ... of the process's or a task's status."""
        text = self.proc(f'task/{task}/status' if task else 'status')
        found = re.search(rf'^{field}:\s*(\w+)', text, re.M)
        if not found:
            raise Ended
        return int(found[1], 16)


def loaded_library(mappings):
    """The first mapping of libmn.so as ld.so has mapped it: one that is executable follows. (While it dumps, libmn maps
    files, itself too, to look up names.)"""
    first = None
    for mapping in mappings:
        if not is_libmn(mapping.path):
            first = None
        elif mapping.offset == 0:
            first = mapping
        if first is not None and 'x' in mapping.permissions:
            return first
    return None


def is_libmn(path):
    """libmn.so, also when its file has been replaced since."""
    name = os.path.basename(path.replace(' (deleted)', ''))
    return name.startswith(LIBRARY)
