# SPDX-License-Identifier: Apache-2.0
"""Has a process write its thread dump into a pipe (the protocol: runtime/observe/observer.cc). However the process
behaves, this ends in time, and with no more than MOST_BYTES."""

import ctypes
import errno
import os
import select
import signal
import time

from .heldpipe import PIPE_BYTES, HeldPipe
from .inspect import Ended, Refused
from .layout import BadLayout, number

SI_QUEUE = -1
SYS_RT_TGSIGQUEUEINFO = 297    # x86-64, as libmn
MOST_SIGNAL = 64
# What a shell without job control has its background ignore.
KEYBOARD = 1 << (signal.SIGINT - 1) | 1 << (signal.SIGQUIT - 1)
END = b'libmn: end of dump\n'
SEND_AGAIN = 0.5    # seconds
# A hundred thousand threads have some 60 MiB, in a million lines.
MOST_BYTES = 128 << 20
MOST_LINES = 1 << 22

libc = ctypes.CDLL(None, use_errno=True)


class SigInfo(ctypes.Structure):
    """siginfo_t as sigqueue() fills it in."""
    _fields_ = [('number', ctypes.c_int), ('error', ctypes.c_int), ('code', ctypes.c_int), ('pad', ctypes.c_int),
                ('pid', ctypes.c_int), ('uid', ctypes.c_uint), ('value', ctypes.c_uint64),
                ('rest', ctypes.c_char * 96)]


def signal_of(process):
    """Of dump requests; 0: none."""
    sig = process.layout.variable(process.read, 'stand_in_signal')
    if sig > MOST_SIGNAL:
        raise BadLayout(f'its state makes no sense: signal {sig:,}')
    return sig


def why_not_asked(process, state):
    """Why the process cannot be asked, in one line, or None."""
    sig = signal_of(process)
    pid = process.pid
    if not state.started():
        return f'process {pid}: libmn has made no threads in it'
    if sig == 0:
        return (f'process {pid}: it was started with MN_DUMP_SIGNAL=none; '
                'start it without, or with MN_DUMP_SIGNAL=USR1 or another signal')
    name = signal.Signals(sig).name if sig in set(signal.Signals) else str(sig)
    bit = 1 << (sig - 1)
    offset, size = process.layout.field('SignalAction.handler')
    stride = process.layout.size_of('signal_actions')
    handler = number(process.read, process.layout['signal_actions'] + sig * stride + offset, size)
    if not handler and sig == signal.SIGQUIT and process.signals('SigIgn') & KEYBOARD == KEYBOARD:
        return (f'process {pid}: it ignores {name}, as all does that a script starts with &; start it with '
                'MN_DUMP_SIGNAL=USR1, or by env --default-signal=QUIT; as it is now, gdb shows its threads (info gs)')
    if handler or not process.signals('SigCgt') & bit:
        return (f'process {pid}: the program handles or ignores {name} itself; '
                'start it with MN_DUMP_SIGNAL=USR1 or another signal that it leaves alone')
    if process.signals('SigBlk', state.sched('sysmon_ktid')) & bit:
        return (f'process {pid}: its main thread blocks {name}; '
                'start it with MN_DUMP_SIGNAL=USR1 or another signal that it does not block')
    if namespace('self') != namespace(pid):
        return f'process {pid}: it lives in another PID namespace; run mn there'
    return None


def namespace(pid):
    try:
        return os.stat(f'/proc/{pid}/ns/pid').st_ino
    except OSError:
        raise Ended from None


def request(process, state, seconds):
    """The text of a dump. Raises Refused, or Ended."""
    _check(process, state)
    pipe = HeldPipe(process)
    try:
        return _read_all(process, pipe, lambda: _send(process, state, pipe), seconds)
    finally:
        pipe.close()


def _check(process, state):
    refusal = why_not_asked(process, state)
    if refusal:
        raise Refused(refusal)


def _send(process, state, pipe):
    _check(process, state)
    sig = signal_of(process)
    sysmon = state.sched('sysmon_ktid')
    if sysmon == 0:
        return    # made, but it has not run yet
    info = SigInfo(number=sig, code=SI_QUEUE, pid=pipe.pid, uid=os.getuid(),
                   value=process.layout['dump.request'] | pipe.descriptor)
    if libc.syscall(SYS_RT_TGSIGQUEUEINFO, process.pid, sysmon, sig, ctypes.byref(info)) == 0:
        return
    error = ctypes.get_errno()
    if error == errno.ESRCH:
        raise Ended
    raise Refused(f'process {process.pid}: no signal can be sent to it: {os.strerror(error)}')


def _read_all(process, pipe, send, seconds):
    """Until the dump ends, or the other side closes the pipe, of which we hold an end until it has come. Signals of one
    number do not queue: one that another mn has just sent may take ours along, so it is sent again."""
    deadline = time.monotonic() + seconds
    again, pieces, size, lines, end = 0, [], 0, 0, b''
    while end != END:
        now = time.monotonic()
        if now >= deadline:
            raise Refused(_why_late(process, seconds, bool(pieces)))
        if not pieces and now >= again:
            send()
            again = now + SEND_AGAIN
        ready = select.select([pipe.reader], [], [], min(deadline - now, SEND_AGAIN))[0]
        piece = _piece(pipe.reader) if ready else None
        if piece:
            pipe.only_theirs()
            pieces.append(piece)
            size += len(piece)
            lines += piece.count(b'\n')
            end = (end + piece)[-len(END):]
        elif piece == b'':
            raise Ended
        elif not os.path.exists(f'/proc/{process.pid}'):
            raise Ended
        if size > MOST_BYTES or lines > MOST_LINES:
            raise Refused(f'process {process.pid}: its dump is larger than {MOST_BYTES >> 20} MiB or '
                          f'{MOST_LINES:,} lines')
    return b''.join(pieces).decode(errors='replace')


def _piece(reader):
    """None: somebody else has taken it."""
    try:
        return os.read(reader, PIPE_BYTES)
    except BlockingIOError:
        return None


def _why_late(process, seconds, begun):
    if begun:
        return f'process {process.pid}: its dump did not end within {seconds} s (--timeout)'
    return (f'process {process.pid}: no answer within {seconds} s: it is stopped, or cannot open a pipe of mn\'s '
            '(another /proc, user or security module)')
