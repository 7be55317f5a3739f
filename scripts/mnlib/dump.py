# SPDX-License-Identifier: Apache-2.0
"""Has a process write its thread dump into a pipe of ours (the protocol: runtime/observe/observer.cc),
and groups its threads by their stacks."""

import collections
import ctypes
import errno
import fcntl
import os
import re
import select
import signal
import time

from .inspect import Ended, Refused
from .layout import number

SI_QUEUE = -1
SYS_RT_TGSIGQUEUEINFO = 297    # x86-64, as libmn
PR_SET_DUMPABLE = 4
PIPE_BYTES = 1 << 20
END = b'libmn: end of dump\n'
SEND_AGAIN = 0.5    # seconds
F_SETPIPE_SZ = 1031

THREAD = re.compile(r'((?:main |kernel )?thread(?: (\d+))?)(?: "(.*)")? \(0x[0-9a-f]+\) \[(.*)\]:$')
FRAME = re.compile(r'    (?:#\d+ )(.*)$')
SINCE = re.compile(r', (\d+ ms|[\d.]+ s)(, at most [\d.]+ m?s more)?(;.*)?$')
KERNEL_THREAD = re.compile(r' on kernel thread \d+')
ADDRESS = re.compile(r'0x[0-9a-f]+')

MOST_SHOWN = 8    # threads named of a group

libc = ctypes.CDLL(None, use_errno=True)


class SigInfo(ctypes.Structure):
    """siginfo_t as sigqueue() fills it in."""
    _fields_ = [('number', ctypes.c_int), ('error', ctypes.c_int), ('code', ctypes.c_int), ('pad', ctypes.c_int),
                ('pid', ctypes.c_int), ('uid', ctypes.c_uint), ('value', ctypes.c_uint64),
                ('rest', ctypes.c_char * 96)]


def why_not_asked(process, state):
    """Why the process cannot be asked, in one line, or None."""
    sig = process.layout.variable(process.read, 'stand_in_signal')
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


