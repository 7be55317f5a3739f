#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tries the package of build/deb (make deb) in bare Debian 12 and 13, with what it depends on and nothing else.

Needs root, debootstrap, and the archive that apt of this machine uses. Last line: N passed, M failed.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
SUITES = ('bookworm', 'trixie')
# For the tests alone: what is compared, and what shows that gdb reads the commands.
TOOLS = 'xz-utils gdb bash'
SECONDS = 600
# What dpkg and the loader note for themselves.
NOTES = re.compile(r'/(proc|sys|dev|run|tmp)/|/var/(lib/dpkg|lib/apt|log|cache)/|/etc/ld\.so\.cache$')
THREADS = 'import threading; [threading.Thread(target=print, args=("x\\n",), kwargs={"end": ""}).start() for _ in "9" * 9]'
ASLEEP = 'import threading, time; [threading.Thread(target=time.sleep, args=(99,)).start() for _ in range(9)]; open("/tmp/asleep", "w")'
# What it would keep of its own commands is no matter of ours.
GDB = 'PYTHONDONTWRITEBYTECODE=1 gdb -q -nx -batch -p $!'
MANUAL = ('mn', 'mn-run', 'mn-compare', 'mn-ci', 'mn-trace', 'mn-top', 'mn-stacks', 'mn-help')


class Failed(Exception):
    """The message says what is wrong."""


def output_of(*command, status=0, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors='replace', timeout=SECONDS, check=False, **options)
    if done.returncode != status:
        raise Failed(f'{" ".join(command)}: exit status {done.returncode}\n{done.stdout[-2000:]}')
    return done.stdout


def archive():
    """Where apt has Debian's packages from."""
    found = output_of('apt-get', 'indextargets', '--format', '$(REPO_URI) $(LABEL)', 'Created-By: Packages')
    match = re.search(r'^(\S+) Debian$', found, re.MULTILINE)
    if not match:
        raise Failed('apt has no Debian archive (apt-get update?)')
    return match[1]


class Bare:
    """A freshly made Debian in a folder."""

    def __init__(self, suite, folder):
        self._at = os.path.join(folder, suite)
        output_of('debootstrap', '--variant=minbase', suite, self._at, archive())

    def run(self, command, status=0):
        """What a shell command says in there. It has processes of its own, which end with it."""
        return output_of('unshare', '--mount', '--pid', '--fork', '--kill-child', f'--mount-proc={self._at}/proc',
                         'chroot', self._at, 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root',
                         'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive', 'sh', '-euc', command, status=status)

    def beside_sleepers(self, command, before='true'):
        """The same while a program of nine threads sleeps, whose number is in $!. Shells have those ignore SIGQUIT."""
        return self.run(f"{before}; rm -f /tmp/asleep; MN_DUMP_SIGNAL=USR1 mn run -- python3 -c '{ASLEEP}' & "
                        f"until [ -e /tmp/asleep ]; do sleep 0.1; done; {command}")

    def bring(self, path):
        shutil.copy(path, os.path.join(self._at, 'tmp'))
        return '/tmp/' + os.path.basename(path)

    def paths(self):
        found = {os.path.join(place, name)[len(self._at):] for place, folders, files in os.walk(self._at)
                 for name in folders + files}
        return {path for path in found if not NOTES.match(path)}


def packages():
    version = output_of(sys.executable, os.path.join(ROOT, 'scripts', 'mn'), '--version').split()[1]
    found = [glob.glob(os.path.join(ROOT, 'build', 'deb', f'{name}_{version}_*.deb')) for name in ('libmn', 'libmn-dbgsym')]
    if not all(found):
        raise Failed(f'build/deb has no packages of version {version}: make deb')
    return version, found[0][0], found[1][0]


def expect(pattern, text):
    if not re.search(pattern, text):
        raise Failed(f'there is no {pattern!r} in:\n{text[-2000:]}')


