# SPDX-License-Identifier: Apache-2.0
"""A stub in the place of libmn.so, and scripts/mn run with it: what the tests of mn share."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

MN = os.path.join(ROOT, 'scripts', 'mn')
CC = os.environ.get('CC', 'cc')

# Says at the end what libmn says (of three threads, or $STUB_THREADS), lists two options, and refuses a bad one.
STUB = r'''
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int out = -1;
__attribute__((constructor)) static void Begin(void) {
  const char* procs = getenv("MN_PROCS");
  if (procs != NULL && atoi(procs) == 0) {
    dprintf(2, "libmn: MN_PROCS='%s' is not valid: it must be a number\n", procs);
    exit(125);
  }
  if (getenv("MN_HELP")) dprintf(2, "libmn: MN_PROCS: contexts; a number\nlibmn: MN_MODE: which\n");
  if (getenv("MN_STATS")) out = fcntl(2, F_DUPFD_CLOEXEC, 100);
}
__attribute__((destructor)) static void End(void) {
  const char *procs = getenv("MN_PROCS"), *threads = getenv("STUB_THREADS");
  if (out != -1)
    dprintf(out, "libmn: stats: mode=mn procs=%s gs=%s\n", procs ? procs : "2", threads ? threads : "3");
}
'''

folder = tempfile.mkdtemp(prefix='mn-test-')
atexit.register(shutil.rmtree, folder, ignore_errors=True)


def build(text, name, *flags):
    source = os.path.join(folder, name + '.c')
    with open(source, 'w') as file:
        file.write(text)
    path = os.path.join(folder, name)
    subprocess.run([CC, '-o', path, source, *flags], check=True)
    return path


def script(text, name='script'):
    path = os.path.join(folder, name)
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, 0o755)
    return path


def environment(extra=None):
    base = {key: value for key, value in os.environ.items()
            if not key.startswith('MN_') and key not in ('LD_PRELOAD', 'GITHUB_STEP_SUMMARY')}
    return {**base, **(extra or {})}


def mn(*arguments, env=None, **options):
    return subprocess.run([sys.executable, MN, *arguments], env=environment(env), text=True,
                          check=False, **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE,
                                          'stdin': subprocess.DEVNULL, **options})


stub = build(STUB, 'libmn.so', '-shared', '-fPIC')
