# SPDX-License-Identifier: Apache-2.0
"""The parsers that test/mn_fuzz.py feeds: of each a name, what makes an input of chance, and what parses it."""

import _ctypes
import collections
import io
import json
import math
import struct
import tempfile

import image
from mnlib import (asking, baseline, compare, dump, estimate, foreign, gate, inspect, layout, measure, metrics, screen, state,
                   symbols, topview, traces, variants)
from mnlib.commands import trace as trace_command
from mnlib.report import figures, page, summary, words

NUMBERS = [0, 1, 2, 3, 7, 8, 255, 256, 4095, 4096, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 47,
           1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1, *image.VARIABLES.values()]
NUMBERS = [number[1] if isinstance(number, tuple) else number for number in NUMBERS]
WORDS = [b'', b'\n', b'\r', b'\0', b'"', b'\\', b'\033[31m', b'\xff\xfe', '\u202e'.encode(), b'|', b'`', b'<b>', b'@x', b'9' * 5000,
         b'-1', b'1e999', b'NaN', b'Infinity', b'true', b'null', b'[' * 3000, b'{"ph":', b'0x', b' ms',
         b', 1 s', b'1.2.3', b'thread', b'(0x1) [']

DUMP = b'''libmn: dump of process 7, 2 Ps, 1 of them busy: request
libmn: callers are guesses where code has no tables
main thread "app" (0x7f43dbf28740) [in system call read on kernel thread 7]:
    #0 read+0x20 (/usr/lib/libc.so.6+0x1)
    #1 main+0x70 (/usr/bin/app+0x2320)
thread 1 "worker1" (0x7f4384f813c0) [waiting for mutex 0x560754b952e0 held by main thread, 102 ms]:
    ...
    #3 f+0x3c (/usr/bin/app+0x246c)
thread 2 "worker2" (0x7f4384f813c0) [waiting for mutex 0x560754b952e8 held by main thread, 1.2 s, at most 3.1 s more]:
    ...
    #3 f+0x3c (/usr/bin/app+0x246c)
libmn: end of dump
'''
TRACE = b'''[{"ph":"M","pid":7,"tid":0,"ts":0,"name":"process_name","args":{"name":"app"}},
{"ph":"X","pid":7,"tid":1,"ts":1.5,"dur":2.25,"name":"thread 1","cat":"thread","args":{"name":"w","end":"waits","for":"mutex","address":"0x1","held by":"main thread"}},
{"ph":"X","pid":7,"tid":2,"ts":2.5,"dur":2.25,"name":"main thread","cat":"thread","args":{"name":"m","end":"yields"}},
{"ph":"s","pid":7,"tid":2,"ts":3.0,"id":1,"name":"wakes","cat":"wake"},
{"ph":"X","pid":7,"tid":1,"ts":5.5,"dur":2.25,"name":"thread 1","cat":"thread","args":{"name":"w","end":"ends"}},
{"ph":"f","pid":7,"tid":1,"ts":5.5,"id":1,"name":"wakes","cat":"wake","bp":"e"},
{"ph":"X","pid":7,"tid":1,"ts":8.5,"dur":2.25,"name":"not recorded","cat":"gap","args":{"switches":7}},
{"ph":"C","pid":7,"tid":0,"ts":9,"name":"alive","args":{"threads":2}},
{"ph":"M","pid":7,"tid":0,"ts":9,"name":"libmn","args":{"slices":3}}
]
'''
PROGRAM = compare.Program(['app', '-x'])
QPS = metrics.parse(r'qps: (\S+)', False)
BASELINE = json.dumps({'schema': 1, 'kind': baseline.KIND, 'command': PROGRAM.argv,
                       'metrics': {'qps': {'ratio': 1.5, 'pairs': [1.5, 1.25] * 5}}}).encode()
ELF_EDGES = 4096    # bytes at either end of a library: its headers
ODD = [None, True, False, -1, 0, 1, 1.5, 1e308, 5e-324, 10 ** 400, float('nan'), float('inf'), '', 'x' * 9999, '\033[31m\n', '\udc80',
       [], {}, [[]], [1] * 9, [5e-324] * 9, [1e308] * 9, {'ph': 'X'}]

# `every`: how many inputs of the others' come to one of its own. `places` makes those that need no chance.
Target = collections.namedtuple('Target', 'name make parse refusals every places', defaults=(1, list))


