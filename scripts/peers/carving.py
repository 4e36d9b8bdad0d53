"""Thousands of ranges carved from one image, each to a file of its own."""

import os
import random

import place
import race
import tools
from common import GIB, MIB, found, median, ratio, skipped
from race import Runner
from tools import PCOPY

# Of so many ranges, one is carved by a dd of its own.
DD_SHARE = 40

# A range, and from one to the next.
LENGTH, STRIDE = 64 << 10, 68 << 10


def s4(work, options):
    if os.geteuid() != 0 or not tools.path_of("gcc"):
        return skipped("S4", "needs root for new file systems, and gcc")
    count = min(20_000, 20_000 * options.size // GIB)
    image = work.file("image", count * STRIDE)
    order = list(range(count))
    random.Random(1).shuffle(order)
    items = [(number * STRIDE + 512, LENGTH, f"f{number:05}") for number in order]
    rows, targets = [], []
    for kind in ("ext4", "xfs", "tmpfs"):
        if kind != "tmpfs" and not tools.path_of(f"mkfs.{kind}"):
            continue
        results = race.race(list(runners(work, kind, image, items)), options.rounds)
        rows += results
        loop, one, two = (next(row for row in results if row["name"] == f"{name}, {kind}")
                          for name in ("C loop", "pcopy batch -t 1", "pcopy batch -t 2"))
        both = lambda own, what: (loop.get(what), own.get(what))
        targets += [
            ratio(f"{kind}: C loop / pcopy with one worker", *both(one, "median"), 1.0),
            ratio(f"{kind}: C loop / pcopy with two", *both(two, "median"), 1.3),
            ratio(f"{kind}: C loop / pcopy with one worker, in seconds of processors",
                  *both(one, "processors"), 1 / 1.15),
            ratio(f"{kind}: C loop / pcopy with two, in seconds of processors",
                  *both(two, "processors"), 1 / 1.15),
        ]
    os.remove(image)
    table = ["| seconds of the processors | median |", "|---|---|"]
    table += [f"| {row['name']} | {row['processors']:.3f} s |" for row in rows if "median" in row]
    conditions = ("image cached; nothing synced but where the row says so; ranges in random order; "
                  "a new file system for each run; without -t, pcopy finds the number of threads "
                  "out")
    return {**found("S4", rows, targets, conditions, count * LENGTH), "extra": "\n".join(table)}


def runners(work, kind, image, items):
    """Everybody who carves, each time to a file system that has just been made."""
    lists, carve = carve_lists(work, items), work.path("carve")
    own_folder = os.path.dirname(os.path.abspath(__file__))
    place.run("gcc", "-O2", "-o", carve, os.path.join(own_folder, "carve.c"))
    size = len(items) * LENGTH
    folder = os.path.join(work.path("tmpfs" if kind == "tmpfs" else f"{kind}.mnt"), "carved")
    depth = len(work.undo)

    def before():
        if kind == "tmpfs":
            work.tmpfs(2 * size)
        else:
            work.mount(kind, 2 * size + 512 * MIB)
        os.mkdir(folder)
        # Emptied first: what is removed need not be written when it is unmounted.
        work.undo.append(lambda: place.remove(folder))
        place.touch_memory(2 * size)
        place.warm(image)

    def runner(name, words, scale=1):
        return Runner(f"{name}, {kind}", [words], before=before, after=lambda: work.undo_to(depth),
                      scale=scale)

    batch = [PCOPY, "batch", "--quiet", "--source", image, "--into", folder + "/"]
    yield runner("pcopy batch", [*batch, "--no-sync", lists["csv"]])
    for threads in ("1", "2"):
        yield runner(f"pcopy batch -t {threads}",
                     [*batch, "-t", threads, "--no-sync", lists["csv"]])
    shell = lambda command: ["sh", "-c", f'exec "$@" < {lists["plain"]}', "sh", *command]
    yield runner("C loop", shell([carve, image, folder]))
    if kind != "ext4":
        return
    yield runner("pcopy batch, synced", [*batch, lists["csv"]])
    yield runner("python loop", shell(["python3", os.path.join(own_folder, "carve.py"), image,
                                       folder]))
    # One dd a range is a process a range: some of them, multiplied.
    some, script = items[::DD_SHARE], work.path("dds")
    with open(script, "w", encoding="ascii") as file:
        for start, length, name in some:
            file.write(f"dd if={image} of={folder}/{name} bs={length} count=1 skip={start} "
                       "iflag=skip_bytes status=none\n")
    yield runner(f"one dd a range ({len(some)}, scaled)", ["sh", script],
                 scale=len(items) / len(some))


def carve_lists(work, items):
    """The ranges, once for each reader."""
    lists = {"csv": work.path("items.csv"), "plain": work.path("items.txt")}
    with open(lists["csv"], "w", encoding="ascii") as file:
        file.write("name,start,len\n")
        file.writelines(f"{name},{start},{length}\n" for start, length, name in items)
    with open(lists["plain"], "w", encoding="ascii") as file:
        file.writelines(f"{start} {length} {name}\n" for start, length, name in items)
    return lists
