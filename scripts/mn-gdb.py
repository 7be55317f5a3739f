# SPDX-License-Identifier: Apache-2.0
"""The threads of a program under libmn in gdb, of a process or of a core file.

  info gs        all threads: id, state, name, what it waits for, where in the program it is
  g 3 bt         any command of gdb's, as if thread 3 were selected (0 is main)
  g all bt       the same for each thread

gdb reads this file by itself where libmn is installed in a place that it trusts (set auto-load
safe-path); elsewhere: source mn-gdb.py. Nothing is written to the process: a parked thread's frames
follow the newest frame of whatever kernel thread is selected. What gdb's own commands print is gdb's.
"""

import os
import re
import sys

import gdb
import gdb.unwinder

HERE = os.path.dirname(os.path.realpath(__file__))
# In a checkout mnlib lies beside this file; installed, under PREFIX/lib, and this file beside libmn.so
# or under /usr/share/gdb/auto-load.
for place in (HERE, *(os.path.join(HERE, *['..'] * up, 'lib', 'libmn') for up in range(1, 12))):
    if os.path.isdir(os.path.join(place, 'mnlib')):
        sys.path.insert(0, place)
        break

from mnlib import layout, state  # noqa: E402
from mnlib.foreign import shown  # noqa: E402
from mnlib.layout import Unreadable  # noqa: E402

REGISTERS = ('rbx', 'rbp', 'r12', 'r13', 'r14', 'r15')
MOST_FRAMES = 32
ADDRESSES = (1 << 64) - 1
RUNTIME = ('libmn.so', 'libc.so', 'libpthread.so', 'ld-linux')


def say(line):
    print(shown(line))


def error(why):
    return gdb.GdbError(shown(f'mn: {why}'))


def read(address, size):
    if size > layout.MOST_READ:
        raise Unreadable(hex(address))
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except (gdb.MemoryError, gdb.error, OverflowError):
        raise Unreadable(hex(address)) from None


def the_state():
    try:
        address = gdb.parse_and_eval(f'&::{layout.SYMBOL}')
        found = state.State(layout.Layout(read, int(address)), read)
        if found.sched('started'):
            return found
    except layout.BadLayout as bad:
        raise error(bad) from None
    except (gdb.error, Unreadable):
        raise error('there is no libmn in this program, or it has not begun') from None
    raise error('libmn has made no threads in this program')


def saved_registers(runtime, g):
    """What a parked thread goes on with."""
    table = runtime.layout
    if table.variable(read, 'switch') == table['switch.ucontext']:
        frame = layout.Record(table, 'ucontext', [*REGISTERS, 'rsp', 'rip'])
        return frame.decode(read(g.ctx, frame.size))
    frame = layout.Record(table, 'SavedFrame', [*REGISTERS, 'return_address'])
    values = frame.decode(read(g.ctx, frame.size))
    values['rip'] = values.pop('return_address')
    values['rsp'] = (g.ctx + frame.size) & ADDRESSES
    return values


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Parked(gdb.unwinder.Unwinder):
    """While a thread is looked at: the newest frame's caller is where that thread is parked."""

    def __init__(self):
        super().__init__('libmn')
        self.registers = None
        self.newest = None

    def __call__(self, pending):
        if self.registers is None:
            return None
        sp, pc = pending.read_register('rsp'), pending.read_register('rip')
        if (int(sp), int(pc)) != self.newest:
            return None
        # gdb wants the stack of a caller to lie above.
        below = gdb.Value((self.registers['rsp'] - 16) & ADDRESSES).cast(sp.type)
        unwound = pending.create_unwind_info(FrameId(below, pc))
        for name, value in self.registers.items():
            kind = pending.read_register(name).type
            unwound.add_saved_register(name, gdb.Value(value.to_bytes(8, 'little'), kind))
        return unwound

    def __enter__(self):
        return self

    def look_at(self, registers):
        frame = gdb.newest_frame()
        self.newest = int(frame.read_register('rsp')), int(frame.read_register('rip'))
        self.registers = registers
        gdb.invalidate_cached_frames()

    def __exit__(self, *_):
        self.registers = self.newest = None
        gdb.invalidate_cached_frames()


parked = Parked()
gdb.unwinder.register_unwinder(None, parked, replace=True)


