# SPDX-License-Identifier: Apache-2.0
"""A progress bar on a terminal; silence elsewhere."""

import sys
import time

WIDTH = 24


class Bar:
    """Called before each of `total` runs."""

    def __init__(self, total, stream=None):
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._done = -1
        self._begin = time.monotonic()

    def __call__(self):
        self._done += 1
        if self._shown:
            filled = WIDTH * self._done // self._total
            bar = '#' * filled + '.' * (WIDTH - filled)
            print(f'\r\033[K[{bar}] run {self._done + 1} of {self._total}{self._left()}', end='',
                  file=self._stream, flush=True)

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
