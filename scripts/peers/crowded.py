"""Copies that are larger than the memory they may use, beside another's page cache."""

import json
import os
import statistics
import subprocess
import time

import place
import tools
from common import GIB, found, skipped, target

# The memory of the copy is a quarter of it, and what another has cached an eighth.
MEMORY_SHARE, OTHER_SHARE = 4, 8


def s12(work, options):
    size = min(4 * GIB, 4 * options.size)
    group = work.memory_group(size // MEMORY_SHARE)
    if os.geteuid() != 0 or group is None or not tools.path_of("fincore"):
        return skipped("S12", "needs root, control groups of memory, and fincore")
    source, copy = work.file("source", size), work.path("copy")
    other = work.file("other", size // OTHER_SHARE)
    line = f'echo $$ > "{group}"; exec "$@"'
    commands = {
        "pcopy": [tools.PCOPY, "--no-sync", "--progress", "json", source, copy],
        "cp": ["cp", source, copy],
        "dd bs=4M direct": ["dd", f"if={source}", f"of={copy}", "bs=4M", "iflag=direct",
                            "oflag=direct", "status=none"],
    }
    runs = {name: [] for name in commands}
    for number in range(options.rounds + 1):
        for name, words in commands.items():
            place.remove(copy)
            place.cold(source)
            place.warm(other)
            run = timed(["sh", "-c", line, "sh", *words])
            run["kept"] = place.cached(other)
            if number > 0:
                runs[name].append(run)
        print(f"   round {number} of {options.rounds}", end="\r", flush=True)
    assert place.same(source, copy), "the copy differs from the source"
    for path in (source, other, copy):
        os.remove(path)
    rows = [row(name, found_runs) for name, found_runs in runs.items()]
    kept = min(run["kept"] for run in runs["pcopy"])
    halves = statistics.median(run["halves"] for run in runs["pcopy"])
    processors = {name: statistics.median(run["processors"] for run in found_runs)
                  for name, found_runs in runs.items()}
    targets = [
        target("of the other's pages stay >= 95 %", f"{kept * 100:.0f} %", kept >= 0.95),
        target("rate of the second half / of the first >= 0.95", f"{halves:.2f}", halves >= 0.95),
        target("seconds of the processors / of cp <= 1.15",
               f"{processors['pcopy'] / processors['cp']:.2f}",
               processors["pcopy"] <= 1.15 * processors["cp"]),
    ]
    conditions = (f"the copy may use {size // MEMORY_SHARE >> 20} MiB, page cache included; "
                  f"another process has {size // OTHER_SHARE >> 20} MiB cached; nothing synced")
    return found("S12", rows, targets, conditions, size)


def timed(words):
    """Seconds of the clock and of the processors, and how the halves compare in rate
    if the command tells of its progress in JSON."""
    begin = time.perf_counter()
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    lines = process.stderr.readlines()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "".join(lines)
    events = [json.loads(text) for text in lines if text.startswith("{")]
    return {"seconds": seconds, "processors": usage.ru_utime + usage.ru_stime,
            "halves": halves([(event["seconds"], event["copied"]) for event in events
                              if "copied" in event])}


def halves(points):
    """The rate of the second half over that of the first, from pairs of seconds and bytes."""
    if not points:
        return None
    end, total = points[-1]
    earlier = (0, 0)
    for seconds, copied in points:
        if copied >= total / 2:
            share = (total / 2 - earlier[1]) / (copied - earlier[1])
            middle = earlier[0] + share * (seconds - earlier[0])
            return middle / (end - middle) if end > middle else None
        earlier = (seconds, copied)
    return None


def row(name, runs):
    seconds = [run["seconds"] for run in runs]
    return {"name": name, "median": statistics.median(seconds), "min": min(seconds),
            "max": max(seconds)}
