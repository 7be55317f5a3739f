# SPDX-License-Identifier: Apache-2.0
"""The memory of a made-up process with libmn: the table of mnlib/layout.py, and two Ps, an M and some Gs that wait."""

import struct

from mnlib import layout

TABLE, ENTRIES, SCHED, PS, MS, ARENA, CLASS, SLOTS, OTHERS = (0x100000 * n for n in range(1, 10))
STRIDE, GS = 8192, 6
TCB_DOWN, G_DOWN = 512, 1024
KINDS = 'other mutex cond read write sem barrier once join sleep futex descriptor'.split()

# Structure: its fields, each with its size.
STRUCTURES = {
    'Sched': 'nprocs:4 global_size:8 n_idle_ps:4 n_idle_ms:4 n_ms:4 n_spinning:4 started:1 observed:4 all_ms:8 main_g:8 '
             'retakes:8 handoffs:8 wired_parks:8 sysmon_ktid:4 ps:2048',
    'P': 'id:4 m:8 tick:4 head:4 tail:4 runnext:8 ring:2048 next_timer:8 gs_created:8 gs_ended:8 switches:8 steals:8 '
         'preemptions:8 parks:96 timers:64',
    'M': 'cur:8 p:8 attention:4 spinning:1 wired:8 ktid:4 id:4 all_next:8',
    'G': 'ctx:8 tp:8 m:8 state:1 wired:1 system:1 wait_key:8 waiter:8 cpu_ns:8 life:4 slot:8 stack_base:8 stack_size:8 '
         'tid:4 name:16',
    'Waiter': 'key:8 g:8 state:4 kind:1 since:8 timer.when:8 timer.heap:8',
    'Arena': 'next:8 base:8 end:8 cls:8',
    'StackClass': 'stride:8 tcb_down:8 tcb_align:8 g_down:8 cursor:8 arena_end:8',
    'Adopted': 'g:256 life:4 all_next:8',
    'SignalAction': 'handler:8',
}
CONSTANTS = {
    'Sched.most_ms': 10000, 'observed.cpu_times': 1, 'attention.lost_p': 3, 'tid.first': 1 << 30, 'state.free': 0,
    'state.runnable': 1, 'state.running': 2, 'state.waiting': 3, 'state.dead': 4, 'life.dead': 1, 'life.gone': 6,
    'waiter.queued': 1, 'slot.colours': 4, 'slot.colour_step': 64, 'slot.g_align': 64, 'Adopted.ended': 1,
    'switch.ucontext': 1, 'dump.request': 0x6d6e6470 << 32, **{f'wait.{kind}': n for n, kind in enumerate(KINDS)},
}
VARIABLES = {'sched': (2400, SCHED), 'arenas': (8, OTHERS), 'adopted': (8, OTHERS + 8), 'switch': (4, OTHERS + 16),
             'stand_in_signal': (4, OTHERS + 24), 'signal_actions': (64, OTHERS + 64)}


def laid_out():
    """Entries (name -> (size, value)), structures one field after the other."""
    entries = {name: (0, value) for name, value in CONSTANTS.items()}
    entries.update(VARIABLES)
    for kind, fields in STRUCTURES.items():
        at = 0
        for word in fields.split():
            name, size = word.split(':')
            entries[f'{kind}.{name}'] = int(size), at
            at += -(-int(size) // 8) * 8
        entries[kind] = 0, at
    return entries


def build():
    """{address: bytearray}"""
    entries = laid_out()
    memory = {SCHED: bytearray(4096), PS: bytearray(8192), MS: bytearray(4096), ARENA: bytearray(4096),
              CLASS: bytearray(4096), SLOTS: bytearray(STRIDE * GS), OTHERS: bytearray(8192)}

    def put(base, at, kind, /, **values):
        for name, value in values.items():
            size, offset = entries[f'{kind}.{name.replace("__", ".")}']
            data = value if isinstance(value, bytes) else value.to_bytes(size, 'little')
            memory[base][at + offset:at + offset + len(data)] = data

    p_size = entries['P'][1]
    put(SCHED, 0, 'Sched', nprocs=2, n_ms=1, started=1, observed=1, all_ms=MS, sysmon_ktid=4711, main_g=SLOTS,
        ps=struct.pack('<QQ', PS, PS + p_size))
    put(PS, 0, 'P', m=MS, switches=77, parks=struct.pack('<12Q', *range(12)))
    put(PS, p_size, 'P', id=1)
    put(MS, 0, 'M', p=PS, ktid=4712)
    put(ARENA, 0, 'Arena', base=SLOTS, end=SLOTS + STRIDE * GS, cls=CLASS)
    put(CLASS, 0, 'StackClass', stride=STRIDE, tcb_down=TCB_DOWN, tcb_align=64, g_down=G_DOWN, cursor=SLOTS + STRIDE * GS,
        arena_end=SLOTS + STRIDE * GS)
    memory[OTHERS][0:8] = ARENA.to_bytes(8, 'little')
    for n in range(GS):
        slot = SLOTS + n * STRIDE
        tcb = (slot + STRIDE - slot // STRIDE % 4 * 64 - TCB_DOWN) & -64
        g = (tcb - G_DOWN) & -64
        put(SLOTS, g - SLOTS, 'G', state=3, wait_key=0x1234, waiter=g - 200, slot=slot, tid=(1 << 30) + n, name=b'worker%d' % n,
            cpu_ns=n * 1000000)
        put(SLOTS, g - 200 - SLOTS, 'Waiter', key=0x1234, g=g, state=1, kind=n % 12)
    packed = b''.join(layout.ENTRY.pack(name.encode(), *value) for name, value in entries.items())
    memory[ENTRIES] = bytearray(packed)
    memory[TABLE] = bytearray(layout.HEADER.pack(layout.MAGIC, layout.VERSION, layout.ENTRY.size, len(entries), ENTRIES))
    return memory


def reader(memory):
    """read(address, size) of it."""
    def read(address, size):
        if size > layout.MOST_READ:
            raise layout.Unreadable(hex(address))
        base = address >> 20 << 20
        data = memory.get(base, b'')
        if address - base + size > len(data):
            raise layout.Unreadable(hex(address))
        return bytes(data[address - base:address - base + size])
    return read


class Process:
    """As mnlib/inspect.py's, with such a memory."""

    pid, library = 4711, '/usr/lib/libmn.so'

    def __init__(self, memory):
        self.read = reader(memory)
        self.layout = layout.Layout(self.read, TABLE)

    @staticmethod
    def mappings():
        return []

    @staticmethod
    def command():
        return 'made up'

    @staticmethod
    def uptime():
        return 7.0
