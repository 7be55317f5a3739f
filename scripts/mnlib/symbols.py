# SPDX-License-Identifier: Apache-2.0
"""Names for addresses of a process's data: the variable, or else the mapping that they lie in."""

import bisect
import os
import struct

SHT_SYMTAB, SHT_DYNSYM = 2, 11
STT_OBJECT = 1
MOST_BYTES = 64 << 20    # a larger table of symbols is not worth its time
PT_LOAD = 1
PAGE = 4096
SYMBOL = struct.Struct('<IBBHQQ')


class Places:
    def __init__(self, process):
        self._process = process
        self._mappings = []
        self._tables = {}

    def refresh(self):
        try:
            self._mappings = self._process.mappings()
        except OSError:
            self._mappings = []

    def describe(self, address):
        index = bisect.bisect_right([mapping.low for mapping in self._mappings], address) - 1
        if index < 0 or address >= self._mappings[index].high:
            return 'not mapped any more'
        mapping = self._mappings[index]
        module = self._module_of(index)
        if module is None:
            return mapping.path or 'memory'
        name = os.path.basename(module.path)
        bias, symbols = self._symbols_of(module)
        where = bisect.bisect_right(symbols, (address - bias, '\U0010ffff', 0)) - 1
        if where >= 0:
            value, symbol, size = symbols[where]
            if address - bias - value < max(size, 1):
                offset = address - bias - value
                return symbol + (f'+{offset:#x}' if offset else '') + f' ({name})'
        return f'{name}+{address - bias:#x}'

    def _module_of(self, index):
        """The first mapping of the file that this one, or the memory without a file that follows it, belongs to."""
        path, at = self._mappings[index].path, index
        while not path and at > 0 and self._mappings[at - 1].high == self._mappings[at].low:
            at -= 1
            path = self._mappings[at].path
        if not path.startswith('/'):
            return None
        while at > 0 and self._mappings[at].offset != 0 and self._mappings[at - 1].path in (path, ''):
            at -= 1
        return self._mappings[at] if self._mappings[at].path == path else None

    def _symbols_of(self, module):
        key = module.low, module.path
        if key not in self._tables:
            try:
                with open(f'/proc/{self._process.pid}/map_files/{module.low:x}-{module.high:x}', 'rb') as file:
                    self._tables[key] = read_symbols(file, module.low)
            except OSError:
                try:
                    with open(f'/proc/{self._process.pid}/root{module.path}', 'rb') as file:
                        self._tables[key] = read_symbols(file, module.low)
                except OSError:
                    self._tables[key] = module.low, []
        return self._tables[key]


def read_symbols(file, low):
    """(from addresses in the file to those in memory, sorted [(address, name, size)] of its variables)."""
    try:
        return _read_symbols(file, low)
    except (struct.error, IndexError, ValueError):
        return low, []


def _read_symbols(file, low):
    def at(offset, size):
        file.seek(offset)
        return file.read(size)

    header = at(0, 64)
    if header[:5] != b'\x7fELF\x02':
        return low, []
    segments, sections = struct.unpack_from('<QQ', header, 32)
    segment_size, n_segments, section_size, n_sections = struct.unpack_from('<HHHH', header, 54)
    bias = low
    for index in range(n_segments):
        kind, _, _, address = struct.unpack('<IIQQ', at(segments + index * segment_size, 24))
        if kind == PT_LOAD:
            bias = low - address // PAGE * PAGE
            break
    heads = [struct.unpack('<IIQQQQIIQQ', at(sections + index * section_size, 64)) for index in range(n_sections)]
    tables = {head[1]: head for head in heads if head[1] in (SHT_SYMTAB, SHT_DYNSYM) and head[5] <= MOST_BYTES}
    table = tables.get(SHT_SYMTAB) or tables.get(SHT_DYNSYM)
    if table is None:
        return bias, []
    strings = at(heads[table[6]][4], heads[table[6]][5])
    data = at(table[4], table[5] // SYMBOL.size * SYMBOL.size)
    found = [(value, strings[name:strings.index(b'\0', name)].decode(errors='replace'), size)
             for name, info, _, section, value, size in SYMBOL.iter_unpack(data)
             if info & 15 == STT_OBJECT and section != 0]
    return bias, sorted(found)
