"""Cases by chance: what is copied, where to, how, and what interrupts it.

A case is a dictionary of plain values, so that it can be printed, read again and made
smaller. It says everything: the same case is the same copy.
"""

import os
import random

BLOCK = 4096
KIB = 1024

# Digests that Python can compute by itself, or a tool can that is looked for.
DIGESTS = ["sha256", "sha1", "md5", "blake3", "xxh3", "crc32c"]

# Nothing that a copy must do without may change its bytes or its end.
HARMLESS = [
    "ino=path", "ino=lookup", "ino=mount", "blocks=0", "direct", "times=now", "seek=holes",
    "seek=end", "seek=here", "statfs=zero", "refuse=chmod:EPERM", "refuse=chown:EPERM",
    "refuse=utimes:EPERM", "refuse=fallocate:EOPNOTSUPP", "refuse=rename-flags:EINVAL",
    "refuse=link:EPERM", "refuse=flock:EOPNOTSUPP", "refuse=fsyncdir:EINVAL",
    "refuse=lseek:EINVAL", "refuse=getxattr:EOPNOTSUPP", "refuse=setxattr:EOPNOTSUPP",
    "refuse=listxattr:EOPNOTSUPP", "grow=zeros", "delay=write:1", "delay=read:1",
]
# These end a copy, which is resumed without them.
FAILING = [
    "refuse=write:ENOSPC:{}", "refuse=write:EIO:{}", "refuse=fsync:EIO:{}", "refuse=rename:EIO:{}",
    "refuse=truncate:EIO:{}", "refuse=create:EIO:{}", "refuse=flush:EIO:{}", "refuse=open:EIO:{}",
]
SIGNALS = ["INT", "TERM", "KILL"]


def content_of(runs):
    """The bytes of `[kind, length, seed]`, one after the other."""
    return b"".join(
        random.Random(seed).randbytes(length) if kind == "data" else bytes(length)
        for kind, length, seed in runs)


def a_length(rng):
    """Around the sizes at which something begins, and any other."""
    near = rng.choice([0, 1, 511, 512, 4095, 4096, 65536, 262144, 1 << 20])
    return rng.choice([near, near + 1, rng.randrange(1 << 12), rng.randrange(1 << 18), rng.randrange(1 << 20)])


def some_runs(rng):
    kinds = rng.choice([["data"], ["data", "hole"], ["data", "hole", "zero"], ["zero"], ["hole"]])
    runs = []
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 9])):
        length = a_length(rng)
        if rng.random() < 0.5:
            length -= length % BLOCK
        runs.append([rng.choice(kinds), length, rng.randrange(1 << 32)])
    return runs