def become_owner_of(process):
    """Root opens what it likes, but the process must be able to open root's pipe: so root becomes its user."""
    status = process.proc('status')
    uid, gid = (int(re.search(rf'^{name}:\s+\d+\s+(\d+)', status, re.M)[1]) for name in ('Uid', 'Gid'))
    if os.geteuid() != 0 or uid == 0:
        return
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def request(process, state, seconds):
    """The text of a dump. Raises Refused, or Ended."""
    _check(process, state)
    become_owner_of(process)
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(reader, F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass    # it is slower
    try:
        return _read_all(process, reader, writer, lambda: _send(process, state, reader), seconds)
    finally:
        os.close(reader)


def _check(process, state):
    refusal = why_not_asked(process, state)
    if refusal:
        raise Refused(refusal)


def _send(process, state, descriptor):
    _check(process, state)
    sig = process.layout.variable(process.read, 'stand_in_signal')
    sysmon = state.sched('sysmon_ktid')
    if sysmon == 0:
        return    # made, but it has not run yet
    info = SigInfo(number=sig, code=SI_QUEUE, pid=os.getpid(), uid=os.getuid(),
                   value=process.layout['dump.request'] | descriptor)
    if libc.syscall(SYS_RT_TGSIGQUEUEINFO, process.pid, sysmon, sig, ctypes.byref(info)) == 0:
        return
    error = ctypes.get_errno()
    if error == errno.ESRCH:
        raise Ended
    raise Refused(f'process {process.pid}: no signal can be sent to it: {os.strerror(error)}')


def _read_all(process, reader, writer, send, seconds):
    """Until the dump ends, or the other side closes the pipe, of which we hold an end until it has come. Signals of one
    number do not queue: one that another mn has just sent may take ours along, so it is sent again."""
    deadline, again, text = time.monotonic() + seconds, 0, b''
    try:
        while not text.endswith(END):
            now = time.monotonic()
            if not text and now >= again:
                send()
                again = now + SEND_AGAIN
            ready = select.select([reader], [], [], max(min(deadline - now, SEND_AGAIN), 0))[0]
            if ready:
                piece = os.read(reader, PIPE_BYTES)
                if writer is not None:
                    os.close(writer)
                    writer = None
                if not piece:
                    raise Ended
                text += piece
            elif now >= deadline:
                raise Refused(_why_late(process, seconds, bool(text)))
            elif not os.path.exists(f'/proc/{process.pid}'):
                raise Ended
    finally:
        if writer is not None:
            os.close(writer)
    return text.decode(errors='replace')


def _why_late(process, seconds, begun):
    if begun:
        return f'process {process.pid}: its dump did not end within {seconds} s (--timeout)'
    return (f'process {process.pid}: no answer within {seconds} s: it is stopped, or cannot open a pipe of mn\'s '
            '(another /proc, user or security module)')


# --- grouping

Thread = collections.namedtuple('Thread', 'label id name state frames')


def parse(text):
    threads = []
    for line in text.splitlines():
        thread, frame = THREAD.match(line), FRAME.match(line)
        if thread:
            label = 'main' if thread[1].startswith('main') else thread[1].replace('thread ', '')
            threads.append(Thread(label, int(thread[2] or 0), thread[3] or '', thread[4], []))
        elif threads and (frame or line == '    ...'):
            threads[-1].frames.append(frame[1] if frame else '...')
    return threads


def reason(state):
    """What of a state threads may have in common, and how long it has lasted: (text, since)."""
    since = SINCE.search(state)
    if since:
        return state[:since.start()] + (since[3] or ''), since[1]
    return KERNEL_THREAD.sub('', state).rstrip(','), None


def grouped(threads):
    """[(reason, frames, [(thread, since)])], the largest first. What threads wait for may differ in its address."""
    groups = collections.OrderedDict()
    for thread in threads:
        what, since = reason(thread.state)
        key = (ADDRESS.sub('0x', re.sub(r'\b(descriptor|thread) \d+', r'\1', what)), tuple(thread.frames))
        groups.setdefault(key, []).append((thread, what, since))
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def ranges(numbers):
    """"1-5, 8" """
    spans = []
    for number_ in sorted(numbers):
        if spans and number_ == spans[-1][1] + 1:
            spans[-1][1] = number_
        else:
            spans.append([number_, number_])
    return [str(low) if low == high else f'{low}-{high}' for low, high in spans]


def shortened(words, most=MOST_SHOWN):
    if len(words) <= most:
        return ', '.join(words)
    return ', '.join(words[:most]) + f' ... ({len(words) - most} more)'


def describe_group(members):
    """The lines about a group, without its stack."""
    whats = list(dict.fromkeys(what for _, what, _ in members))
    count = len(members)
    head = f'{count:,} thread{"s" if count != 1 else ""}'
    state = whats[0]
    if len(whats) > 1:
        state += f' (and {len(whats) - 1:,} others)'
    since = [since for _, _, since in members if since]
    if since:
        low, high = min(since, key=seconds_of), max(since, key=seconds_of)
        state += f', {low}' if low == high else f', {low} to {high}'
    lines = [f'{head}: {state}']
    numbers = [thread.id for thread, _, _ in members if thread.label.isdigit()]
    others = [thread.label for thread, _, _ in members if not thread.label.isdigit()]
    lines.append('    who: ' + shortened(others + ranges(numbers)))
    names = condensed(thread.name for thread, _, _ in members if thread.name)
    if names:
        lines.append('    names: ' + shortened(names))
    return lines


def condensed(names):
    """"worker3", "worker4", "worker5" as "worker3-5", and how often each comes if that is more than once."""
    found = collections.Counter(names)
    numbered, words = {}, []
    for name, count in found.items():
        match = re.fullmatch(r'(.*?)(0|[1-9]\d{0,14})', name)
        if match and count == 1:
            numbered.setdefault(match[1], []).append(int(match[2]))
        else:
            words.append(name if count == 1 else f'{name} x {count:,}')
    return words + [f'{prefix}{span}' for prefix, numbers in numbered.items() for span in ranges(numbers)]


def seconds_of(text):
    value, unit = text.split()
    return float(value) / (1000 if unit == 'ms' else 1)


def report(text):
    """The dump's text as groups."""
    threads = parse(text)
    first = text.splitlines()[0]
    stacks = grouped(threads)
    yield (f'{first.partition(": ")[2].rpartition(":")[0]}: {len(threads):,} threads, {len(stacks):,} different stacks')
    for line in text.splitlines():
        if line.startswith('libmn: callers are guesses'):
            yield line
    for (_, frames), members in stacks:
        yield ''
        yield from describe_group(members)
        for number_, frame in enumerate(frames):
            yield f'    #{number_} {frame}'
