# SPDX-License-Identifier: Apache-2.0
"""mn help: what --help says, for those who ask so."""

from .parsing import no_command

NAME = 'help'
HELP = 'show how mn, or one of its commands, is used'


def add_options(parser):
    parser.usage = f'{parser.prog} [COMMAND]'
    parser.add_argument('topic', nargs='?', metavar='COMMAND', help='of mn; default: mn itself')


def main(options, parser):
    if options.topic is None:
        options.whole.print_help()
        return 0
    if options.topic not in options.known:
        parser.error(no_command(options.topic, options.known))
    options.known[options.topic].print_help()
    return 0
