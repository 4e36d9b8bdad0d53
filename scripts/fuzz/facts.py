"""What a copy has besides its bytes: storage, mode, owner and times."""

import os

import cases
import left
from violation import must

BLOCK = 4096

# What a file system may take besides: lists of extents, and ends of runs that are not
# whole blocks.
FOR_LISTS = 32 << 10
FOR_A_RUN = 2 * BLOCK


def storage_of(path):
    return 512 * os.stat(path).st_blocks


def blocks_of_data(content, offset):
    """Bytes in the blocks that hold anything but zeros, of what begins at `offset`."""
    zeros, found = bytes(BLOCK), 0
    at = -(offset % BLOCK)
    while at < len(content):
        part = content[max(at, 0):at + BLOCK]
        found += 0 if part == zeros[:len(part)] else BLOCK
        at += BLOCK
    return found


class Storage:
    """What a new file may take, and must."""

    def __init__(self, source, content, wanted, offset, runs):
        """Of `wanted` of a source, which is a file whose holes are believed, or `None`."""
        self.content, self.offset, self.length = wanted, offset, len(wanted)
        self.slack = FOR_LISTS + FOR_A_RUN * (runs + 1)
        # Everything is data where more is reserved than is there.
        self.kept = None
        if source is not None:
            has_holes = storage_of(source) < len(content) - BLOCK
            self.kept = storage_of(source) if has_holes else None
            if has_holes and len(wanted) < len(content):
                self.kept = min(self.kept, left.data_in(source, True))

    def most(self, sparse):
        """Bytes that a new file may take; `None`: that is not known."""
        if sparse == "always":
            return blocks_of_data(self.content, self.offset) + self.slack
        if sparse == "auto" and self.kept is not None:
            return self.kept + self.slack
        return None

    def least(self, sparse):
        """Bytes that it must take."""
        return self.length - BLOCK if sparse == "never" else 0


class Given:
    """Who may do what with a file, whose it is, and when it was changed and read."""

    def __init__(self, path):
        facts = os.stat(path)
        self.mode = facts.st_mode & 0o7777
        self.owner = facts.st_uid, facts.st_gid
        self.times = facts.st_mtime_ns, facts.st_atime_ns

    def __repr__(self):
        return f"mode {self.mode:o}, owner {self.owner}, times {self.times}"

    def __eq__(self, other):
        return (self.mode, self.owner, self.times) == (other.mode, other.owner, other.times)


def own_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


class Besides:
    """What the destinations of a copy (`Played`) have besides their bytes."""

    def __init__(self, copy):
        self.copy = copy

    def look(self):
        """What the source and the destinations have besides their bytes, before a run."""
        is_file = self.copy.case["source"]["kind"] == "file"
        self.given = Given(self.copy.source) if is_file else None
        self.given_before = [Given(path) if os.path.exists(path) else None for path in self.copy.dests]

    def check_given(self, said):
        """Modes, owners and times of files that are made, where they are kept."""
        case = self.copy.case
        kept = [path for path in self.copy.dests if self.copy.is_faithful(path)]
        if not self.given or not self.copy.bed.places.is_faithful(case["source"]["place"]):
            return
        for path in kept:
            now, before = Given(path), self.given_before[self.copy.dests.index(path)]
            name = os.path.basename(path)
            if "--preserve" in said:
                must(now == self.given, name, f"has {now}, not {self.given}")
            elif case["dest"]["kind"] == "force" and before:
                right = before.mode & 0o777, before.owner
                must((now.mode, now.owner) == right, name, f"has {now}, and was {before}")
            elif case["dest"]["kind"] == "new" and case["range"] is None and not case["offset"]:
                right = self.given.mode & 0o777 & ~own_umask()
                must(now.mode == right, name, f"has mode {now.mode:o}, not {right:o}")

    def check_storage(self, attempts):
        """Holes of a new file: those of the source, those of zeros, or none."""
        copy, case = self.copy, self.copy.case
        asked = [cases.words_said(one) for one in attempts]
        sparse = {said.get("--sparse", "auto") for said in asked}
        if case["dest"]["kind"] not in ("new", "force") or len(sparse) > 1:
            # What one run has written, another one resumes as it is.
            return
        is_full = any(said.get("--preallocate") == "full" for said in asked)
        source = case["source"]
        has_holes = source["kind"] == "file" and self.copy.bed.places.is_faithful(source["place"])
        kept = self.copy.source if has_holes else None
        storage = Storage(kept, self.copy.content, self.copy.wanted, case["offset"], len(source["runs"]))
        for path in self.copy.dests:
            if not self.copy.is_faithful(path):
                continue
            files = self.segments(path) if case["split"] else [path]
            taken = sum(storage_of(file) for file in files)
            most, least = storage.most(*sparse), storage.least(*sparse)
            must(most is None or is_full or taken <= most + FOR_A_RUN * len(files),
                 os.path.basename(path), f"takes {taken} bytes of storage, and may take {most}")
            must(taken >= least, os.path.basename(path), f"takes {taken} bytes of storage, and has {least} without holes")

    def segments(self, path):
        folder = os.path.dirname(path)
        return [os.path.join(folder, name) for name in self.copy.later_segments(path)]