def bytes_of(seed):
    """A maker: mutations of `seed`, now and then bytes of no meaning."""
    def make(chance, mutated):
        if chance.randrange(20) == 0:
            return chance.randbytes(chance.choice((0, 1, 100, 10000)))
        return mutated(chance, seed, WORDS)
    return make


def odd(chance, value):
    """JSON with one of its values, or of those within, replaced by an odd one."""
    if chance.randrange(4) == 0 or not isinstance(value, (dict, list)) or not value:
        return chance.choice(ODD)
    copy = value.copy()
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    copy[key] = odd(chance, value[key])
    return copy


def odd_in_each_place(value):
    """What odd() can make: JSON with each of its values, and of those within, replaced by each odd one."""
    yield from ODD
    if not isinstance(value, (dict, list)):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        for replaced in odd_in_each_place(value[key]):
            copy = value.copy()
            copy[key] = replaced
            yield copy


def traces_with_odd_places():
    lines = TRACE.splitlines()
    for at, line in enumerate(lines[:-1]):
        for event in odd_in_each_place(json.loads(line.strip(b'[,'))):
            begin = b'[' if at == 0 else b''
            yield b'\n'.join([*lines[:at], begin + json.dumps(event).encode() + b',', *lines[at + 1:]])


def baselines_with_odd_places():
    return (json.dumps(content).encode() for content in odd_in_each_place(json.loads(BASELINE)))


def a_trace(chance, mutated):
    """Lines that are wrong as bytes, or as events."""
    if chance.randrange(2):
        return bytes_of(TRACE)(chance, mutated)
    lines = TRACE.splitlines()
    for _ in range(chance.choice((1, 1, 3))):
        at = chance.randrange(len(lines) - 1)
        event = json.loads(lines[at].strip(b'[,')) if lines[at].strip(b'[,').startswith(b'{') else {}
        lines[at] = (b'[' if at == 0 else b'') + json.dumps(odd(chance, event)).encode() + b','
    return b'\n'.join(lines)


def a_baseline(chance, mutated):
    if chance.randrange(4) == 0:
        return bytes_of(BASELINE)(chance, mutated)
    content = json.loads(BASELINE)
    if chance.randrange(2):
        content['metrics']['qps'] = odd(chance, content['metrics']['qps'])
        return json.dumps(content).encode()
    return json.dumps(odd(chance, content)).encode()


