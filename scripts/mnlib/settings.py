# SPDX-License-Identifier: Apache-2.0
"""The MN_ variables: which there are, and which values will do. libmn itself is asked, so that there is one table."""

import os
import re
import shutil
import subprocess

from . import preload
from .meant import did_you_mean

ASK_SECONDS = 30
PREFIX = 'MN_'
PROGRAMS = 'MN_PROGRAMS'    # with it libmn would not act in the program that asks


class BadSetting(Exception):
    """A variable or a value that libmn would not take, in one line."""


def short(variable):
    """As --also has it."""
    return variable[len(PREFIX):].lower()


def listed(library):
    """[(variable, what it is for)] as the library lists them (MN_HELP=1); none of a library that does not."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    said = _ask({**preload.libmn_environment(library, environment), 'MN_HELP': '1'}).stderr
    return re.findall(r'^libmn: (MN_[A-Z_]+): (.*)$', said, re.MULTILINE)


def names(library):
    return [name for name, _ in listed(library)]


def unknown(library):
    """A line for each variable of the environment that libmn would ignore without a word."""
    given = sorted(name for name in os.environ if name.startswith(PREFIX))
    known = names(library) if given else []
    return [f'{name}={os.environ[name]}: libmn has no such option, and ignores it{did_you_mean(name, known)}'
            for name in given if known and name not in known]


def check(environment, what=''):
    """BadSetting where libmn would end a program with this environment; `what` begins the line."""
    done = _ask({key: value for key, value in environment.items() if key != PROGRAMS})
    if done.returncode != 0:
        words = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        raise BadSetting(what + words[-1].removeprefix('libmn: '))


def _ask(environment):
    program = shutil.which('true') or '/bin/true'
    try:
        return subprocess.run([program], env=environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, errors='replace',
                              timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise BadSetting(f'libmn cannot be asked for its options: {error}') from error