class WithoutNewest:
    """Backtraces of a parked thread begin with its own first frame."""

    name = 'libmn'
    priority = 1000
    enabled = True

    def __init__(self):
        gdb.frame_filters[self.name] = self

    def filter(self, frames):
        return frames if parked.registers is None else self._rest(frames)

    @staticmethod
    def _rest(frames):
        first = True
        for frame in frames:
            if not first:
                yield frame
            first = False


WithoutNewest()


def kernel_thread_of(runtime, g):
    """gdb's thread that runs it, or None."""
    if not g.m:
        return None
    offset, size = runtime.layout.field('M.ktid')
    try:
        ktid = layout.number(read, g.m + offset, size)
    except Unreadable:
        return None
    return next((thread for thread in gdb.selected_inferior().threads() if thread.ptid[1] == ktid), None)


def runs(g):
    """Whether its registers are a kernel thread's."""
    return bool(g.wired) or g.state == 'running'


def in_its_context(runtime, g, function):
    """Calls function() with gdb looking at g; all is as before afterwards."""
    before, frame = gdb.selected_thread(), None
    if before is None:
        raise error('no kernel thread is selected')
    try:
        frame = gdb.selected_frame()
        if runs(g):
            thread = kernel_thread_of(runtime, g)
            if thread is None:
                raise error(f'{runtime.label(g)} runs on a kernel thread that gdb does not know')
            thread.switch()
            return function()
        try:
            registers = saved_registers(runtime, g)
        except (Unreadable, layout.BadLayout):
            raise error(f'the stack of {runtime.label(g)} cannot be read') from None
        with parked:
            parked.look_at(registers)
            first = gdb.newest_frame().older()
            if first is None:
                raise error(f'the stack of {runtime.label(g)} leads nowhere')
            first.select()
            return function()
    finally:
        before.switch()
        if frame is not None and frame.is_valid():
            frame.select()


def place():
    """The innermost function that is neither libmn's nor libc's."""
    frame, first = gdb.selected_frame(), None
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        name = frame.name() or hex(frame.pc())
        first = first or name
        library = gdb.solib_name(frame.pc())
        if library is None or not os.path.basename(library).startswith(RUNTIME):
            return name
        frame = frame.older()
    return first or '?'


def wait_of(g):
    if g.kind is None:
        return ''
    return g.kind if g.kind in ('sleep', 'descriptor', 'join') else f'{g.kind} {g.key:#x}'


class InfoGs(gdb.Command):
    """All threads of a program under libmn: id, state, name, what each waits for, where it is."""

    def __init__(self):
        super().__init__('info gs', gdb.COMMAND_STACK)

    def invoke(self, _argument, _from_tty):
        runtime = the_state()
        gs = sorted_gs(runtime)
        say(f'{"id":>6}  {"state":8}  {"name":15}  {"waits for":26}  in')
        for number, g in gs:
            try:
                where = in_its_context(runtime, g, place)
            except (gdb.GdbError, gdb.error, OverflowError):
                where = '?'
            say(f'{number:6}  {g.state:8}  {g.name:15}  {wait_of(g):26}  {where}')


class OneG(gdb.Command):
    """g ID COMMAND, g all COMMAND: a command of gdb's in the context of a thread of libmn's (info gs)."""

    def __init__(self):
        super().__init__('g', gdb.COMMAND_STACK)

    def invoke(self, argument, _from_tty):
        which, _, command = argument.strip().partition(' ')
        if not command.strip() or not re.fullmatch('all|[0-9]{1,18}', which):
            raise error('say: g ID COMMAND, or g all COMMAND')
        runtime = the_state()
        gs = sorted_gs(runtime)
        chosen = gs if which == 'all' else [pair for pair in gs if pair[0] == int(which)]
        if not chosen:
            raise error(f'there is no thread {which} (info gs)')
        for number, g in chosen:
            if which == 'all':
                wait = wait_of(g)
                say('')
                say(f'G {number} "{g.name}" {g.state}' + (f': {wait}' if wait else ''))
            try:
                in_its_context(runtime, g, lambda: gdb.execute(command))
            except gdb.GdbError as why:
                if which != 'all':
                    raise
                say(why)


def sorted_gs(runtime):
    try:
        gs = runtime.gs()
        ids = runtime.ids(gs)
    except layout.BadLayout as bad:
        raise error(bad) from None
    except Unreadable as where:
        raise error(f'its state leads to {where}, where nothing is') from None
    return sorted(((ids[g.address], g) for g in gs), key=lambda pair: pair[0])


InfoGs()
OneG()
