# SPDX-License-Identifier: Apache-2.0
"""The ways to run a program that are compared: an environment with a name each."""

import os
import re
import shutil
import subprocess

from . import preload
from .meant import did_you_mean

ASK_SECONDS = 30
PREFIX = 'MN_'


class BadVariant(Exception):
    """A variant that libmn would not accept."""


class Variant:
    def __init__(self, name, environment, libmn, changes=None):
        self.name = name
        self.environment = environment
        self.libmn = libmn          # whether libmn is preloaded
        self.changes = changes or {}

    def expects_threads_of_libmn(self):
        return self.libmn and self.environment.get('MN_MODE') != '1:1'


def native():
    return Variant('1:1', preload.native_environment(), False)


def libmn(library, procs=None):
    return Variant('M:N', preload.libmn_environment(library, procs=procs, stats=True), True)


def further(library, texts, procs=None):
    """The Variants of --also NAME=VALUE,VALUE...; libmn itself says what it has and accepts."""
    made = []
    names = option_names(library) if texts else ()
    for text in texts:
        name, equals, values = text.partition('=')
        if not equals or not values:
            raise BadVariant(f'--also {text}: not of the form NAME=VALUE[,VALUE...]')
        variable = PREFIX + name.upper()
        if variable not in names:
            raise BadVariant(f'--also {text}: libmn has no option {variable}' +
                             (did_you_mean(name, [short(each) for each in names]) or
                              '; it has ' + ', '.join(map(short, names))))
        for value in values.split(','):
            environment = preload.libmn_environment(library, procs=procs, stats=True)
            environment[variable] = value
            _check(f'--also {name}={value}', environment)
            made.append(Variant(f'{name}={value}', environment, True, {variable: value}))
    twice = {each.name for each in made if [m.name for m in made].count(each.name) > 1}
    if twice:
        raise BadVariant(f'--also {min(twice)}: twice')
    return made


def short(variable):
    """As --also has it."""
    return variable[len(PREFIX):].lower()


def option_names(library):
    """The variables that the library lists (MN_HELP=1)."""
    environment = {**preload.libmn_environment(library), 'MN_HELP': '1'}
    said = _ask(environment).stderr
    names = re.findall(r'^libmn: (MN_[A-Z_]+): ', said, re.MULTILINE)
    if not names:
        raise BadVariant(f'{library} does not list its options (MN_HELP=1): --also cannot be checked')
    return names


def _check(what, environment):
    done = _ask(environment)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        raise BadVariant(f'{what}: {words[-1]}')


def _ask(environment):
    program = shutil.which('true') or '/bin/true'
    try:
        return subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors='replace',
                              timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise BadVariant(f'libmn cannot be asked for its options: {error}') from error


def contexts(procs):
    """How many scheduling contexts M:N has, in words."""
    return str(procs or os.environ.get('MN_PROCS') or 'one for each CPU')
