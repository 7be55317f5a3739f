# SPDX-License-Identifier: Apache-2.0
"""A progress bar on a terminal; silence elsewhere."""

import sys
import time

from . import terminal

WIDTH = 24


class Bar:
    """Called before each of `total` runs."""

    def __init__(self, total, stream=None):
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = terminal.draws(self._stream)
        self._done = -1
        self._begin = time.monotonic()

    def __call__(self):
        self._done += 1
        if self._shown:
            filled = WIDTH * self._done // self._total
            bar = '#' * filled + '.' * (WIDTH - filled)
            text = f'run {self._done + 1} of {self._total}{self._left()}'
            room = terminal.columns(self._stream) - 1    # in the last column the cursor would leave the line
            text = f'[{bar}] {text}' if len(bar) + len(text) + 3 <= room else text[:room]
            print(f'\r\033[K{text}', end='', file=self._stream, flush=True)

    def _left(self):
        if self._done == 0:
            return ''
        spent = time.monotonic() - self._begin
        return f', about {duration(spent / self._done * (self._total - self._done))} left'

    def expect(self, total):
        self._total = total

    def clear(self):
        if self._shown:
            print('\r\033[K', end='', file=self._stream, flush=True)


def duration(seconds):
    seconds = round(seconds)
    return f'{seconds} s' if seconds < 120 else f'{seconds // 60} min {seconds % 60} s'