def new_case(seed, places, is_root, may_serve):
    """One more case, with folders of `places` (their names)."""
    rng = random.Random(seed)
    ordinary = [place for place in places if place != "oddfs"] or places
    kinds = ["file"] * 6 + ["stdin", "fd", "pieces"]
    kinds += ["http", "http"] if may_serve else []
    kinds += ["loop"] if is_root else []
    source = {"kind": rng.choice(kinds), "place": rng.choice(places), "runs": some_runs(rng)}
    if source["kind"] == "http":
        source.update(faults=rng.choice([0, 0, 0.2]), ranges=rng.random() < 0.85, seed=rng.randrange(1 << 32))
    if source["kind"] == "pieces":
        source["piece"] = rng.choice([4096, 5120, 65536, 307200])
    if source["kind"] == "file" and rng.random() < 0.3:
        source["shuffled"] = True
    if source["kind"] == "loop":
        # The system has to be able to keep a device over it.
        source["place"] = rng.choice(ordinary)

    case = {"source": source, "also": [], "split": 0, "offset": 0, "switches": [], "map": 0, "beyond": 0}
    ends = ["new"] * 4 + ["force", "in-place", "in-place", "stdout"] + (["device"] if is_root else [])
    dest = {"kind": rng.choice(ends), "place": rng.choice(places)}
    if dest["kind"] == "device":
        dest["place"] = rng.choice(ordinary)
    case["dest"] = dest
    size = sum(length for _, length, _ in source["runs"])
    if source["kind"] == "loop":
        size += -size % 512
        # A device of no bytes has no medium, and is refused.
        if size == 0:
            source["runs"], size = [["data", 512, 1]], 512
    if source["kind"] == "pieces":
        # Odd lengths look like an accident where there are two pieces.
        source["piece"] = max(source["piece"], size // 50 // 512 * 512 + 512)

    case["range"], case["style"] = a_range(rng, size)
    if dest["kind"] != "stdout":
        case["offset"] = rng.choice([0, 0, 0, 1, 511, 4096, 65537, rng.randrange(1 << 20)])
    if dest["kind"] in ("new", "force") and rng.random() < 0.15:
        case["split"], case["offset"] = rng.choice([4096, 65536, 100_000, 1 << 20]), 0
        start, end = case["range"] or (0, size)
        # As many files as a process may open.
        case["split"] = max(case["split"], (end - start) // 100 // 512 * 512 + 512)
    if dest["kind"] in ("new", "force", "in-place") and not case["split"] and rng.random() < 0.2:
        case["also"] = [rng.choice(places) for _ in range(rng.choice([1, 1, 2]))]
    if dest["kind"] in ("in-place", "force", "device"):
        dest["old"] = [a_length(rng), rng.randrange(1 << 32), rng.choice([0, 0.5, 1])]
    is_stream = source["kind"] in ("stdin", "fd") or dest["kind"] == "stdout" or not source.get("ranges", True)
    if not case["also"] and not is_stream and rng.random() < 0.1:
        case["map"] = 1
    if case["range"] and source["kind"] not in ("stdin", "fd") and rng.random() < 0.15:
        # The range ends so far behind the end of the source, and is cut.
        case["range"][1], case["beyond"] = size, rng.choice([1, 512, 1 << 40])
    if "oddfs" in places:
        case["switches"] = rng.sample(HARMLESS, rng.choice([0, 1, 1, 2, 3]))
        if source["place"] == "oddfs":
            # A source that is written to meanwhile is an error.
            case["switches"] = [switch for switch in case["switches"] if switch != "times=now"]
    case["attempts"] = attempts(rng, case, size)
    if source["kind"] == "file":
        source["given"] = some_facts(rng, is_root)
    return case


def some_facts(rng, is_root):
    """Mode, owner (`None`: as it is made) and times of a source: last change, last access."""
    mode = rng.choice([0o600, 0o640, 0o644, 0o664, 0o755, 0o4750, 0o1777])
    owner = [rng.randrange(1, 60_000), rng.randrange(1, 60_000)] if is_root and rng.random() < 0.5 else None
    # Whole seconds, and all that there are.
    times = [rng.choice([rng.randrange(1, 1 << 30) * 10**9, rng.randrange(10**9, 10**18)]) for _ in "ma"]
    return {"mode": mode, "owner": owner, "times": times}


def a_range(rng, size):
    if rng.random() < 0.4:
        return None, 0
    start, end = sorted(rng.choice([0, size, rng.randint(0, size), min(size, a_length(rng))]) for _ in "ab")
    return [start, end], rng.randrange(6)


def attempts(rng, case, size):
    """Those that are interrupted, and the one that is not."""
    tries = []
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3])):
        one = {"how": "--resume" if tries else "", "options": options(rng, case, size)}
        choice = rng.random()
        if choice < 0.75:
            one["signal"] = rng.choice(SIGNALS)
            one["after"] = round(rng.choice([0.02, 0.05, 0.4]) * rng.random() + 0.004, 4)
            if rng.random() < 0.6:
                # Slow enough to be in the middle when the signal comes.
                one["options"] = [option for option in one["options"] if option[0] != "--limit-rate"]
                one["options"].append(["--limit-rate", str(max(BLOCK, int(size / rng.choice([0.1, 0.3, 0.5]))))])
        elif choice < 0.85 and case["dest"]["place"] == "oddfs" and case["source"]["place"] != "oddfs":
            one["switches"] = [rng.choice(FAILING).format(rng.randrange(8))]
        elif choice < 0.95:
            one["options"] = [option for option in one["options"] if option[0] != "--expect"]
            one["options"].append(["--expect", rng.choice(DIGESTS[:3]), "wrong"])
        else:
            one["how"] = ""
        if rng.random() < 0.6:
            one["options"].append(["--checkpoint-every", "0"])
        tries.append(one)
    how = rng.choice(["--resume"] * 4 + ["--restart"]) if tries else rng.choice(["", "", "", "--resume", "--restart"])
    if case["source"]["kind"] in ("stdin", "fd") and how:
        how = "--restart"
    for one in tries:
        if case["source"]["kind"] in ("stdin", "fd") and one["how"]:
            one["how"] = "--restart"
    if case["dest"]["kind"] == "stdout":
        for one in tries:
            one["how"] = ""
        how = ""
    last = {"how": how, "options": options(rng, case, size)}
    if not tries and rng.random() < 0.05:
        last["options"].append(["--dry-run"])
    if rng.random() < 0.04:
        last["options"] = [option for option in last["options"] if option[0] != "--expect"]
        last["options"].append(["--expect", rng.choice(DIGESTS[:3]), "wrong"])
    return [*tries, last]


