"""Makes the copy of a case, and holds what it leaves against what it must leave.

Nothing here is learnt from the program: the bytes are computed, and so are the digests.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import cases

# Longer than any copy here takes, on any machine.
PATIENCE = 180

# Names that a run may leave beside a destination that it did not complete.
LEFT = re.compile(
    r"(copy|other\d)(\.\d{3,4})?\.(pcopy-part|(\d+-\d+\.)?pcopy-map)"
    r"|\.(copy|other\d|m|[a-z0-9.]+\.pcopy-map)(\.\d{3,4})?(\.pcopy-map)?\.pcopy-[0-9a-f]{16}\.tmp"
    r"|\.trial\.pcopy-[0-9a-f]{16}\.tmp|m|loop\d+\.pcopy-map|\.loop\d+\.pcopy-map\.pcopy-[0-9a-f]{16}\.tmp|\.fuse_hidden.*")

OUTCOMES = {0: "complete", 1: "partial", 2: "refused", 3: "refused", 4: "mismatch", 5: "failed"}

ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.lower().endswith("_proxy") and not name.startswith("PCOPY_")}


class Violation(Exception):
    """Something that must not be."""


def must(holds, *says):
    if not holds:
        raise Violation(" ".join(str(word) for word in says))


def digest_of(name, content):
    """In hexadecimal; `None` where this machine cannot tell."""
    if name in hashlib.algorithms_available and name != "blake3":
        return hashlib.new(name, content).hexdigest()
    if name == "crc32c" and len(content) > 200_000:
        return None
    if name == "crc32c":
        return f"{crc32c(content):08x}"
    tool = {"blake3": ["b3sum", "--no-names"], "xxh3": ["xxhsum", "-H3"]}[name]
    if not shutil.which(tool[0]):
        return None
    done = subprocess.run(tool, input=content, capture_output=True, check=True)
    return re.search(r"\b(?:XXH3_)?([0-9a-f]{16,64})\b", done.stdout.decode())[1]


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc32c_table()


def crc32c(content):
    value = 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def first_difference(one, other):
    for at in range(0, max(len(one), len(other)), 4096):
        a, b = one[at:at + 4096], other[at:at + 4096]
        if a != b:
            return at + next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return None


class Bed:
    """What cases are played in."""

    def __init__(self, places, server, program):
        self.places, self.server, self.program = places, server, program
        self.copies = self.interrupted = self.refused = self.violations = 0

    def play(self, case):
        """The violation that `case` shows, with the commands that led to it."""
        one = Played(self, case)
        try:
            one.prepare()
            one.run_all()
            return None
        except Violation as violation:
            return str(violation), one.lines
        finally:
            one.tidy()


class Played:
    """One case."""

    def __init__(self, bed, case):
        self.bed, self.case = bed, case
        self.base = bed.places.base
        self.lines = []
        self.folders = {}
        self.devices = []
        self.rests = []
        names = {case["source"]["place"], case["dest"]["place"], *case["also"]}
        for name in sorted(names):
            self.folders[name] = os.path.join(self.base, name, "case")

    # Before.

    def prepare(self):
        case, source = self.case, self.case["source"]
        if "oddfs" in self.folders:
            self.bed.places.all["oddfs"].set_switches(case["switches"])
        for folder in self.folders.values():
            remove(folder)
            os.mkdir(folder)
            with open(os.path.join(folder, "bystander"), "wb") as file:
                file.write(b"not touched")
        self.content = cases.content_of(source["runs"])
        if source["kind"] == "loop":
            self.content += bytes(-len(self.content) % 512)
        start, end = case["range"] or (0, len(self.content))
        self.wanted = self.content[start:end]
        self.start = start
        self.source = self.make_source(os.path.join(self.folders[source["place"]], "source"))
        self.make_destinations()
        self.before = self.all_names()

    def make_source(self, path):
        source, kind = self.case["source"], self.case["source"]["kind"]
        if kind in ("stdin", "fd"):
            return "-"
        if kind == "http":
            self.bed.server.show(self.content, source["faults"], source["ranges"], source["seed"])
            return self.bed.server.address
        if kind == "pieces":
            size = source["piece"]
            # A set of one piece is that file.
            for index in range(max(1, -(-len(self.content) // size))):
                write(f"{path}.{index + 1:03}", [(0, self.content[index * size:][:size])], None)
            return f"{path}.001"
        at, parts = 0, []
        for run_kind, length, _ in source["runs"]:
            if run_kind != "hole":
                parts += [(place, self.content[place:min(at + length, place + 10_000)])
                          for place in range(at, at + length, 10_000)]
            at += length
        if source.get("shuffled"):
            # Extents in another order than the bytes.
            parts = parts[1::2] + parts[::2]
        write(path, parts, len(self.content))
        return self.attach(path) if kind == "loop" else path

    def attach(self, path):
        device = self.bed.places.attach(path)
        self.devices.append(device)
        return device

    def old_bytes(self):
        """What a destination holds before."""
        length, seed, same = self.case["dest"]["old"]
        old = bytearray(cases.content_of([["data", length, seed]]))
        whole = bytes(self.case["offset"]) + self.wanted
        for at in range(0, length, 4096):
            # Some blocks are equal already.
            if at // 4096 % 10 < same * 10 and at >= self.case["offset"]:
                part = whole[at:at + 4096]
                old[at:at + len(part)] = part
        return bytes(old[:length])

    def make_destinations(self):
        case, kind = self.case, self.case["dest"]["kind"]
        folder = self.folders[case["dest"]["place"]]
        self.dests = [os.path.join(folder, "copy")]
        self.dests += [os.path.join(self.folders[place], f"other{i}") for i, place in enumerate(case["also"])]
        self.old = None
        if kind == "stdout":
            self.dests = []
        if kind in ("in-place", "force"):
            self.old = self.old_bytes()
            for path in self.dests:
                write(path + (".001" if case["split"] else ""), [(0, self.old)], None)
        if kind == "device":
            end = case["offset"] + len(self.wanted)
            self.old = cases.content_of([["data", end + case["dest"]["old"][0], case["dest"]["old"][1]]])
            self.old += bytes(-len(self.old) % 4096 or 4096 * (not self.old))
            image = os.path.join(folder, "image")
            write(image, [(0, self.old)], None)
            self.dests = [self.attach(image)]
        if kind in ("in-place", "device"):
            new = bytearray(self.old)
            end = case["offset"] + len(self.wanted)
            if self.wanted:
                new += bytes(max(0, end - len(new)))
                new[case["offset"]:end] = self.wanted
            self.whole = bytes(new)
        else:
            self.whole = bytes(case["offset"]) + self.wanted

    # The runs.

    def run_all(self):
        for index, attempt in enumerate(self.case["attempts"]):
            is_last = index == len(self.case["attempts"]) - 1
            if "oddfs" in self.folders and (index or attempt.get("switches")):
                self.bed.places.all["oddfs"].set_switches(self.case["switches"] + attempt.get("switches", []))
            names, held = self.all_names(), [self.read(path) for path in self.dests]
            code, out, err = self.run(attempt)
            # A part of more than 1 MiB without a map, of a run that was killed before it made one,
            # may be of a run that had its map elsewhere.
            left = {os.path.basename(name) for name in names - self.before}
            self.lacks_map = any(name.endswith("-part") for name in left) and not any(
                name == "m" or name.endswith("-map") for name in left)
            self.check(attempt, code, out, err, names, held)
            if self.case["dest"]["kind"] == "new" and "--dry-run" not in cases.words_said(attempt):
                # Killed when all was done: there is nothing to resume either.
                left = any(LEFT.fullmatch(os.path.basename(name)) for name in self.all_names() - self.before)
                if code == 0 or not left and any(self.read(path) is not None for path in self.dests):
                    return
            if code in (2, 3) and is_last:
                self.bed.refused += 1

    def words(self, attempt):
        case, kind = self.case, self.case["dest"]["kind"]
        words = [self.bed.program]
        for option in attempt["options"]:
            if option[0] == "--expect":
                right = digest_of(option[1], self.wanted)
                if option[2] == "wrong":
                    right = "0" * len(right)
                if right is not None:
                    words += ["--expect", f"{option[1]}:{right}"]
            else:
                words += option
        words += cases.words_of_range(case, len(self.content))
        if case["offset"]:
            words += ["--dest-offset", str(case["offset"])]
        if case["map"]:
            words += ["--map", os.path.join(self.folders[case["dest"]["place"]], "m")]
        if case["split"]:
            words += ["--split", str(case["split"])]
        words += [f"--also={path}" for path in self.dests[1:]]
        words += [attempt["how"]] if attempt["how"] else []
        words += {"force": ["--force"], "in-place": ["--in-place"], "device": ["--to-device"]}.get(kind, [])
        if case["source"]["kind"] == "loop" or kind == "device":
            words.append("--allow-same-device")
        if case["source"]["kind"] == "http":
            words += ["--max-retries", "40"]
        if kind != "stdout":
            words.append("--json")
        source = "/dev/fd/FD" if case["source"]["kind"] == "fd" else self.source
        return [*words, source, self.dests[0] if self.dests else "-"]

    def run(self, attempt):
        """Exit code, standard output and standard error."""
        words, fds, feeder = self.words(attempt), (), None
        self.lines.append(f"{cases.shell_line(['pcopy', *words[1:]], self.base)}"
                          + (f"   # SIG{attempt['signal']} after {attempt['after']} s" if "signal" in attempt else "")
                          + (f"   # with {' '.join(attempt['switches'])}" if attempt.get("switches") else ""))
        kind = self.case["source"]["kind"]
        if kind == "fd":
            out, into = os.pipe()
            words = [word.replace("/dev/fd/FD", f"/dev/fd/{out}") for word in words]
            fds = (out,)
            feeder = threading.Thread(target=feed, args=(into, self.content))
        process = subprocess.Popen(
            words, cwd=self.base, env=ENVIRONMENT, pass_fds=fds, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.PIPE if kind == "stdin" else subprocess.DEVNULL)
        try:
            if feeder:
                os.close(out)
                feeder.start()
            given = self.content if kind == "stdin" else None
            try:
                streams = process.communicate(given, timeout=attempt.get("after", PATIENCE))
            except subprocess.TimeoutExpired:
                must("signal" in attempt, "no end within", PATIENCE, "s")
                process.send_signal(getattr(signal, f"SIG{attempt['signal']}"))
                try:
                    streams = process.communicate(timeout=PATIENCE)
                except subprocess.TimeoutExpired:
                    raise Violation(f"no end within {PATIENCE} s of a signal") from None
                if process.returncode < 0:
                    self.bed.interrupted += 1
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
            if feeder:
                feeder.join()
        self.bed.copies += 1
        return process.returncode, streams[0], streams[1].decode(errors="replace")

    # What is there.

    def seen(self, path):
        """The same where nothing is odd."""
        return path.replace(os.path.join(self.base, "oddfs", ""), os.path.join(self.base, "oddfs.below", ""))

    def read(self, path):
        """What a destination holds; `None` if it is not there."""
        path = self.seen(path)
        if self.case["split"]:
            return self.read_split(path)
        try:
            with open(path, "rb", buffering=0) as file:
                return file.read() if not self.devices or path not in self.devices else read_all(file)
        except FileNotFoundError:
            return None

    def read_split(self, path):
        parts = []
        while os.path.exists(f"{path}.{len(parts) + 1:03}"):
            with open(f"{path}.{len(parts) + 1:03}", "rb") as file:
                parts.append(file.read())
        return parts or None

    def later_segments(self, path):
        """Those of a set that have their names: the first, which others know it by, comes last."""
        folder, name = os.path.split(self.seen(path))
        return [one for one in os.listdir(folder) if re.fullmatch(re.escape(name) + r"\.[0-9]+", one)]

    def all_names(self):
        names = set(os.listdir(self.base))
        for place, folder in self.folders.items():
            names |= {f"{place}/{name}" for name in os.listdir(self.seen(folder))}
        return names

    # The judgement.

    def check(self, attempt, code, out, err, names, held):
        must("panicked" not in err, "panic:", err[-600:])
        said = cases.words_said(attempt)
        wrong = any(option[0] == "--expect" and option[2] == "wrong" for option in attempt["options"])
        allowed = self.allowed(attempt, wrong, held)
        must(code in allowed, f"exit code {code}, allowed are {sorted(allowed)}:", err.strip()[-600:] or out[-600:])
        is_complete = code == 0 and "--dry-run" not in said
        for index, path in enumerate(self.dests):
            self.check_bytes(path, attempt, is_complete, code, held[index], self.read(path))
        if not self.dests:
            self.check_stream(out, is_complete)
        self.check_names(is_complete, code, names, "--dry-run" in said)
        self.check_untouched()
        if self.dests and (out or code >= 0):
            self.check_report(attempt, code, out)

    def allowed(self, attempt, wrong, held):
        if wrong and "--dry-run" not in cases.words_said(attempt):
            # A stream has left the process before its digest is known; a copy that must not
            # be resumed is refused first.
            codes = {4}
        else:
            codes = {0}
        if cases.may_be_refused(self.case, attempt) or not self.is_continued(attempt):
            codes |= {2, 3, 5 if cases.may_be_refused(self.case, attempt) else 3}
        if self.lacks_map and attempt["how"] == "--resume":
            codes.add(3)
        if self.case["dest"]["kind"] == "new" and len(self.dests) > 1 and any(one is not None for one in held):
            # One of them is complete already: the others go on without it.
            codes.add(3)
        named = any(one is not None for one in held) or any(self.later_segments(path) for path in self.dests)
        if self.case["dest"]["kind"] == "new" and attempt["how"] == "--restart" and named:
            # Killed between the final name and the end of the map: it is complete, and stays.
            codes.add(3)
        if "signal" in attempt:
            codes.add(-getattr(signal, f"SIG{attempt['signal']}"))
        if attempt.get("switches"):
            codes |= {0, 3, 5}
        return codes

    def is_continued(self, attempt):
        """Whether it says what is to be done with what an earlier run left."""
        return bool(attempt["how"]) or attempt is self.case["attempts"][0] or not self.dests

    def check_bytes(self, path, attempt, is_complete, code, held, now):
        kind, name = self.case["dest"]["kind"], os.path.basename(path)
        whole, old = self.whole, self.old
        if self.case["split"]:
            size = self.case["split"]
            whole = [whole[at:at + size] for at in range(0, len(whole), size)] or [b""]
            old = [old] if old is not None else None
        if is_complete:
            if now != whole and isinstance(now, bytes):
                raise Violation(f"{name} has {len(now)} bytes, not {len(whole)}, and is not right at "
                                f"byte {first_difference(now, whole)}")
            must(now == whole, name, "is not what it must be")
        elif code in (2, 3, 0):
            must(now == held, name, f"was changed, with exit code {code}")
        elif kind == "new":
            must(now is None or now == whole and (held == whole or self.may_have_name(attempt, code)),
                 name, f"is there, with exit code {code}")
        elif kind == "force":
            # Of a set, some files may be replaced already; the first goes before any of them.
            parts = self.case["split"] and (now is None and len(whole) > 1 or isinstance(now, list) and all(
                part in (old or []) or index < len(whole) and part == whole[index] for index, part in enumerate(now)))
            must(now == held or self.may_have_name(attempt, code) and (now == whole or parts),
                 name, f"is neither the old one nor complete, with exit code {code}")
        else:
            self.check_place(name, old, now)

    def may_have_name(self, attempt, code):
        """Whether a run that has not succeeded may have given the final name: a signal or an
        error came after that, or another of several destinations failed."""
        return code < 0 or code == 5 and (len(self.dests) > 1 or bool(attempt.get("switches")))

    def check_place(self, name, old, now):
        must(len(old) <= len(now) <= len(self.whole), name, f"has {len(now)} bytes")
        old, new = old + bytes(len(now) - len(old)), self.whole
        for at in range(0, len(now), 4096):
            part, a, b = now[at:at + 4096], old[at:at + 4096], new[at:at + 4096]
            if part not in (a, b):
                for i, byte in enumerate(part):
                    must(byte in (a[i], b[i]), name, f"has neither the old nor the new byte at {at + i}")

    def check_stream(self, out, is_complete):
        must(self.wanted.startswith(out), "standard output differs at byte", first_difference(self.wanted, out))
        if is_complete:
            must(out == self.wanted, f"standard output has {len(out)} bytes, not {len(self.wanted)}")

    def check_names(self, is_complete, code, names, is_dry):
        now = self.all_names()
        if is_complete:
            made = {name for name in now - self.before if not self.is_destination(name)}
            was_killed = any(one.get("signal") == "KILL" for one in self.case["attempts"])
            if was_killed and any(switch.startswith("ino=") for switch in self.case["switches"]):
                # Where numbers of files are made up, what a killed run left is not known to be ours.
                made = {name for name in made if not name.endswith(".tmp")}
            if was_killed and self.case["dest"]["kind"] == "in-place":
                # Of a run that was killed while it made its first map, nothing else is there to resume.
                made = {name for name in made if not name.endswith(".tmp")}
            must(not made, "left behind:", sorted(made))
            must(self.before <= now, "gone:", sorted(self.before - now))
        elif is_dry or code in (2, 3):
            must(now == names, "exit code", code, "but other names:", sorted(now ^ names))
        else:
            made = {name for name in now - self.before if not self.is_destination(name)}
            strange = [name for name in made if not LEFT.fullmatch(os.path.basename(name))]
            must(not strange, "left behind:", strange)

    def is_destination(self, name):
        path = os.path.join(self.base, name.replace("/", "/case/", 1))
        if self.case["split"]:
            return re.fullmatch(re.escape(self.dests[0]) + r"\.\d{3,4}", path) is not None
        return path in self.dests

    def check_untouched(self):
        for folder in self.folders.values():
            with open(os.path.join(self.seen(folder), "bystander"), "rb") as file:
                must(file.read() == b"not touched", "a file beside it was changed")
        if self.case["source"]["kind"] in ("file", "loop"):
            path = os.path.join(self.folders[self.case["source"]["place"]], "source")
            with open(self.seen(path), "rb") as file:
                must(file.read() == self.content, "the source was changed")

    def check_report(self, attempt, code, out):
        try:
            report = json.loads(out)
        except ValueError:
            raise Violation(f"the report is not one document: {out[-300:]!r}") from None
        said = cases.words_said(attempt)
        outcome = "planned" if code == 0 and "--dry-run" in said else OUTCOMES.get(code, "interrupted")
        # It may have been killed between its last word and its end.
        must(report["outcome"] == outcome or code == -signal.SIGKILL, "exit code", code, "but outcome", report["outcome"])
        must((report["error_kind"] is None) == (code == 0) or code == -signal.SIGKILL, "exit code", code, "and error", report["error_kind"])
        moved = report["bytes"]
        parts = sum(moved[name] for name in ("copied", "holes", "resumed", "failed"))
        if moved["requested"] is not None:
            must(parts <= moved["requested"], "more bytes than requested:", moved)
        if code or outcome == "planned":
            return
        must(moved["requested"] == len(self.wanted), "requested", moved, "not", len(self.wanted))
        must(parts == len(self.wanted) and not moved["failed"], "the bytes do not add up:", moved)
        must(report["range"] == {"start": self.start, "end": self.start + len(self.wanted)}, "range", report["range"])
        must(report["dest_offset"] == self.case["offset"], "offset", report["dest_offset"])
        must(report["durable"] == ("--no-sync" not in said), "durable:", report["durable"])
        if "--verify" in said or "--repair" in said:
            must(report["verified"] is True, "verified:", report["verified"])
        if "--only-changed" in said:
            must(moved["written"] + moved["equal"] == moved["copied"] + moved["holes"], "written and equal:", moved)
        self.check_digests(attempt, report)

    def check_digests(self, attempt, report):
        wanted = {option[1] for option in attempt["options"] if option[0] in ("--digest", "--expect")}
        for name in wanted - ({"blake3", "xxh3", "crc32c"} & wanted):
            must(name in report["digests"], "no digest", name)
        for name, value in report["digests"].items():
            must(name in wanted or "--digest-every" in cases.words_said(attempt) or self.case["split"], "a digest nobody asked for:", name)
            right = digest_of(name, self.wanted)
            must(right is None or value == right, name, "is", value, "not", right)
        for piece in report.get("pieces", []):
            part = self.content[piece["start"]:piece["end"]]
            for name, value in piece["digests"].items():
                right = digest_of(name, part)
                must(right is None or value == right, name, "of", piece, "is not", right)

    # After.

    def tidy(self):
        for device in self.devices:
            self.bed.places.detach(device)
        for name in self.all_names() - set(self.bed.places.all):
            # What a run has left in the folder that it ran in.
            if LEFT.fullmatch(name):
                os.unlink(os.path.join(self.base, name))
        if "oddfs" in self.folders:
            self.bed.places.all["oddfs"].set_switches([])
        for folder in self.folders.values():
            remove(folder)


def remove(folder):
    """Some file systems keep a file for a while after the program that had it open is dead."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


def write(path, parts, length):
    """A file of `parts` at their places, and of `length` bytes if that is longer."""
    with open(path, "wb", buffering=0) as file:
        for at, part in parts:
            file.seek(at)
            file.write(part)
        if length is not None:
            file.truncate(length)


def read_all(file):
    """A device, past what the system has kept of it."""
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return file.read()


def feed(into, content):
    """Writes to a pipe until it is all there, or nobody reads."""
    with os.fdopen(into, "wb", buffering=0) as pipe:
        try:
            view = memoryview(content)
            while view:
                view = view[pipe.write(view):]
        except OSError:
            pass
