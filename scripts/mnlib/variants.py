# SPDX-License-Identifier: Apache-2.0
"""The ways to run a program that are compared: an environment with a name each."""

import os

from . import preload, settings
from .meant import did_you_mean
from .settings import BadSetting, short


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
    """The Variants of --also NAME=VALUE,VALUE...; BadSetting where libmn would not take one."""
    made = []
    names = settings.names(library) if texts else ()
    if texts and not names:
        raise BadSetting(f'{library} does not list its options (MN_HELP=1): --also cannot be checked')
    for text in texts:
        name, equals, values = text.partition('=')
        if not equals or not values:
            raise BadSetting(f'--also {text}: not of the form NAME=VALUE[,VALUE...]')
        variable = settings.PREFIX + name.upper()
        if variable not in names:
            raise BadSetting(f'--also {text}: libmn has no option {variable}' +
                             (did_you_mean(name, [short(each) for each in names]) or
                              '; it has ' + ', '.join(map(short, names))))
        for value in values.split(','):
            environment = preload.libmn_environment(library, procs=procs, stats=True)
            environment[variable] = value
            settings.check(environment, f'--also {name}={value}: ')
            made.append(Variant(f'{name}={value}', environment, True, {variable: value}))
    twice = {each.name for each in made if [m.name for m in made].count(each.name) > 1}
    if twice:
        raise BadSetting(f'--also {min(twice)}: twice')
    return made


def contexts(procs):
    """How many scheduling contexts M:N has, in words."""
    return str(procs or os.environ.get('MN_PROCS') or 'one for each CPU')
