"""Two processes of one job on one disk, beside two threads of one process."""

import os

import place
import race
from common import found, median, ratio
from race import Runner
from tools import PCOPY

# Each ends the line with its own exit code, so that none fails unseen.
BOTH = '"$@" & first=$!; "$@" && wait $first'


def s16(work, options):
    source, copy, job = work.file("source", options.size), work.path("copy"), work.path("job")

    def before():
        place.touch_memory(options.size)
        place.cold(source)

    def after():
        place.remove(copy)
        place.remove(job)

    def check():
        assert place.same(source, copy), "the copy differs from the source"

    def of_job(threads):
        return [PCOPY, "--quiet", "-t", str(threads), "--job", job, source, copy]

    rows = [
        ("pcopy -t 2", [PCOPY, "--quiet", "-t", "2", source, copy]),
        ("2 x pcopy -t 1 --job", ["sh", "-c", BOTH, "sh", *of_job(1)]),
        ("pcopy -t 2 --job", of_job(2)),
    ]
    runners = [Runner(name, [words], before, after, check) for name, words in rows]
    results = race.race(runners, options.rounds)
    os.remove(source)
    one = median(results, "pcopy -t 2")
    targets = [ratio("2 threads / 2 processes of a job", one,
                     median(results, "2 x pcopy -t 1 --job"), 0.95)]
    conditions = ("source dropped from the cache before each run; destination synced within the "
                  "time, by a job after each shard; both processes start at once, and the time "
                  "is over when both have ended")
    return found("S16", results, targets, conditions, options.size)
