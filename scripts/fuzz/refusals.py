"""What of a copy is refused, by the documents: each reason is named, with the exit code and
the word of the report (`error_kind`) that belong to it."""

from collections import namedtuple

import cases

# `words` are of the report. What is certain may not end in another way.
Reason = namedtuple("Reason", "code words why is_certain", defaults=(False,))

# Engines that the kernel or one file serves, and that see no bytes.
BLIND = ("offload", "mmap", "splice")

# What says that an engine cannot serve, before the first byte, after what an earlier run
# left was discarded, and in the middle.
UNSUITABLE = {(3, "engine_unsuitable"), (5, "discarded"), (5, "engine_gave_way")}

# Blocks by which extents are shared, of the file systems that can.
BLOCK = 4096

# What a disk that fails may be called, before the first byte and later. What is tried
# first is only tried where a program serves the file system.
OF_A_DISK = {
    3: {"cannot_create", "cannot_open", "cannot_write", "no_rename", "no_map", "bad_map"},
    5: {"write", "read", "sync", "destination", "not_named", "journal"},
}


def is_stream(case):
    """Whether the source comes once, and in order: of no bytes, a server needs no ranges."""
    source = case["source"]
    is_unranged = source["kind"] == "http" and not source.get("ranges", True)
    return source["kind"] in ("stdin", "fd") or is_unranged and size_of(case) > 0


def senseless(case, attempt):
    """Why the command line makes no sense: all of that is certain."""
    said, dest = cases.words_said(attempt), case["dest"]["kind"]
    engine = said.get("--engine", "auto")
    is_named = engine not in ("auto", "positioned")
    must_share = said.get("--reflink") == "always"
    if is_stream(case):
        if is_named or must_share:
            yield "an engine that reads at any place, for what comes once"
        if "--repair" in said or attempt["how"] == "--resume":
            yield "what comes once would have to be read again"
    if dest == "stdout":
        if is_named or must_share:
            yield "an engine for what is written in order"
        if "--verify" in said:
            yield "what is written in order cannot be read back"
        if said.get("--sparse") == "always" or said.get("--preallocate") == "full":
            yield "storage of what is written in order"
    if case["also"] and (is_named or must_share):
        yield "several destinations, which only one engine writes"
    if "--only-changed" in said and must_share:
        yield "what is shared is written as a whole"


def unsuitable(case, attempt):
    """Why an engine that is named cannot serve this copy, wherever it is made."""
    said, source, dest = cases.words_said(attempt), case["source"]["kind"], case["dest"]["kind"]
    engine = said.get("--engine", "auto")
    must_share = said.get("--reflink") == "always"
    if must_share and engine not in ("auto", "offload"):
        yield "an engine that shares no extents, which are to be shared", True
        return
    if must_share:
        engine = "offload"
    if engine in BLIND:
        if said.keys() & {"--digest", "--expect"} or said.get("--sparse") == "always":
            yield "the bytes are to be looked at on their way", False
        if "--only-changed" in said:
            yield "the bytes of both sides are to be compared", False
        if source == "http" or has_pieces(case) or case["split"]:
            yield "pages travel from one file to one file", False
    if engine == "offload" and (source == "loop" or dest == "device"):
        yield "the kernel copies from file to file", False
    if engine == "mmap" and dest in ("in-place", "device"):
        yield "only a new file is mapped", False
    if must_share and not has_whole_block(case):
        yield "no whole block of the source is one of the destination", False


def size_of(case):
    return sum(length for _, length, _ in case["source"]["runs"])


def has_pieces(case):
    """Whether several files are read: a set of one piece is that file."""
    return case["source"]["kind"] == "pieces" and size_of(case) > case["source"]["piece"]


def has_whole_block(case):
    size = size_of(case)
    start, end = case["range"] or (0, size)
    return start % BLOCK == case["offset"] % BLOCK and -(-start // BLOCK) < end // BLOCK


def reasons(case, attempt):
    """What speaks against the copy, as far as the case alone says."""
    found = [Reason(2, {"usage"}, why, True) for why in senseless(case, attempt)]
    found += [Reason(3, {"engine_unsuitable"}, why, is_certain)
              for why, is_certain in unsuitable(case, attempt)]
    if is_stream(case) and case["split"] and case["dest"]["kind"] == "force" and case["range"] is None:
        found.append(Reason(3, {"one_more_piece"}, "files of an earlier set that might be replaced or not"))
    return found


def plain_words(attempt):
    """The engine of an attempt and what bears on it: all that a plain copy needs to be
    refused in the same way; `None` where none is named."""
    said = cases.words_said(attempt)
    if said.get("--engine", "auto") in ("auto", "positioned") and said.get("--reflink") != "always":
        return None
    words = [["--engine", said["--engine"]]] if "--engine" in said else []
    words += [["--reflink", said["--reflink"]]] if said.get("--reflink") in ("always", "never") else []
    words += [["--sparse", "never"]] if said.get("--sparse") == "never" else []
    return words


def plain_case(case, words):
    """A copy of nothing special between the same places, with these options."""
    source = {key: case["source"][key] for key in ("kind", "place", "ranges", "piece") if key in case["source"]}
    if "ranges" in source and not size_of(case):
        # An empty object is not a stream, whatever the server can do.
        source["ranges"] = True
    source.update(runs=[["data", 65536, 1]], faults=0, seed=0, piece=32768 if has_pieces(case) else 65536)
    dest = {"kind": case["dest"]["kind"], "place": case["dest"]["place"], "old": [65536, 2, 0]}
    attempt = {"how": "", "options": words}
    return {"source": source, "dest": dest, "also": [], "split": case["split"] and 32768, "offset": 0,
            "switches": case["switches"], "map": 0, "beyond": 0, "range": None, "style": 0, "attempts": [attempt]}
