"""Times of what the package is for, beside what Python has.

    python -P benchmarks.py FILE [--rounds 7] [--command pcopy] [--json]

`-P`, because the sources of the package lie beside this. FILE is read before, so that
it is in the page cache. Ways take turns, every other round backwards; the first round is
discarded. Seconds of processors are told beside those of the clock: where a machine does
something else as well, they are what stays. With `--command`, copies of FILE by
`pcopy.copy` and by that command are written beside it, unsynced, and removed.
"""

import argparse
import json
import operator
import os
import resource
import statistics
import subprocess
import threading
import time
import typing

import pcopy


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--command")
    parser.add_argument("--json", action="store_true", help="seconds of each way and round")
    return parser.parse_args()


def main():
    given = arguments()
    ways = {**into_memory(given.file), **copies(given.file, given.command)}
    times = race(ways, given.rounds)
    answer = {
        "times": {name: [took.wall for took in all_of_it] for name, all_of_it in times.items()},
        "cpu": {name: [took.cpu for took in all_of_it] for name, all_of_it in times.items()},
        "counting": counting_share(given.file, given.rounds),
    }
    if given.json:
        print(json.dumps(answer))
        return
    size = os.stat(given.file).st_size
    for name, wall in answer["times"].items():
        median, cpu = statistics.median(wall), statistics.median(answer["cpu"][name])
        spread = f"{min(wall):.3f} .. {max(wall):.3f}"
        rate = f"{size / median / (1 << 30):.2f} GiB/s"
        print(f"{name:24} {median:.3f} s ({spread})  {rate}, {cpu:.3f} s of processors")
    twice = "read_into, 2 threads"
    for what, name, other, least in (
        ("times", "readinto", twice, 1.5),
        ("cpu", "readinto, 2 threads", twice, 0.95),
        ("times", "the command", "copy", 0.95),
    ):
        if name in times:
            quotient = of_rounds(answer[what], name, other)
            unit = "s" if what == "times" else "s of processors"
            print(f"{name} / {other}: {quotient:.2f} ({unit}; wanted: {least:.2f} or more)")
    print(f"a counting thread keeps {answer['counting']:.0%} of its time (wanted: 90% or more)")
    small = statistics.median(
        timed(lambda: pcopy.read_into(given.file, bytearray(1))).wall for _ in range(100)
    )
    print(f"one call for one byte: {small * 1000:.2f} ms")


def of_rounds(times, name, other):
    """The median of the quotients of each round: whatever else the machine does in a
    round, it does to both."""
    return statistics.median(map(operator.truediv, times[name], times[other]))


class Took(typing.NamedTuple):
    """Seconds, on the clock and of all processors."""

    wall: float
    cpu: float


def with_readinto(path, buffer):
    with open(path, "rb", buffering=0) as file:
        view = memoryview(buffer)
        while view and (count := file.readinto(view)):
            view = view[count:]


def with_threads_of_readinto(path, buffer, count):
    """The same by threads of Python, each of which reads one part from end to end."""
    part = -(-len(buffer) // count)

    def read(start):
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            view = memoryview(buffer)[start : start + part]
            while view and (count := file.readinto(view)):
                view = view[count:]

    threads = [threading.Thread(target=read, args=[part * number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def into_memory(path):
    """Ways to read all of a file into memory that is there already."""
    buffer = bytearray(os.stat(path).st_size)

    return {
        "readinto": lambda: with_readinto(path, buffer),
        # What a second processor costs by itself: both share the way to memory.
        "readinto, 2 threads": lambda: with_threads_of_readinto(path, buffer, 2),
        "read_into, 1 thread": lambda: pcopy.read_into(path, buffer, threads=1),
        "read_into, 2 threads": lambda: pcopy.read_into(path, buffer, threads=2),
        "read_into": lambda: pcopy.read_into(path, buffer),
    }


def copies(path, command):
    """The same copy by the package and by the command."""
    if not command:
        return {}
    copy = path + ".copy"
    words = [command, "--quiet", "--no-sync", path, copy]

    def removed(work):
        def run():
            took = timed(work)
            os.remove(copy)
            return took

        return run

    by_command = removed(lambda: subprocess.run(words, check=True))
    return {"copy": removed(lambda: pcopy.copy(path, copy, sync=False)), "the command": by_command}


def race(ways, rounds):
    """What each way took, in turns."""
    times = {name: [] for name in ways}
    for number in range(rounds + 1):
        order = list(ways.items())
        for name, way in order if number % 2 == 0 else reversed(order):
            took = timed(way)
            if number:
                times[name].append(took)
    return times


def timed(way):
    """What `way` took, or what it says that it took."""
    spent, begin = processors(), time.perf_counter()
    said = way()
    took = Took(time.perf_counter() - begin, processors() - spent)
    return said if isinstance(said, Took) else took


def processors():
    """Seconds of processors for this process and for those it has waited for."""
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in of)


def counting_share(path, rounds):
    """How much of its time a counting thread has for itself while one worker reads.

    That is when it runs, or could run if a processor were free: what is missing is the
    time that it waits for the interpreter's lock. On a machine with processors to spare,
    this is the share that it keeps of its rate; elsewhere the rate says more about the
    machine. Linux tells both times.
    """
    buffer = bytearray(os.stat(path).st_size)
    work = lambda: pcopy.read_into(path, buffer, threads=1)  # noqa: E731
    return statistics.median(counting(work) for _ in range(rounds))


def counting(work):
    """The share of its time that another thread could count while `work` runs."""
    over, shares = threading.Event(), []

    def run():
        count, ready, begin = 0, ready_time(), time.perf_counter()
        while not over.is_set():
            count += 1
        shares.append((ready_time() - ready) / (time.perf_counter() - begin))

    thread = threading.Thread(target=run)
    thread.start()
    begin = time.perf_counter()
    while time.perf_counter() - begin < 0.5:
        work()
    over.set()
    thread.join()
    return shares[0]


def ready_time():
    """Seconds in which this thread ran or waited for a processor."""
    with open(f"/proc/self/task/{threading.get_native_id()}/schedstat") as file:
        ran, waited, _turns = map(int, file.read().split())
    return (ran + waited) / 1e9


if __name__ == "__main__":
    main()