def words_said(attempt):
    """The options of a run, with what follows each."""
    said, words = {}, [word for option in attempt["options"] for word in option]
    for word, value in zip(words, words[1:] + [""]):
        if word.startswith("-"):
            said[word] = value
    return said


def power(rng, low, high):
    return str(1 << rng.randint(low, high))


def options(rng, case, size):
    """What one run is asked for besides."""
    dest, source = case["dest"]["kind"], case["source"]["kind"]
    is_stream = source in ("stdin", "fd") or dest == "stdout"
    has_length = source not in ("stdin", "fd")
    pool = [
        (0.5, lambda: ["--threads", str(rng.randint(1, 6))]),
        (0.5, lambda: ["--stripe-size", power(rng, 12, 20)]),
        (0.3, lambda: ["--io-size", power(rng, 12, 20)]),
        (0.3, lambda: ["--engine", rng.choice(["auto", "positioned", "direct", "offload", "mmap", "splice"])]),
        (0.2, lambda: ["--reflink", rng.choice(["auto", "never", "never", "always"])]),
        (0.4, lambda: ["--sparse", rng.choice(["auto", "always", "never"])]),
        (0.2, lambda: ["--preallocate", rng.choice(["auto", "off", *(["full"] if has_length else [])])]),
        (0.1, lambda: ["--keep-cache"]),
        (0.1, lambda: ["--no-sync"]),
        (0.25, lambda: ["--verify"]),
        (0.1, lambda: ["--verify", "--repair"]),
        (0.1, lambda: ["--on-read-error", "stop"]),
        (0.1, lambda: ["--retries", rng.choice("012")]),
        (0.05, lambda: ["--no-sandbox"]),
        (0.1, lambda: ["--ignore-space"]),
        (0.1, lambda: ["--trust-leftovers"]),
        (0.1, lambda: ["--progress", rng.choice(["plain", "json", "none", "bar"])]),
        (0.05, lambda: [rng.choice(["-q", "-v"])]),
        (0.1, lambda: ["--limit-rate", str(max(1 << 20, size * 20))]),
        (0.1, lambda: ["--expect", rng.choice(DIGESTS), "right"]),
    ]
    if dest in ("in-place", "device"):
        pool.append((0.3, lambda: ["--only-changed"]))
    if case["range"] is None and dest in ("new", "force") and source == "file" and not case["split"] and not case["offset"]:
        pool.append((0.2, lambda: ["--preserve"]))
    found = [make() for chance, make in pool if rng.random() < chance]
    found = [option for index, option in enumerate(found) if option[0] not in [one[0] for one in found[:index]]]
    if any("--verify" in option for option in found):
        # What is not on the disk cannot be read back from there.
        found = [option for option in found if option != ["--no-sync"]]
    names = rng.sample(DIGESTS, rng.choice([0, 0, 0, 1, 2]))
    found += [["--digest", name] for name in names]
    if names and rng.random() < 0.4:
        # In one option with a digest: alone it has no meaning.
        found[-1] += ["--digest-every", str(max(512 if has_length else 1 << 20, size // rng.choice([1, 3, 30])))]
    rng.shuffle(found)
    return found


def words_of_range(case, size):
    """The range, written in one of the ways."""
    if case["range"] is None:
        return []
    start, end = case["range"]
    if case["beyond"]:
        return ["--clamp", f"--range={start}..{end + case['beyond']}"]
    ways = [
        [f"--range={start}..{end}"],
        [f"--range={start}+{end - start}"],
        ["--offset", str(start), "--length", str(end - start)],
        [f"--range={start:#x}..{end:#x}"],
    ]
    if end > start:
        ways.append([f"--range={start}..={end - 1}"])
    # A stream does not say where it ends.
    if end == size and case["source"]["kind"] not in ("stdin", "fd"):
        ways += [[f"--range={start}.."], [f"--range=-{end - start}"]]
    return ways[case["style"] % len(ways)]


def shell_line(words, base):
    """A command as it can be typed."""
    def quote(word):
        word = word.replace(base + os.sep, "")
        plain = all(c.isalnum() or c in "-_./:=+," for c in word)
        return word if plain and word else "'" + word.replace("'", "'\\''") + "'"
    return " ".join(quote(word) for word in words)
