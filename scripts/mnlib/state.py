# SPDX-License-Identifier: Apache-2.0
"""The runtime's state as its table lets it be read: Ps, Ms and Gs, as they were a moment ago.

The program runs meanwhile, so nothing that is read is believed: an address may lead nowhere, a list
may run in a circle, and a structure may be another's by now. What does not make sense is left out. Nor is it
believed where the program means harm: whatever is repeated is bounded, and whatever is read has a size that fits.
"""

import collections
import struct

from .layout import BadLayout, Record, Unreadable, number

MOST_PS = 256
MOST_MS = 1 << 16
MOST_GS = 1 << 21
MOST_ARENAS = 1 << 16
MOST_ADOPTED = 1 << 16
# What is read with a G: its waiter lies on its stack, mostly just below it.
BELOW = 2048
LARGE_STEP = 1 << 16    # slots closer than that are read many at a time
CHUNK = 1 << 20

P = collections.namedtuple('P', 'address id m cur queue tick switches steals preemptions next_timer created ended '
                                'parks timers')
M = collections.namedtuple('M', 'address ktid cur p attention spinning wired id')
# kind, key, since, until, heap: of its wait, and where its timer is; kind None: it does not wait.
G = collections.namedtuple('G', 'address state tid name kind key since until heap m wired slot cpu_ns ctx')
NO_WAIT = None, 0, 0, 0, 0


