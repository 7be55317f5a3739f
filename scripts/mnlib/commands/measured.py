# SPDX-License-Identifier: Apache-2.0
"""What mn compare and mn ci share: what to measure, and how errors end it."""

import argparse
import contextlib
import os
import shlex

from .. import compare, files, interrupt, metrics, preload, served, settings, variants
from . import common


class _Metric(argparse.Action):
    """--metric and --metric-less in one list, in their order: the first is the one judged."""

    def __init__(self, *arguments, less=False, **options):
        super().__init__(*arguments, **options)
        self._less = less

    def __call__(self, parser, namespace, value, option_string=None):
        try:
            metric = metrics.parse(value, self._less)
        except metrics.BadMetric as bad:
            parser.error(f'{option_string}: {bad}')
        if any(metric.key == other.key for other in namespace.metric):
            parser.error(f'{option_string}: two figures are called {metric.key!r}: say NAME=REGEX')
        namespace.metric = [*namespace.metric, metric]


def add_options(parser):
    common.add_program_options(parser)
    parser.usage = (f'{parser.prog} [options] -- COMMAND [ARGUMENT...]\n'
                    f'       {parser.prog} [options] --server COMMAND --wait ADDRESS --load COMMAND')
    parser.add_argument('--metric', action=_Metric, default=[], metavar='[NAME=]REGEX',
                        help='a figure in the output, the group (...) in REGEX; more is better. '
                             'Of several matches the last counts. Repeatable; the first is judged')
    parser.add_argument('--metric-less', action=_Metric, less=True, dest='metric', default=[],
                        metavar='[NAME=]REGEX', help='the same; less is better')
    parser.add_argument('--server', metavar='COMMAND', help='a server to compare, one quoted word; '
                        'it must stay in the foreground')
    parser.add_argument('--load', metavar='COMMAND',
                        help='what loads the server, never with libmn; its output has the figures')
    parser.add_argument('--wait', metavar='ADDRESS', help='where the server listens when it is '
                        'ready: PORT, HOST:PORT or the path of a unix socket')
    parser.add_argument('--timeout', type=common.number(1, 86400), metavar='SECONDS',
                        help='end a run that takes longer; default: never')


class Subject:
    """The program that the options name: checked, and ready to be measured."""

    def __init__(self, options, parser):
        self._parser = parser
        if os.environ.get('MN_MODE') == '1:1':
            common.fail('MN_MODE=1:1 leaves threads to libc: there is no M:N to measure; unset it', parser.failed)
        if any(each is not None for each in (options.server, options.load, options.wait)):
            self.library, self.program = self._served(options)
        else:
            self.library, _ = common.check_command(options, parser)
            self.program = compare.Program(options.command, common.stdin_file())
        self.options = options

    def _served(self, options):
        parser = self._parser
        if options.command:
            parser.error('either a COMMAND or --server with --load, not both')
        missing = [name for name in ('server', 'load', 'wait') if getattr(options, name) is None]
        if missing:
            parser.error(f'--server, --load and --wait belong together: --{missing[0]} is missing')
        words = {}
        for name in ('server', 'load'):
            try:
                words[name] = shlex.split(getattr(options, name))
            except ValueError as error:
                parser.error(f'--{name}: {error}: {getattr(options, name)!r}')
            if not words[name]:
                parser.error(f'--{name}: the command is empty')
        try:
            library = common.find_library(options, parser)
            preload.check_program(words['server'][0], library)
            preload.find_program(words['load'][0])
            address = served.Address(options.wait)
            address.must_be_free()
        except preload.Refused as refusal:
            common.fail(refusal, refusal.status if parser.failed == common.FAILED else parser.failed)
        except served.ServerFailed as failure:
            common.fail(failure, parser.failed)
        return library, served.Served(words['server'], words['load'], address,
                                      preload.native_environment())

    def series(self, also=(), progress=None):
        options = self.options
        chosen = [variants.native(), variants.libmn(self.library, options.procs),
                  *variants.further(self.library, also, options.procs)]
        return compare.Series(self.program, chosen, options.metric, self.library, options.timeout,
                              progress)


@contextlib.contextmanager
def one_line_errors(status, clear=lambda: None):
    """Whatever goes wrong is one line; an interruption, too."""
    interrupt.catch()
    try:
        yield
    except interrupt.Interrupted as caught:
        clear()
        common.fail('interrupted; nothing is left running', 128 + caught.number)
    except BrokenPipeError:
        raise
    except (metrics.BadMetric, served.ServerFailed, settings.BadSetting) as error:
        clear()
        common.fail(error, status)
    except OSError as error:
        clear()
        name = f'{error.filename}: ' if error.filename else ''
        common.fail(f'{name}{error.strerror or error}', status)


@contextlib.contextmanager
def outputs(named, force, status, added=None):
    """files.outputs(), whose names are taken before the measurements: they would be lost if they could not be written."""
    with contextlib.ExitStack() as stack:
        try:
            taken = stack.enter_context(files.outputs(named, added, force))
        except OSError as error:
            common.fail(f'{error.filename}: cannot be written: {error.strerror}', status)
        yield taken


def write(output, fill, status):
    """Has `fill` write an Output."""
    try:
        output.write(fill)
    except OSError as error:
        common.fail(f'{output.path}: {error.strerror}', status)
