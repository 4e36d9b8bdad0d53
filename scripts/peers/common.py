"""What all scenarios share: their titles, their rows and targets, and a copy of
pcopy beside its peers."""

import place
import race
import tools
from race import Runner
from tools import PCOPY

TITLES = {
    "S1": "warm cache, new file, not synced",
    "S2": "cold cache, new file, synced",
    "S3": "a block device with 20 ms a request",
    "S3f": "the file below it, as on a network",
    "S4": "20,000 ranges of 64 KiB carved from one image",
    "S5": "sharing extents, 4 GiB on XFS and btrfs",
    "S6": "1 TiB sparse source with 64 MiB of data",
    "S7": "a copy and its BLAKE3",
    "S8": "a file of 1 KiB, whole process",
    "S9": "peak memory",
    "S10": "cost as work grows, 1 MiB to 8 GiB",
    "S11": "four files of 2 GiB at once",
    "S12": "a copy of 4 GiB with 1 GiB of memory, beside what another has cached",
    "S13": "an object of a server that takes 50 ms a request, and of one that takes none",
    "S14": "a pipe into a new file, and its BLAKE3",
    "S15": "a device brought up to date, of which 1 % differs",
    "S16": "two processes of one job on one disk",
    "S17": "all of a file into memory, from Python",
    "S18": "100,000 small files in folders",
}

MIB, GIB = 1 << 20, 1 << 30


def ours(result):
    """Rows of pcopy."""
    return [row for row in result["rows"] if row["name"].startswith("pcopy") and "median" in row]


def median(rows, name):
    """The median of the row of that name, or None."""
    return next((row.get("median") for row in rows if row["name"] == name), None)


def fastest_peer(rows):
    """The least median of what is neither pcopy nor shows what the bed can do."""
    return min((row["median"] for row in rows
                if "median" in row and not row["name"].startswith(("pcopy", "fio", race.BEFORE))),
               default=None)


def target(what, value, reached):
    """One line of "target: value, met or missed"."""
    return {"what": what, "value": value, "met": None if value is None else bool(reached)}


def ratio(what, numerator, denominator, least):
    """A target on a quotient of times."""
    if not numerator or not denominator:
        return target(f"{what} >= {least:.2f}", None, False)
    value = numerator / denominator
    return target(f"{what} >= {least:.2f}", f"{value:.2f}", value >= least)


def skipped(name, reason):
    return {"name": name, "title": TITLES[name], "skipped": reason, "rows": [], "targets": []}


def found(name, rows, targets, conditions, size=None):
    return {"name": name, "title": TITLES[name], "rows": rows, "targets": targets,
            "conditions": conditions, "bytes": size}


def copy_race(source, destination, rows, rounds, before):
    """Races copies to a new file and checks the bytes of each once."""

    def check():
        assert place.same(source, destination), "the copy differs from the source"

    runners = [
        Runner(name, commands, before=before, after=lambda: place.remove(destination), check=check)
        for name, commands in rows
    ]
    return race.race(runners, rounds)


def pcopy(*words):
    return [[PCOPY, "--quiet", *words]]
