# SPDX-License-Identifier: Apache-2.0
"""Where a live view is shown: a terminal, by plain ANSI sequences, or a file."""

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
import unicodedata

from . import terminal
from .foreign import shown

HOME, TO_END_OF_LINE, TO_END_OF_SCREEN = '\033[H', '\033[K', '\033[J'
OTHER_SCREEN, OWN_SCREEN = '\033[?1049h', '\033[?1049l'
HIDE_CURSOR, SHOW_CURSOR = '\033[?25l', '\033[?25h'
QUIT = b'qQ\x03\x04'
ROWS, COLUMNS = 24, 80


def cut(line, columns):
    """As much of a line as has room; what is wide takes two columns."""
    if line.isascii():
        return line[:columns]
    room = columns
    for index, character in enumerate(line):
        room -= 2 if unicodedata.east_asian_width(character) in 'WF' else 1
        if room < 0:
            return line[:index]
    return line


class Paper:
    """Blocks of lines with an empty one between them."""

    def __init__(self):
        self._first = True
        self._columns = terminal.columns(sys.stdout) or COLUMNS

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    @staticmethod
    def give_back():
        """There is nothing to give back."""

    @staticmethod
    def rows():
        """0: there is room for all."""
        return 0

    def show(self, lines):
        print(('' if self._first else '\n') + '\n'.join(cut(shown(line), self._columns) for line in lines), flush=True)
        self._first = False

    def wait(self, seconds):
        time.sleep(seconds)
        return True


class Screen:
    """A terminal that is drawn over, and given back as it was."""

    def __enter__(self):
        self._terminal = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._terminal)
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._on_resize = signal.signal(signal.SIGWINCH, self._resized)
        # The end by a signal gives the terminal back, too.
        self._on_end = {number: signal.signal(number, lambda *_: sys.exit(1))
                        for number in (signal.SIGTERM, signal.SIGHUP)}
        tty.setcbreak(self._terminal)
        self._write(OTHER_SCREEN + HIDE_CURSOR)
        return self

    def give_back(self):
        """The terminal as it was."""
        with contextlib.suppress(OSError, termios.error):    # it may be gone
            self._write(SHOW_CURSOR + OWN_SCREEN)
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def __exit__(self, *_):
        self.give_back()
        signal.signal(signal.SIGWINCH, self._on_resize)
        for number, action in self._on_end.items():
            signal.signal(number, action)
        os.close(self._wake)
        os.close(self._waker)

    def _resized(self, *_):
        try:
            os.write(self._waker, b'x')
        except BlockingIOError:
            pass    # it is to wake up anyway

    @staticmethod
    def _write(text):
        sys.stdout.write(text)
        sys.stdout.flush()

    @staticmethod
    def size():
        try:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return ROWS, COLUMNS
        return (rows, columns) if rows and columns else (ROWS, COLUMNS)

    def rows(self):
        return self.size()[0]

    def show(self, lines):
        rows, columns = self.size()
        text = ''.join(cut(shown(line), columns) + TO_END_OF_LINE + '\r\n' for line in lines[:rows - 1])
        self._write(HOME + text + TO_END_OF_SCREEN)

    def wait(self, seconds):
        """Until it is time, or the terminal has another size; False: to end."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(deadline - time.monotonic(), 0)
            ready = select.select([self._terminal, self._wake], [], [], left)[0]
            if self._terminal in ready:
                keys = os.read(self._terminal, 64)
                if not keys or any(key in QUIT for key in keys):
                    return False
            elif self._wake in ready:
                os.read(self._wake, 64)
                return True
            elif not ready:
                return True
