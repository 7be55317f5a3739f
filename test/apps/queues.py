# SPDX-License-Identifier: Apache-2.0
"""Threads on queues, locks, conditions, events, barriers: queues.py THREADS. Prints the results.

A third of the threads make numbers, a third square them, a third add them up.
"""

import queue
import sys
import threading

ITEMS = 50


def main():
    workers = int(sys.argv[1]) // 3
    raw, squared = queue.Queue(maxsize=64), queue.Queue()
    lock = threading.RLock()
    limit = threading.BoundedSemaphore(7)
    start = threading.Event()
    together = threading.Barrier(3 * workers)
    done = threading.Condition()
    own = threading.local()
    total = finished = inside = most_inside = 0

    def produce(index):
        start.wait()
        for item in range(ITEMS):
            raw.put(index * ITEMS + item)

    def square(index):
        start.wait()
        own.count = 0
        while own.count < ITEMS:
            squared.put(raw.get(timeout=60) ** 2)
            own.count += 1

    def add(index):
        nonlocal total, inside, most_inside
        start.wait()
        for _ in range(ITEMS):
            value = squared.get()
            with limit:
                with lock:
                    inside += 1
                    most_inside = max(most_inside, inside)
                with lock, lock:
                    total += value
                    inside -= 1

    def run(body, index):
        nonlocal finished
        body(index)
        together.wait()
        with done:
            finished += 1
            done.notify_all()

    threads = [threading.Thread(target=run, args=(body, index), daemon=True)
               for index in range(workers) for body in (produce, square, add)]
    for thread in threads:
        thread.start()
    start.set()
    with done:
        everybody = done.wait_for(lambda: finished == len(threads), timeout=100)
    for thread in threads:
        thread.join(0 if not everybody else None)
    print(f'threads {len(threads)} finished {finished} total {total} '
          f'at most 7 inside: {most_inside <= 7}')


main()
