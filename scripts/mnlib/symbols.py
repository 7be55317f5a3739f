# SPDX-License-Identifier: Apache-2.0
"""Names for addresses of a process's data: the variable, or else the mapping that they lie in."""

import bisect
import itertools
import os
import struct

from . import files

SHT_SYMTAB, SHT_DYNSYM = 2, 11
STT_OBJECT = 1
MOST_BYTES = 128 << 20    # a larger table of symbols is not worth its time
MOST_NAMES = 1 << 19      # of variables
MOST_NAME = 512           # bytes
MOST_TABLES = 32          # kept
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
            if len(self._tables) == MOST_TABLES:
                self._tables.clear()
            self._tables[key] = self._read(module)
        return self._tables[key]

    def _read(self, module):
        """From the file that is mapped, or the one of its name by now."""
        for place in (f'map_files/{module.low:x}-{module.high:x}', f'root{module.path}'):
            try:
                with files.open_regular(f'/proc/{self._process.pid}/{place}') as file:
                    return read_symbols(file, module.low)
            except (OSError, ValueError):
                pass
        return module.low, []


def read_symbols(file, low):
    """(from addresses in the file to those in memory, sorted [(address, name, size)] of its variables)."""
    try:
        return _read_symbols(file, low)
    except (struct.error, IndexError, ValueError, OverflowError):    # damaged
        return low, []


def _read_symbols(file, low):
    def at(offset, size):
        if size > MOST_BYTES:
            raise ValueError
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
    variables = ((value, name, size) for name, info, _, section, value, size in SYMBOL.iter_unpack(data)
                 if info & 15 == STT_OBJECT and section != 0)
    found = [(value, strings[name:name + MOST_NAME].partition(b'\0')[0].decode(errors='replace'), size)
             for value, name, size in itertools.islice(variables, MOST_NAMES)]
    return bias, sorted(found)
