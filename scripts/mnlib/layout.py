# SPDX-License-Identifier: Apache-2.0
"""The table in libmn.so that says where the runtime's state is (runtime/observe/layout.cc).

Memory is read by a function read(address, size) that returns that many bytes or raises Unreadable:
of a process (inspect.py), or of whatever gdb looks at, core files included.

The table is the process's to write, so each entry is checked as it is used: what cannot be is BadLayout. No
read is larger than MOST_READ.
"""

import struct

SYMBOL = 'mn_layout'
MAGIC = b'mnlayout'
VERSION = 1
HEADER = struct.Struct('<8sIIQQ')
ENTRY = struct.Struct('<40sQQ')
MOST_ENTRIES = 4096
MOST_SIZE = 1 << 18    # bytes, of a structure
MOST_READ = 1 << 21    # bytes
MOST_ADDRESS = (1 << 64) - 1

PT_LOAD = 1
PT_DYNAMIC = 2
DT_STRTAB, DT_SYMTAB, DT_GNU_HASH = 5, 6, 0x6ffffef5
PAGE = 4096
MOST_STEPS = 100000

CODES = {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}


class Unreadable(Exception):
    """There is no such memory, or not any more."""


class BadLayout(Exception):
    """This is no libmn that these tools know; the message says why."""


def number(read, address, size=8):
    if size not in CODES:
        raise BadLayout(f'its libmn\'s table makes no sense: a number of {size} bytes')
    return int.from_bytes(read(address, size), 'little')


def find_symbol(read, base, name):
    """The address of an exported symbol of the library whose ELF header is at `base`, or None.

    All of it is read from memory, as ld.so does, so that the file may have been replaced."""
    if read(base, 5) != b'\x7fELF\x02':
        return None
    offset, = struct.unpack('<Q', read(base + 32, 8))
    size, count = struct.unpack('<HH', read(base + 54, 4))
    bias, dynamic = None, None
    for index in range(count):
        kind, _, _, where = struct.unpack_from('<IIQQ', read(base + offset + index * size, 56))
        if kind == PT_LOAD and bias is None:
            bias = base - where // PAGE * PAGE
        elif kind == PT_DYNAMIC:
            dynamic = where
    if bias is None or dynamic is None:
        return None
    tags = {}
    for index in range(MOST_STEPS):
        tag, value = struct.unpack('<QQ', read(bias + dynamic + 16 * index, 16))
        if tag == 0:
            break
        tags[tag] = value if value >= bias else bias + value    # ld.so relocates them where they are
    if not {DT_STRTAB, DT_SYMTAB, DT_GNU_HASH} <= set(tags):
        return None
    return _look_up(read, bias, tags, name.encode())


def _look_up(read, bias, tags, name):
    buckets, first, words, _ = struct.unpack('<IIII', read(tags[DT_GNU_HASH], 16))
    table = tags[DT_GNU_HASH] + 16 + 8 * words
    wanted = 5381
    for byte in name:
        wanted = (wanted * 33 + byte) & 0xffffffff
    index = number(read, table + 4 * (wanted % buckets), 4) if buckets else 0
    for _ in range(MOST_STEPS if index >= first else 0):
        hashed = number(read, table + 4 * (buckets + index - first), 4)
        if hashed | 1 == wanted | 1:
            string, _, _, section, value, _ = struct.unpack('<IBBHQQ', read(tags[DT_SYMTAB] + 24 * index, 24))
            if section != 0 and read(tags[DT_STRTAB] + string, len(name) + 1) == name + b'\0':
                return bias + value
        if hashed & 1:
            break
        index += 1
    return None


class Record:
    """The values of some fields of one structure, decoded at once: numbers, and bytes of those in `texts`."""

    def __init__(self, layout, kind, fields, texts=()):
        self.size = layout[kind]
        spec, at = '<', 0
        for offset, size, name in sorted((*layout.field(f'{kind}.{name}'), name) for name in fields):
            if offset < at or name not in texts and size not in CODES:
                raise _nonsense(f'{kind}.{name}')
            spec += f'{offset - at}x' + (f'{size}s' if name in texts else CODES[size])
            at = offset + size
        if not at <= self.size <= MOST_SIZE:
            raise _nonsense(kind)
        self._struct = struct.Struct(f'{spec}{self.size - at}x')
        self.fields = [name for _, name in sorted((layout.field(f'{kind}.{name}')[0], name) for name in fields)]

    def unpack(self, data, offset=0):
        """A tuple, in the order of self.fields, which is that of the offsets."""
        return self._struct.unpack_from(data, offset)

    def decode(self, data, offset=0):
        return dict(zip(self.fields, self.unpack(data, offset)))


def _nonsense(name):
    return BadLayout(f'its libmn\'s table makes no sense: {name}')


class Layout:
    def __init__(self, read, address):
        magic, version, entry_size, count, entries = HEADER.unpack(read(address, HEADER.size))
        if magic != MAGIC or version != VERSION or entry_size != ENTRY.size or count > MOST_ENTRIES:
            raise BadLayout('its libmn is of another version than mn')
        self._entries = {}
        for name, size, value in ENTRY.iter_unpack(read(entries, count * ENTRY.size)):
            self._entries[name.partition(b'\0')[0].decode('ascii', 'replace')] = size, value

    def _entry(self, name):
        try:
            return self._entries[name]
        except KeyError:
            raise BadLayout(f'its libmn is of another version than mn: there is no {name}') from None

    def __getitem__(self, name):
        """A constant, or the address of a variable."""
        return self._entry(name)[1]

    def size_of(self, name):
        """Of a variable, or of one element if it is an array."""
        return self.field(name, MOST_ADDRESS)[1]

    def field(self, name, most=MOST_SIZE):
        """Offset and size."""
        size, offset = self._entry(name)
        if not 0 < size <= MOST_SIZE or offset > most:
            raise _nonsense(name)
        return offset, size

    def count(self, name, most=MOST_SIZE):
        """A constant that something is divided by, aligned to, or repeated: from 1 to `most`."""
        value = self[name]
        if not 1 <= value <= most:
            raise _nonsense(name)
        return value

    def variable(self, read, name):
        size, address = self._entry(name)
        return number(read, address, size)

    def family(self, prefix):
        """Names by number of what begins with `prefix`: an enumeration."""
        return {value: name[len(prefix):] for name, (size, value) in self._entries.items()
                if name.startswith(prefix) and size == 0}
