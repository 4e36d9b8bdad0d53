"""Times of what the package is for, beside what Python has: `python benchmarks.py FILE`.

FILE is read often before, so that it is in the page cache. Ways take turns; the
figures are medians of rounds after a discarded first one.
"""

import statistics
import sys
import threading
import time

import pcopy

ROUNDS = 7


def timed(way):
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


def main(path):
    with open(path, "rb", buffering=0) as file:
        size = file.seek(0, 2)
    buffer = bytearray(size)

    def with_readinto():
        with open(path, "rb", buffering=0) as file:
            view = memoryview(buffer)
            while view and (count := file.readinto(view)):
                view = view[count:]

    ways = {
        "readinto": with_readinto,
        "read_into, 1 thread": lambda: pcopy.read_into(path, buffer, threads=1),
        "read_into, 2 threads": lambda: pcopy.read_into(path, buffer, threads=2),
        "read_into": lambda: pcopy.read_into(path, buffer),
    }
    times = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, way in ways.items():
            times[name].append(timed(way))
    for name, all_of_it in times.items():
        median = statistics.median(all_of_it[1:])
        print(f"{name:24} {median:.3f} s  {size / median / (1 << 30):.2f} GiB/s")

    counted = counting(lambda: pcopy.read_into(path, buffer, threads=1))
    alone = counting(lambda: time.sleep(0.3))
    print(f"a counting thread keeps {counted / alone:.0%} of its rate meanwhile")
    small = statistics.median(timed(lambda: pcopy.read_into(path, bytearray(1))) for _ in range(50))
    print(f"one call for one byte: {small * 1000:.2f} ms")


def counting(work):
    """How often a second another thread counts while `work` runs."""
    count, over = 0, threading.Event()

    def run():
        nonlocal count
        while not over.is_set():
            count += 1

    thread = threading.Thread(target=run)
    thread.start()
    begin = time.perf_counter()
    for _ in range(5):
        work()
    seconds = time.perf_counter() - begin
    over.set()
    thread.join()
    return count / seconds


if __name__ == "__main__":
    main(*sys.argv[1:])
