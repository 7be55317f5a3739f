# SPDX-License-Identifier: Apache-2.0
"""What there is to document: the commands and options of mn --help, and the variables of MN_HELP=1."""

import argparse
import os
import re

from mnlib import settings
from mnlib.commands import whole

# What a value is, by the word that --help has for it.
FILES = {'FILE', 'PATH'}
PROGRAMS = {'COMMAND'}
PROCESSES = {'PID'}


class NoTable(Exception):
    """There is nothing to document; the message says why."""


class Option:
    def __init__(self, action, text):
        self.names = action.option_strings
        self.value = None if action.nargs == 0 else action.metavar
        self.text = text
        self.repeatable = not isinstance(action, argparse._StoreAction) and self.value is not None


class Command:
    """mn itself, when it has no name; or one of its commands."""

    def __init__(self, name, text, parser):
        self.name = name
        self.text = text
        formatter = parser._get_formatter()
        actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
        self.options = [Option(action, formatter._expand_help(action)) for action in actions if action.option_strings]
        self.wants_process = any(action.metavar in PROCESSES for action in actions)
        self.wants_command = any(action.dest == 'topic' for action in actions)
        self.runs_program = any(action.nargs == argparse.REMAINDER for action in parser._actions)
        self.usage = [line.strip() for line in parser.format_usage().partition(':')[2].splitlines()]
        self.description = (parser.description or '').strip()
        self.sections = sections(parser.epilog or '')


def sections(epilog):
    """[(title, text)] of what follows the options."""
    found = []
    for block in re.split(r'\n\n', epilog.strip('\n')):
        title, colon, text = block.partition(':')
        if colon and re.fullmatch(r'[a-z ]+', title):
            found.append((title, text.strip('\n')))
    return found


def commands():
    """mn, and its commands."""
    parser, by_name = whole.make_parser()
    each = [Command(module.NAME, module.HELP, by_name[module.NAME]) for module in whole.ALL]
    return Command(None, 'user-level threads for unmodified programs', parser), each


def variables(library):
    """[(name, text)]: what MN_HELP=1 prints."""
    found = settings.listed(os.path.abspath(library))
    if not found:
        raise NoTable(f'{library} does not list its options (MN_HELP=1)')
    return found
