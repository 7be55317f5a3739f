# SPDX-License-Identifier: Apache-2.0
"""Starts and joins many short-lived threads: births.py THREADS AT_ONCE. Prints their sum."""

import sys
import threading


def main():
    count, at_once = int(sys.argv[1]), int(sys.argv[2])
    total = 0
    for first in range(0, count, at_once):
        results = [0] * at_once

        def work(slot, number):
            results[slot] = number * 3 + 1

        threads = [threading.Thread(target=work, args=(slot, first + slot))
                   for slot in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total += sum(results)
    print(f'{count} threads, sum {total}')


main()
