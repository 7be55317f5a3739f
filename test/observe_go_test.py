# SPDX-License-Identifier: Apache-2.0
"""Tests that libmn leaves Go's programs alone, which are known by a note of their linker's, and that mn says so."""

import subprocess
import unittest

import observed
from mn_stub import build, mn
from mnlib import preload, suite

KERNEL_THREADS = r'''
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#ifdef GO
__asm__(".pushsection .note.go.buildid, \"a\", @note; .balign 4; .long 4, 4, 4; .asciz \"Go\\0\"; .ascii \"test\";"
        ".popsection");
#endif
enum { kThreads = 8 };
static pthread_barrier_t together;
static void *Thread(void *id) {
  *(pid_t *)id = gettid();
  pthread_barrier_wait(&together);
  return NULL;
}
int main(void) {
  pthread_t threads[kThreads];
  pid_t ids[kThreads];
  int distinct = 0;
  pthread_barrier_init(&together, NULL, kThreads);
  for (int i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, Thread, &ids[i]);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < kThreads; ++i) {
    int k = 0;
    while (ids[k] != ids[i]) ++k;
    distinct += k == i;
  }
  printf("%d\n", distinct);
}
'''


class GoProgram(unittest.TestCase):
    def kernel_threads(self, program):
        env = preload.libmn_environment(observed.the_library(), suite.clean_environment(), procs=1)
        done = subprocess.run([program], env=env, capture_output=True, text=True, timeout=observed.SECONDS, check=True)
        self.assertEqual(done.stderr, '')
        return int(done.stdout)

    def test_has_kernel_threads(self):
        self.assertLess(self.kernel_threads(build(KERNEL_THREADS, 'c', '-pthread')), 8)
        self.assertEqual(self.kernel_threads(build(KERNEL_THREADS, 'go', '-pthread', '-DGO')), 8)

    def test_mn_says_so(self):
        program = build(KERNEL_THREADS, 'go', '-pthread', '-DGO')
        for action in ('run', 'compare'):
            done = mn(action, '--lib', observed.the_library(), '--', program)
            self.assertEqual((done.returncode, done.stderr.count('\n')), (125, 1), done.stderr)
            self.assertIn('Go program', done.stderr)


if __name__ == '__main__':
    unittest.main()
