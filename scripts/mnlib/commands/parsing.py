# SPDX-License-Identifier: Apache-2.0
"""How mn reads its command line, and what it says of one that it cannot read."""

import argparse

from .. import ends, terminal
from ..meant import did_you_mean
from .common import FAILED


class Formatter(argparse.RawDescriptionHelpFormatter):
    def _fill_text(self, text, width, indent):
        return terminal.paragraphs(text, width)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, and end with `failed` as status. It takes no abbreviations: what one
    stands for would change with the options that are added."""

    def __init__(self, *arguments, failed=FAILED, **options):
        super().__init__(*arguments, formatter_class=Formatter, allow_abbrev=False, **options)
        self.failed = failed

    def format_help(self):
        usage, gap, rest = super().format_help().partition('\n\n')
        width = self._get_formatter()._width
        return '\n'.join(line for each in usage.split('\n') for line in terminal.fold(each, width)) + gap + rest

    def error(self, message):
        ends.complain(f'{self.prog.split()[0]}: {message} (see {self.prog} --help)')
        self.exit(self.failed)

    def _print_message(self, message, file=None):
        """argparse's own makes nothing of output that cannot be written."""
        print(message, end='', file=file, flush=True)

    def parse_known_args(self, args=None, namespace=None):
        """A command's parser knows its options, and mn's does not: the one that meets a word says what it is."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0])
        return found, unknown

    def _refuse(self, word):
        if not word.startswith('-'):
            self.error(f'{word!r}: an argument too many')
        name = word.partition('=')[0]
        known = [each for each in self._option_string_actions if each.startswith('--')]
        self.error(f'{name!r}: no such option{did_you_mean(name, known) if name.startswith("--") else ""}')

    def _check_value(self, action, value):
        """Of a value that must be one of some: mn's commands."""
        if action.choices is not None and value not in action.choices:
            self.error(no_command(value, action.choices))


def no_command(word, known):
    return f'{word!r}: no such command{did_you_mean(word, known) or ": there are " + ", ".join(known)}'