class Tests:
    """In this order; each is a method that raises Failed."""

    def __init__(self, suite, folder):
        self.version, self._package, self._symbols = packages()
        self._depends = output_of('dpkg-deb', '-f', self._package, 'Depends').strip()
        self._bare = Bare(suite, folder)
        self._before = set()

    def its_dependencies_are_in_the_archive(self):
        self._bare.run(f'apt-get -qq update; apt-get -qq install -y --no-install-recommends {TOOLS} >/dev/null 2>&1; '
                       f'apt-get -qq satisfy -y --no-install-recommends "{self._depends}" 2>&1')
        self._before = self._bare.paths()

    def it_can_be_installed(self):
        self._bare.run('dpkg -i ' + self._bare.bring(self._package))

    def mn_says_its_version(self):
        expect(rf'^mn {re.escape(self.version)}\n$', self._bare.run('mn --version'))

    def a_bare_name_preloads_it(self):
        said = self._bare.run(f"LD_PRELOAD=libmn.so MN_STATS=1 python3 -c '{THREADS}' 2>&1")
        expect(r'^(x\n){9}libmn: stats: mode=mn .* gs=9 .*\n$', said)

    def it_serves_users(self):
        said = self._bare.run(f"setpriv --reuid=65534 --regid=65534 --clear-groups mn run --stats -- "
                              f"python3 -c '{THREADS}' 2>&1")
        expect(r'^(x\n){9}libmn: stats: mode=mn .* gs=9 .*\n$', said)

    def mn_help_lists_its_options(self):
        expect(rf'^libmn {re.escape(self.version)}\nlibmn: MN_', self._bare.run('MN_HELP=1 LD_PRELOAD=libmn.so /bin/true 2>&1'))

    def mn_compare_compares(self):
        said = self._bare.run('cd /tmp; seq 300000 >numbers; mn compare -n 7 -- xz -T2 -k -c numbers')
        expect(r'(?s)(M:N is|No difference).*kernel threads', said)

    def mn_stacks_shows_a_running_program(self):
        said = self._bare.beside_sleepers('mn stacks $!')
        expect(r'9 threads: .*sleep', said)
        expect(r'#\d', said)

    def gdb_reads_its_commands(self):
        said = self._bare.beside_sleepers(f"{GDB} -ex 'info gs' 2>&1")
        expect(r'(?m)^ +9  waiting .* sleep ', said)

    def gdb_finds_its_symbols(self):
        path = self._bare.bring(self._symbols)
        said = self._bare.beside_sleepers(f"{GDB} -ex 'ptype mn::sched' 2>&1", f'dpkg -i {path}')
        self._bare.run('dpkg --purge libmn-dbgsym')
        expect(r'nprocs', said)

    def manual_pages_are_there(self):
        for page in (*(f'man1/{name}.1' for name in MANUAL), 'man7/libmn.7'):
            self._bare.run(f'gzip -t /usr/share/man/{page}.gz')

    def completions_are_there(self):
        said = self._bare.run("bash -c '. /usr/share/bash-completion/completions/mn; COMP_WORDS=(mn st); COMP_CWORD=1; _mn; "
                              "echo $COMPREPLY'")
        expect(r'^stacks\n$', said)
        self._bare.run('ls /usr/share/zsh/vendor-completions/_mn /usr/share/fish/vendor_completions.d/mn.fish')

    def nothing_is_left_of_it(self):
        self._bare.run('dpkg --purge libmn; rm -rf /tmp/*')
        left = sorted(self._bare.paths() - self._before)
        gone = sorted(self._before - self._bare.paths())
        if left or gone:
            raise Failed(f'left: {" ".join(left)}; gone: {" ".join(gone)}')


def try_in(suite, folder):
    """How many tests passed, and failed. Without a Debian to try it in, one has failed."""
    print(f'Debian {suite}:', flush=True)
    begin = time.monotonic()
    try:
        tests = Tests(suite, folder)
    except (Failed, OSError, subprocess.SubprocessError) as error:
        print(f'FAILED {suite}:\n' + textwrap.indent(str(error), '    '))
        return 0, 1
    names = [name for name in vars(Tests) if not name.startswith('_')]
    failed = 0
    for name in names:
        try:
            getattr(tests, name)()
            print(f'  passed: {name.replace("_", " ")}', flush=True)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f'  FAILED: {name.replace("_", " ")}:\n' + textwrap.indent(str(error), '    '), flush=True)
    print(f'  {len(names) - failed} of {len(names)} in {time.monotonic() - begin:.0f} s')
    return len(names) - failed, failed


def main():
    if os.geteuid() != 0:
        print('deb: needs root, for debootstrap and chroot', file=sys.stderr)
        return 2
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix='mn-deb-') as folder:
        for suite in SUITES:
            counts = try_in(suite, folder)
            passed, failed = passed + counts[0], failed + counts[1]
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
