# SPDX-License-Identifier: Apache-2.0
"""Finds libmn.so, says whether a program can be preloaded, makes the environment that does it."""

import os
import re
import shutil
import stat
import struct

LIBRARY = 'libmn.so'
DEBIAN_FOLDER = 'x86_64-linux-gnu'    # of libraries, in /usr/lib

PT_INTERP = 3
PATH_BYTES = 4096
# The name and type of a note that Go's linker puts behind the program headers, in the first page.
GO_NOTE = re.compile(rb'\x04\0\0\0....\x04\0\0\0Go\0\0', re.DOTALL)
ELF_64_BIT = 2
MACHINES = {3: 'i386', 40: 'arm', 62: 'x86-64', 183: 'aarch64', 243: 'riscv'}

# execve() follows at most this many "#!" lines.
SCRIPT_DEPTH = 5


class Refused(Exception):
    """A command that cannot run under libmn. `status` is what mn exits with, as env(1) would."""

    def __init__(self, message, status=125):
        super().__init__(message)
        self.status = status


def find_library(explicit=None):
    """The libmn.so to use: `explicit`, or the one built in this checkout, or the installed one."""
    if explicit is not None:
        path = absolute(explicit)
        if not os.path.isfile(path):
            raise Refused(f'{explicit}: no such library')
        return _expressible(path)
    here = os.path.dirname(os.path.abspath(os.path.realpath(__file__)))
    candidates = [
        os.path.join(here, '..', '..', 'build', LIBRARY),    # scripts/mnlib in a checkout
        os.path.join(here, '..', '..', LIBRARY),             # PREFIX/lib/libmn/mnlib
        os.path.join(here, '..', '..', DEBIAN_FOLDER, LIBRARY),
    ]
    for candidate in candidates:
        if os.path.isfile(candidate):
            return _expressible(os.path.normpath(candidate))
    raise Refused(f'{LIBRARY} is not built: run make, or name the library with --lib')


def absolute(path):
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        raise Refused('the current folder is not there any more') from None


def _expressible(path):
    if re.search(r'[\s:]', path):
        raise Refused(f'{path}: LD_PRELOAD cannot hold a path with a space or a colon')
    return path


def native_environment(base=None):
    """The environment without libmn; other preloaded libraries stay."""
    env = dict(os.environ if base is None else base)
    others = [p for p in re.split(r'[\s:]+', env.pop('LD_PRELOAD', ''))
              if p and os.path.basename(p) != LIBRARY]
    if others:
        env['LD_PRELOAD'] = ':'.join(others)
    return env


def libmn_environment(library, base=None, procs=None, stats=False):
    env = native_environment(base)
    env['LD_PRELOAD'] = ':'.join(filter(None, [library, env.get('LD_PRELOAD')]))
    if procs is not None:
        env['MN_PROCS'] = str(procs)
    if stats:
        env['MN_STATS'] = '1'
    return env


def find_program(name):
    """The path that execvp() would run, or Refused with the exit status of a shell."""
    if not name:
        raise Refused('the command is empty', 127)
    path = name if '/' in name else shutil.which(name)
    if path is None or not os.path.exists(path):
        raise Refused(f'{name}: not found', 127)
    if os.path.isdir(path):
        raise Refused(f'{name}: is a directory', 126)
    if not os.access(path, os.X_OK):
        raise Refused(f'{name}: not executable', 126)
    return path


def check_program(name, library):
    """The path of a program on which a preload of `library` has an effect; Refused otherwise."""
    path = find_program(name)
    _check_loader(os.path.realpath(path), _machine(library))
    return path


def _check_loader(path, machine, depth=0):
    try:
        with open(path, 'rb') as file:
            head = file.read(4096)
            if head[:2] == b'#!':
                if depth == SCRIPT_DEPTH:
                    raise Refused(f'{path}: too many interpreters', 126)
                _check_loader(os.path.realpath(_interpreter(path, head)), machine, depth + 1)
                return
            if head[:4] != b'\x7fELF':
                raise Refused(f'{path}: neither an ELF program nor a script with a #! line', 126)
            loader = _elf_loader(path, file, head)
    except PermissionError:
        return    # executable but not readable: nothing can be said about it
    except OSError as error:
        raise Refused(f'{path}: {error.strerror}', 126) from error
    _check_privileges(path)
    theirs = struct.unpack_from('<H', head, 18)[0]
    if theirs != machine:
        raise Refused(f'{path} is a program for {_machine_name(theirs)} and {LIBRARY} one for '
                      f'{_machine_name(machine)}: a preload has no effect on it')
    if loader is None:
        raise Refused(f'{path} is statically linked: a preload has no effect on it')
    if not re.match(r'ld(-linux.*|64)\.so\.\d+$', os.path.basename(loader)):
        raise Refused(f'{path} is not a glibc program (its loader is {loader}): '
                      'a preload of libmn has no effect on it')
    if GO_NOTE.search(head):
        raise Refused(f'{path} is a Go program, which has a scheduler of its own: libmn leaves its '
                      'threads to libc')


def _check_privileges(path):
    mode = os.stat(path).st_mode
    kind = None
    if mode & stat.S_ISUID:
        kind = 'set-uid'
    elif mode & stat.S_ISGID and mode & stat.S_IXGRP:
        kind = 'set-gid'
    else:
        try:
            os.getxattr(path, 'security.capability')
            kind = 'a program with file capabilities'
        except OSError:
            pass
    if kind:
        raise Refused(f'{path} is {kind}: a preload has no effect on it')


def _interpreter(script, head):
    words = head[2:].split(b'\n', 1)[0].decode(errors='replace').split(None, 1)
    if not words:
        raise Refused(f'{script}: its #! line names no interpreter', 126)
    program = find_program(words[0])
    if os.path.basename(program) == 'env' and len(words) > 1:
        # What env runs is what matters: its first word that is neither option nor assignment.
        for word in words[1].split():
            if not word.startswith('-') and '=' not in word:
                return find_program(word)
    return program


def _elf_loader(path, file, head):
    """The PT_INTERP of an ELF file, None when it has none."""
    try:
        little = '<' if head[5] == 1 else '>'
        if head[4] == ELF_64_BIT:
            table, = struct.unpack_from(little + 'Q', head, 32)
            size, count = struct.unpack_from(little + 'HH', head, 54)
            offset_at, offset_format = 8, 'QQQQ'     # p_offset, p_vaddr, p_paddr, p_filesz
        else:
            table, = struct.unpack_from(little + 'I', head, 28)
            size, count = struct.unpack_from(little + 'HH', head, 42)
            offset_at, offset_format = 4, 'IIII'
        for index in range(count):
            file.seek(table + index * size)
            entry = file.read(size)
            if struct.unpack_from(little + 'I', entry)[0] == PT_INTERP:
                offset, _, _, length = struct.unpack_from(little + offset_format, entry, offset_at)
                file.seek(offset)
                return file.read(min(length, PATH_BYTES)).rstrip(b'\0').decode(errors='replace')
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise Refused(f'{path}: damaged ELF file', 126) from error
    return None


def _machine(path):
    try:
        with open(path, 'rb') as file:
            head = file.read(64)
    except OSError as error:
        raise Refused(f'{path}: {error.strerror}') from error
    if head[:4] != b'\x7fELF' or len(head) < 20:
        raise Refused(f'{path}: not a shared library')
    return struct.unpack_from('<H', head, 18)[0]


def _machine_name(number):
    return MACHINES.get(number, f'ELF machine {number}')