class State:
    P_FIELDS = ('id m tick head tail runnext next_timer gs_created gs_ended switches steals '
                'preemptions parks').split()
    M_FIELDS = 'cur p attention spinning wired ktid id all_next'.split()
    G_FIELDS = 'ctx m state wired system wait_key waiter cpu_ns life slot tid name'.split()
    WAITER_FIELDS = 'key g state kind since timer.when timer.heap'.split()

    def __init__(self, layout, read):
        self.layout = layout
        self._read = read
        self._p = Record(layout, 'P', self.P_FIELDS, texts=('parks',))
        self._m = Record(layout, 'M', self.M_FIELDS)
        self._g = Record(layout, 'G', self.G_FIELDS, texts=('name',))
        self._waiter = Record(layout, 'Waiter', self.WAITER_FIELDS)
        self._at = {name: index for index, name in enumerate(self._g.fields)}
        self._waiter_at = {name: index for index, name in enumerate(self._waiter.fields)}
        self._dead = layout['life.dead']
        self._states = layout.family('state.')
        self.kinds = layout.family('wait.')
        self._wait_queued = layout['waiter.queued']
        self._first_tid = layout['tid.first']

    def sched(self, field):
        offset, size = self.layout.field(f'Sched.{field}')
        return number(self._read, self.layout['sched'] + offset, size)

    def started(self):
        """Whether there are threads, and somebody who looks after them (not so in a forked child without its own)."""
        return bool(self.sched('started'))

    # --- Ps and Ms

    def ps(self):
        count = self.sched('nprocs')
        offset, size = self.layout.field('Sched.ps')
        if count > min(MOST_PS, size // 8):
            raise BadLayout(f'its state makes no sense: {count:,} Ps')
        addresses = struct.unpack(f'<{count}Q', self._read(self.layout['sched'] + offset, 8 * count))
        return [self._p_at(address) for address in addresses if address]

    def _p_at(self, address):
        f = self._p.decode(self._read(address, self._p.size))
        cur = 0
        if f['m']:
            offset, size = self.layout.field('M.cur')
            cur = self._maybe(f['m'] + offset, size)
        queue = min((f['tail'] - f['head']) & 0xffffffff, self.layout.field('P.ring')[1] // 8) + bool(f['runnext'])
        parks = struct.unpack_from(f'<{len(f["parks"]) // 8}Q', f['parks'])
        return P(address, f['id'], f['m'], cur, queue, f['tick'], f['switches'], f['steals'], f['preemptions'],
                 signed(f['next_timer']), f['gs_created'], f['gs_ended'], parks, address +
                 self.layout.field('P.timers')[0])

    def _maybe(self, address, size=8):
        try:
            return number(self._read, address, size)
        except Unreadable:
            return 0

    def ms(self):
        """Those of the scheduler's; the kernel threads of adopted threads are with their Gs."""
        found, address = {}, self.sched('all_ms')
        most = self.layout.count('Sched.most_ms', MOST_MS)
        while address and address not in found and len(found) < most:
            try:
                f = self._m.decode(self._read(address, self._m.size))
            except Unreadable:
                break
            found[address] = M(address, f['ktid'], f['cur'], f['p'], f['attention'], f['spinning'], f['wired'], f['id'])
            address = f['all_next']
        return list(found.values())

    # --- Gs

    def gs(self):
        """All threads of the program that have not ended."""
        main = self.sched('main_g')
        addresses = [main] if main else []
        addresses += self._adopted()
        found = []
        for address in addresses:
            try:
                data = self._read(address, self._g.size)
            except Unreadable:
                continue
            g = self._g_from(data, 0, address, None, None)
            if g and (g.slot == 0 or address != main):
                found.append(g)
        for slots in self._arenas():
            found += self._gs_of(*slots)
        return found

    def _adopted(self):
        found, seen, address = [], set(), self.layout.variable(self._read, 'adopted')
        life, ended = self.layout.field('Adopted.life')[0], self.layout['Adopted.ended']
        to_g, to_next = self.layout.field('Adopted.g')[0], self.layout.field('Adopted.all_next')[0]
        while address and address not in seen and len(seen) < MOST_ADOPTED:
            # A record outlives its thread until others are looked for.
            if not self._maybe(address + life, 4) & ended:
                found.append(address + to_g)
            seen.add(address)
            address = self._maybe(address + to_next)
        return found

    def _arenas(self):
        """(class, addresses of slots) of each arena that can be made sense of; no more slots than MOST_GS."""
        arena = Record(self.layout, 'Arena', ['next', 'base', 'end', 'cls'])
        cls = Record(self.layout, 'StackClass', 'stride tcb_down tcb_align g_down cursor arena_end'.split())
        address, seen, slots = self.layout.variable(self._read, 'arenas'), set(), 0
        while address and address not in seen and len(seen) < MOST_ARENAS:
            seen.add(address)
            try:
                a = arena.decode(self._read(address, arena.size))
                c = cls.decode(self._read(a['cls'], cls.size))
            except Unreadable:
                return
            end = c['cursor'] if c['arena_end'] == a['end'] else a['end']
            # A slot holds a G, and more.
            if c['stride'] >= self._g.size and c['tcb_align'] and a['base'] <= end <= a['end']:
                slots += (end - a['base'] + c['stride'] - 1) // c['stride']
                if slots > MOST_GS:
                    return
                yield c, range(a['base'], end, c['stride'])
            address = a['next']

    def _gs_of(self, c, slots):
        """The Gs of slots of one class: each read together with what lies just below, in large pieces where the
        slots are small."""
        stride, down, align, g_down = c['stride'], c['tcb_down'], c['tcb_align'], c['g_down']
        colours, step = self.layout.count('slot.colours'), self.layout['slot.colour_step']
        g_align = self.layout.count('slot.g_align')

        def g_of(slot):
            tcb = (slot + stride - slot // stride % colours * step - down) & -align
            return (tcb - g_down) & -g_align

        read, size, decode = self._read, self._g.size, self._g_from
        if stride <= LARGE_STEP:
            yield from self._gs_of_small(slots, stride, g_of)
            return
        for slot in slots:
            address = g_of(slot)
            try:
                data = read(address - BELOW, BELOW + size)
            except Unreadable:
                continue
            g = decode(data, BELOW, address, slot, address - BELOW)
            if g:
                yield g

    def _gs_of_small(self, slots, stride, g_of):
        at_once, size = max(CHUNK // stride, 1), self._g.size
        for begin in range(0, len(slots), at_once):
            part = slots[begin:begin + at_once]
            try:
                data, base = self._read(part[0], len(part) * stride), part[0]
            except Unreadable:    # guards that nobody may read
                data, base = None, 0
            for slot in part:
                address = g_of(slot)
                within = data and base <= address <= base + len(data) - size
                try:
                    piece, low = (data, base) if within else (self._read(address, size), address)
                except Unreadable:
                    continue
                g = self._g_from(piece, address - low, address, slot, low)
                if g:
                    yield g

    def _g_from(self, data, offset, address, slot, low):
        """`data` was read at `low`; None where that says nothing of the waiter. `slot`: where it must be."""
        f = self._g.unpack(data, offset)
        at = self._at
        state = self._states.get(f[at['state']])
        if f[at['system']] or state in (None, 'free') or f[at['life']] & self._dead:
            return None
        own_slot = f[at['slot']]
        if slot is not None and own_slot != slot:
            return None
        wait = NO_WAIT
        waiter = f[at['waiter']]
        if waiter and f[at['wait_key']]:
            wait = self._wait(waiter, address, data, low)
        if wait is not NO_WAIT:
            state = 'waiting'
        elif state == 'waiting':
            state = 'runnable'    # about to wait, or woken just now
        name = f[at['name']].partition(b'\0')[0].decode(errors='replace')
        return G(address, state, f[at['tid']], name, *wait, f[at['m']], f[at['wired']], own_slot,
                 signed(f[at['cpu_ns']]), f[at['ctx']])

    def _wait(self, waiter, address, data, low):
        size = self._waiter.size
        try:
            if low is not None and low <= waiter and waiter + size <= low + len(data):
                w = self._waiter.unpack(data, waiter - low)
            else:
                w = self._waiter.unpack(self._read(waiter, size))
        except Unreadable:
            return NO_WAIT
        at = self._waiter_at
        kind = self.kinds.get(w[at['kind']])
        if kind is None or w[at['g']] != address or w[at['state']] != self._wait_queued:
            return NO_WAIT
        return kind, w[at['key']], signed(w[at['since']]), signed(w[at['timer.when']]), w[at['timer.heap']]

    def label(self, g):
        """As dumps name it."""
        if g.address == self.sched('main_g'):
            return 'main thread'
        if g.tid >= self._first_tid:
            return f'thread {g.tid - self._first_tid}'
        return f'kernel thread {g.tid}'

    def ids(self, gs):
        """A number for each: 0 is main, N is what dumps call thread N, of a kernel thread of the program's its own."""
        main, first = self.sched('main_g'), self._first_tid
        return {g.address: 0 if g.address == main else g.tid - first if g.tid >= first else g.tid for g in gs}


def signed(value):
    return value - (1 << 64) if value >> 63 else value
