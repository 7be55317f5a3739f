# SPDX-License-Identifier: Apache-2.0
"""Hands a token round a ring of threads: ring.py THREADS HOPS. Prints how often each had it."""

import sys
import threading


def main():
    count, hops = int(sys.argv[1]), int(sys.argv[2])
    doors = [threading.Lock() for _ in range(count)]
    visits = [0] * count
    left = hops

    def member(index):
        nonlocal left
        while True:
            doors[index].acquire()
            if left == 0:
                break
            left -= 1
            visits[index] += 1
            doors[(index + 1) % count].release()
        # The token is used up: this one goes, and so does the next.
        doors[(index + 1) % count].release()

    for door in doors:
        door.acquire()
    threads = [threading.Thread(target=member, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    doors[0].release()
    for thread in threads:
        thread.join()
    print(f'{count} threads, {sum(visits)} hops, each {min(visits)} to {max(visits)} times')


main()
