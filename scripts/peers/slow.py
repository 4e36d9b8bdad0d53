"""Storage that is bound by latency: each read takes 20 ms, however many there are."""

import json
import os

import place
import race
import tools
from common import GIB, MIB, copy_race, fastest_peer, found, median, ours, pcopy, ratio, skipped
from race import Runner

DELAY = 0.020

# Of so many parts, cp copies one.
CP_SHARE = 16

FIXED = [1, 4, 8, 16, 32]


def bed(name, work, size):
    """The slow file of so many bytes and what it shows, or why there is none."""
    if os.geteuid() != 0 or not (tools.path_of("gcc") and tools.has_library("fuse3")):
        return None, None, skipped(name, "needs root, gcc and libfuse 3")
    image = work.file("image", size)
    return image, work.slow_file(image, DELAY), None


def rate_of_bed(source, jobs, size):
    """Bytes a second that fio reads, past the cache, so many requests at once."""
    each = size // jobs
    place.cold(source)
    said = place.run(tools.path_of("fio"), "--name=read", "--rw=read", "--bs=1M", "--direct=1",
                     "--ioengine=psync", "--thread", f"--numjobs={jobs}", f"--size={each}",
                     f"--offset_increment={each}", f"--filename={source}", "--readonly",
                     "--group_reporting", "--output-format=json")
    return json.loads(said)["jobs"][0]["read"]["bw_bytes"]


def scales(source, size):
    """How many times as fast as one request at a time 16 are: what is asked of no
    copier if the bed does not give it."""
    what = "the bed: fio, 16 requests at once / one"
    if not tools.path_of("fio"):
        return ratio(what, None, None, 14)
    # A part is enough for one.
    return ratio(what, rate_of_bed(source, 16, size), rate_of_bed(source, 1, size // 8), 14)


def s3(work, options):
    depth, size = len(work.undo), min(GIB, options.size)
    image, shown, missing = bed("S3", work, size)
    if missing:
        return missing
    device = work.read_only_device(shown)
    copy = os.path.join(work.tmpfs(size + size // 4), "copy")
    own = lambda name, *words: (name, pcopy("--no-sync", *words, device, copy))
    rows = [own("pcopy")] + [own(f"pcopy -t {n}", "-t", str(n)) for n in FIXED]
    rows += [row for row in tools.copies(device, copy, sync=False, device=True)
             if row[0].startswith(("qemu-img", "nbdcopy"))]

    def before():
        place.touch_memory(size)
        place.cold(device)
        place.cold(image)

    targets = [scales(device, size)]
    results = copy_race(device, copy, rows, options.rounds, before)
    work.undo_to(depth)
    os.remove(image)
    auto = median(results, "pcopy")
    best = best_fixed(results)
    targets += [ratio("1 thread / 16 threads", median(results, "pcopy -t 1"),
                      median(results, "pcopy -t 16"), 15.0),
                ratio("best fixed count / auto", best, auto, 0.9),
                ratio("qemu-img -m 16 / auto", median(results, "qemu-img -W -m 16"), auto, 1.2)]
    conditions = ("a read-only loop device on a file that FUSE answers after 20 ms; all caches "
                  "dropped before each run; destination a new file on tmpfs")
    return found("S3", results, targets, conditions, size)


def s3f(work, options):
    depth, size = len(work.undo), min(512 * MIB, options.size)
    image, shown, missing = bed("S3f", work, size)
    if missing:
        return missing
    copy = os.path.join(work.tmpfs(2 * size), "copy")
    own = lambda name, *words: (name, pcopy("--no-sync", *words, shown, copy))
    rows = [own("pcopy")]
    for engine in ("positioned", "direct"):
        rows += [own(f"pcopy -t {n} --engine {engine}", "-t", str(n), "--engine", engine)
                 for n in (16, 32)]
    if tools.path_of("qemu-img"):
        rows.append(("qemu-img -W -m 16 -T none", [[
            "qemu-img", "convert", "-f", "raw", "-O", "raw", "-W", "-m", "16", "-T", "none",
            shown, copy]]))

    def before():
        place.touch_memory(size)
        place.cold(shown)
        place.cold(image)

    targets = [scales(shown, size)]
    results = copy_race(shown, copy, rows, options.rounds, before)
    # Of cp a part is enough: it takes minutes, and each part the same.
    work.undo_to(depth)
    os.remove(image)
    part = size // CP_SHARE
    image, shown, _ = bed("S3f", work, part)
    copy = os.path.join(work.tmpfs(2 * part), "copy")
    name = f"cp (1/{CP_SHARE} of it, scaled)"
    results += race.race([Runner(name, [["cp", shown, copy]], before,
                                 lambda: place.remove(copy), scale=CP_SHARE)], options.rounds)
    work.undo_to(depth)
    os.remove(image)
    auto = median(results, "pcopy")
    targets += [ratio("best of engines and counts / auto", best_fixed(results), auto, 0.9),
                ratio("fastest peer / auto", fastest_peer(results), auto, 1.2),
                ratio("cp / auto", median(results, name), auto, 20.0)]
    conditions = ("a file that FUSE answers after 20 ms, as many requests at once as are made; all "
                  "caches dropped before each run; destination a new file on tmpfs")
    return found("S3f", results, targets, conditions, size)


def best_fixed(results):
    return min((row["median"] for row in ours({"rows": results}) if row["name"] != "pcopy"),
               default=None)