def a_memory(chance, mutated):
    """Entries with a size or a value of chance, and bytes here and there."""
    memory = image.build()
    for _ in range(chance.choice((1, 1, 2, 5))):
        how = chance.randrange(4)
        entries = memory[image.ENTRIES]
        at = chance.randrange(len(entries) // layout.ENTRY.size + 1) * layout.ENTRY.size
        number = chance.choice((0, chance.choice(NUMBERS), chance.randrange(1 << 64), chance.randrange(100)))
        number = number.to_bytes(8, 'little')
        if how < 2:
            entries[at + 40 + 8 * how:at + 48 + 8 * how] = number
        elif how == 2:
            base = chance.choice(list(memory))
            place = chance.randrange(len(memory[base]) // 8 + 1) * 8
            memory[base][place:place + 8] = number
        else:
            base = chance.choice((image.TABLE, image.ENTRIES, image.SCHED, image.CLASS, image.ARENA, image.OTHERS))
            memory[base] = bytearray(mutated(chance, memory[base], WORDS))
    return memory


def parse_memory(memory):
    process = image.Process(memory)
    its_state = state.State(process.layout, process.read)
    asking.signal_of(process)
    view = topview.View(process, its_state)
    view.check()
    return [screen.cut(foreign.shown(line), 80) for _ in range(2) for line in view.lines(24)]


def parse_library(data):
    def read(address, size):
        if size > layout.MOST_READ or not 0 <= address <= len(data) - size:
            raise layout.Unreadable(hex(address))
        return data[address:address + size]

    base, found = symbols.read_symbols(io.BytesIO(data), 0)
    return [str(base), *(foreign.shown(name) for _, name, _ in found), str(layout.find_symbol(read, 0, 'PyInit__ctypes'))]


def a_library(chance, mutated):
    with open(_ctypes.__file__, 'rb') as file:
        data = file.read()
    how = chance.randrange(3)
    if how == 0:
        return mutated(chance, data[:ELF_EDGES], WORDS) + data[ELF_EDGES:]
    if how == 1:
        return data[:-ELF_EDGES] + mutated(chance, data[-ELF_EDGES:], WORDS)
    loaded = as_loaded(data)
    for _ in range(chance.choice((1, 4, 64))):
        at = chance.randrange(len(loaded) // 8) * 8
        loaded[at:at + 8] = chance.choice(NUMBERS).to_bytes(8, 'little')
    return bytes(loaded)


def as_loaded(data):
    """The library where ld.so would put it."""
    table, = struct.unpack_from('<Q', data, 32)
    size, count = struct.unpack_from('<HH', data, 54)
    parts = [struct.unpack_from('<IIQQQQ', data, table + index * size) for index in range(count)]
    parts = [(where, offset, length) for kind, _, offset, where, _, length in parts if kind == layout.PT_LOAD]
    loaded = bytearray(max(where + length for where, _, length in parts))
    for where, offset, length in parts:
        loaded[where:where + length] = data[offset:offset + length]
    return loaded


def by_file(parse):
    """A parser of the file that holds the input."""
    def parse_bytes(data):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return parse(file.name)
    return parse_bytes


def parse_trace(path):
    return [foreign.shown(line) for line in trace_command.summary(path, traces.read(path))]


def parse_baseline(path):
    logs = baseline.read(path, PROGRAM, [QPS])['qps']
    found = gate.judge([0.1] * 9, 0.95, estimate.LEVEL, logs)[0]
    return [f'{found.ratio} {found.low} {found.high}']


def a_result(chance, mutated):
    """What a program wrote on stdout and on stderr, in turn for each run."""
    figures_ = 0, 1, -1, 100, 10 ** 44, 1e-44, 1.5
    return [(mutated(chance, b'started, ', WORDS) + b'\nqps: %g\n' % chance.choice(figures_),
             mutated(chance, b'warning: nothing\nlibmn: stats: mode=mn gs=3\n', WORDS)) for _ in range(4)]


def parse_result(outputs):
    """All that mn compare and mn ci make of it."""
    both = [variants.Variant('1:1', {}, False), variants.Variant('M:N', {}, True)]
    result = compare.Comparison(PROGRAM, both, [QPS, *metrics.BUILT_IN])
    for index, (out, err) in enumerate(outputs * 4):
        run = measure.Run()
        status = 0 if index < 6 else len(err) % 2
        run.status, run.ending, run.begin, run.output = status, f'exit status {status}', index, out
        run.out, run.err = out, err
        run.wall, run.user, run.system, run.switches, run.memory, run.threads = 1.0, 1.0, 0.0, 1, 1, 1
        run.figures = metrics.extract([QPS], out.decode(errors='replace'), err.decode(errors='replace'))
        result.runs[both[index % 2].name].append(run)
        result.sequence.append((both[index % 2].name, run))
    compare.judge(result, result.native[0])
    found = gate.findings(result, [QPS], 0.95, estimate.LEVEL, None)
    markdown = summary.markdown(result, found, 0.95, __file__, 'pass', result.differences)
    text = json.dumps(figures.of(result, 2, __file__), default=str)
    if not all(math.isfinite(value) for each in json.loads(text)['metrics'] for value in each['medians'].values() if value):
        raise ValueError('a figure that is not finite')
    return [*map(foreign.shown, words.text(result, 2)), *markdown,
            *page.render(result, 2, __file__).split('\n')]


def targets():
    gone = inspect.Ended, inspect.Refused, layout.BadLayout, layout.Unreadable, topview.Over
    return [Target('layout', a_memory, parse_memory, gone),
            Target('dump', bytes_of(DUMP), lambda data: [foreign.shown(line) for line in dump.report(
                data.decode(errors='replace'))], ()),
            Target('trace', a_trace, by_file(parse_trace), (traces.Damaged, OSError),
                   places=traces_with_odd_places),
            Target('symbols', a_library, parse_library, layout.Unreadable),
            Target('baseline', a_baseline, by_file(parse_baseline), baseline.BadBaseline,
                   places=baselines_with_odd_places),
            Target('result', a_result, parse_result, metrics.BadMetric, every=50)]
