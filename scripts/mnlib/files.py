# SPDX-License-Identifier: Apache-2.0
"""Files that a user names: only regular ones are read, and none that exists is written over unless that is said.

Nothing is opened before it is known to be a regular file: a device may do something when it is opened, and a pipe waits.
Errors are OSErrors whose strerror says it in words.
"""

import contextlib
import errno
import os
import stat

NOT_A_FILE = 'not a file'


def open_regular(path):
    """A regular file for reading, in bytes; symbolic links are followed."""
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise OSError(errno.EINVAL, NOT_A_FILE, path)
        return open(f'/proc/self/fd/{place}', 'rb')
    finally:
        os.close(place)


def read_regular(path, most):
    """All of it; an OSError where it has more than `most` bytes."""
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f'larger than {most >> 20} MiB', path)
    return data


def create(path):
    """A new file, for writing; OSError where anything has that name, a dangling symbolic link included."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        _must_be_regular(path)
        raise OSError(errno.EEXIST, 'exists; --force writes over it', path) from None


def open_existing(path, flags=os.O_WRONLY):
    """A regular file that is no symbolic link, as it is."""
    _must_be_regular(path)
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _must_be_regular(path):
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        raise OSError(errno.EINVAL, 'a symbolic link, which is not followed', path) from None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, NOT_A_FILE, path) from None


class Output:
    """A file to be written at the end of a long measurement, whose name is taken at its beginning."""

    def __init__(self, path, force):
        made = not (force and os.path.lexists(path))
        self._take(path, made, create(path) if made else open_existing(path))

    def _take(self, path, made, descriptor):
        self.path = path
        self.made = made
        self.descriptor = descriptor
        self.written = False

    def same(self, other):
        """Whether both are one file, by whatever names."""
        return os.path.sameopenfile(self.descriptor, other.descriptor)

    def write(self, fill):
        """Has fill(file) write it, over what is there."""
        os.ftruncate(self.descriptor, 0)
        with open(self.descriptor, 'w', encoding='utf-8', errors='backslashreplace', closefd=False) as file:
            fill(file)
        self.written = True

    def close(self):
        """What was made and not written goes again."""
        if self.made and not self.written:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        os.close(self.descriptor)


class Addition(Output):
    """A file that is added to; it may be a device or a pipe, and is made where nothing has its name."""

    def __init__(self, path):
        made = not os.path.lexists(path)
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._take(path, made, create(path) if made else os.open(path, flags))
        os.set_blocking(self.descriptor, True)

    def write(self, fill):
        """Has fill(file) write behind what is there."""
        with open(self.descriptor, 'a', encoding='utf-8', errors='backslashreplace', closefd=False) as file:
            fill(file)
        self.written = True


@contextlib.contextmanager
def outputs(named, added=None, force=False):
    """Outputs by option, of {option: path or None}, and Additions likewise; those of no path are left out. OSError where
    two are one file."""
    named = {option: path for option, path in {**named, **(added or {})}.items() if path is not None}
    places = {option: os.path.realpath(path) for option, path in named.items()}
    taken = {}
    try:
        for option, path in named.items():
            _refuse_twin(option, path, [other for other in taken if places[other] == places[option]])
            one = Addition(path) if added and option in added else Output(path, force)
            twins = [other for other in taken if taken[other].same(one)]    # by a hard link
            taken[option] = one
            _refuse_twin(option, path, twins)
        yield taken
    finally:
        for one in taken.values():
            one.close()


def _refuse_twin(option, path, twins):
    if twins:
        raise OSError(errno.EINVAL, f'the file of both {twins[0]} and {option}', path)
