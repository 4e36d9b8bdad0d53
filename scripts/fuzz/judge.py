"""Makes the copy of a case, and holds what it leaves against what it must leave.

Nothing here is learnt from the program: the bytes are computed, and so are the digests.
Where it says that an engine does not serve, a plain copy between the same places shows it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import cases
import digests
import facts
import left
import refusals
import server
from violation import Violation, first_difference, must

# Longer than any copy here takes, on any machine.
PATIENCE = 900

# Names that a run may leave beside a destination that it did not complete.
LEFT = re.compile(
    r"(copy|other\d)(\.\d{3,4})?\.(pcopy-part|(\d+-\d+\.)?pcopy-map)"
    r"|\.(copy|other\d|m|[a-z0-9.]+\.pcopy-map)(\.\d{3,4})?(\.pcopy-map)?\.pcopy-[0-9a-f]{16}\.tmp"
    r"|\.trial\.pcopy-[0-9a-f]{16}\.tmp|m|loop\d+\.pcopy-map|\.loop\d+\.pcopy-map\.pcopy-[0-9a-f]{16}\.tmp|\.fuse_hidden.*")

OUTCOMES = {0: "complete", 1: "partial", 2: "refused", 3: "refused", 4: "mismatch", 5: "failed"}

ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.lower().endswith("_proxy") and not name.startswith("PCOPY_")}


class Bed:
    """What cases are played in."""

    def __init__(self, places, server, program):
        self.places, self.server, self.program = places, server, program
        self.copies = self.interrupted = self.refused = self.violations = 0
        # Whether a plain copy with an engine, between two places, is refused.
        self.plain = {}

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

    def __init__(self, bed, case, beside=None):
        """`beside`: while that one is played, which is left as it is."""
        self.bed, self.case = bed, case
        self.beside = beside
        self.server = server.Server() if beside else bed.server
        self.base = bed.places.base
        self.digests = digests.Known()
        self.left, self.besides = left.Left(self), facts.Besides(self)
        self.lines = []
        self.folders = {}
        self.devices = []
        self.rests = []
        names = {case["source"]["place"], case["dest"]["place"], *case["also"]}
        for name in sorted(names):
            self.folders[name] = os.path.join(self.base, name, "plain" if beside else "case")

    # Before.

    def prepare(self):
        case, source = self.case, self.case["source"]
        if "oddfs" in self.folders and not self.beside:
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
            self.server.show(self.content, source["faults"], source["ranges"], source["seed"])
            return self.server.address
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
        if kind == "loop":
            return self.attach(path)
        give(self.seen(path), source.get("given"))
        return path

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
            self.at, is_last = index, index == len(self.case["attempts"]) - 1
            if "oddfs" in self.folders and (index or attempt.get("switches")):
                self.bed.places.all["oddfs"].set_switches(self.case["switches"] + attempt.get("switches", []))
            names, held = self.all_names(), [self.read(path) for path in self.dests]
            self.without_map = [self.left.data_without_map(path) for path in self.dests]
            self.besides.look()
            code, out, err = self.run(attempt)
            self.bed.copies += 1
            self.check(attempt, code, out, err, names, held)
            if self.case["dest"]["kind"] == "new" and "--dry-run" not in cases.words_said(attempt):
                # Killed when all was done: there is nothing to resume either.
                is_left = any(LEFT.fullmatch(os.path.basename(name)) for name in self.all_names() - self.before)
                if code == 0 or not is_left and any(self.read(path) is not None for path in self.dests):
                    return
            if code in (2, 3) and is_last:
                self.bed.refused += 1

    def words(self, attempt):
        case, kind = self.case, self.case["dest"]["kind"]
        words = [self.bed.program]
        for option in attempt["options"]:
            if option[0] == "--expect":
                right = self.digests.of(option[1], self.wanted)
                if option[2] == "wrong":
                    right = "0" * digests.DIGITS[option[1]]
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

    def place_of(self, path):
        """Where a destination is: the name of a place."""
        return self.case["dest"]["place"] if path == self.dests[0] else self.case["also"][self.dests.index(path) - 1]

    def is_faithful(self, path):
        """Whether the file system of a destination keeps what it is given."""
        return self.bed.places.is_faithful(self.place_of(path))

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
        report = self.report_in(out, code, err) if self.dests and (out or code >= 0) else None
        self.check_end(attempt, code, report, err, names, held)
        is_complete = code == 0 and "--dry-run" not in said
        # Before they are read, which may move their times.
        if is_complete and not self.case["split"]:
            self.besides.check_given(said)
        for index, path in enumerate(self.dests):
            self.check_bytes(path, attempt, is_complete, code, held[index], self.read(path))
        if not self.dests:
            self.check_stream(out, is_complete)
        self.check_names(is_complete, code, names, "--dry-run" in said)
        self.check_untouched()
        self.left.check_maps()
        if is_complete:
            self.besides.check_storage(self.case["attempts"][:self.at + 1])
        if report:
            self.check_report(attempt, code, report)

    def report_in(self, out, code, err):
        try:
            return json.loads(out)
        except ValueError:
            raise Violation(f"exit code {code}, and the report is not one document: {out[-300:]!r} "
                            f"{err.strip()[-600:]}") from None

    def check_end(self, attempt, code, report, err, names, held):
        """The exit code, and the word for it in the report."""
        reasons = self.reasons(attempt, names, held)
        word = report and report["error_kind"]
        said = f"exit code {code} ({word or 'no word'})"
        if code < 0 or code == 0:
            right = code == 0 or "signal" in attempt and code == -getattr(signal, f"SIG{attempt['signal']}")
            must(right, said, "nobody has sent that:", err.strip()[-600:])
            # It may have been killed between its last word and its end.
            words = {None, "cancelled"}.union(*(reason.words for reason in reasons if code == -signal.SIGKILL))
            must(word in words, said)
            certain = [reason.why for reason in reasons if reason.is_certain]
            must(code or not certain, said, "but there was to be none:", certain)
            return
        if any(reason.code == code and (not report or word in reason.words) for reason in reasons):
            return
        is_known = word == "discarded" and any("engine_unsuitable" in reason.words for reason in reasons)
        if (code, word) in refusals.UNSUITABLE and (is_known or self.is_refused_plainly(attempt)):
            must(word != "discarded" or attempt["how"] and names - self.before, said, "and nothing was there to discard")
            return
        raise Violation(f"{said}, allowed are {[reason[:3] for reason in reasons]}: {err.strip()[-600:]}"
                        f"{report and report['error']}")

    def reasons(self, attempt, names, held):
        """Why a run may end with another exit code than 0, or must."""
        case, kind, said = self.case, self.case["dest"]["kind"], cases.words_said(attempt)
        reason = refusals.Reason
        found = refusals.reasons(case, attempt)
        if any(option[0] == "--expect" and option[2] == "wrong" for option in attempt["options"]):
            # A stream has left the process before its digest is known; a copy that must not
            # be resumed is refused first.
            found.append(reason(4, {"digest_mismatch"}, "the digest is to be another", "--dry-run" not in said))
        is_left = any(LEFT.fullmatch(os.path.basename(name)) for name in names - self.before)
        named = any(one is not None for one in held) or any(self.later_segments(path) for path in self.dests)
        is_named = kind == "new" and named
        if not self.is_continued(attempt) and is_left:
            found.append(reason(3, {"leftover"}, "an earlier run left something"))
        if is_named and (not self.is_continued(attempt) or attempt["how"] == "--restart" or len(self.dests) > 1):
            # Killed between the final name and the end of the map: it is complete, and stays.
            # Of several, the others go on without it.
            words = {"exists", "segment_exists", "one_more_piece"}
            found.append(reason(3, words, "a run that was killed has given the name"))
        if attempt["how"] == "--resume" and max(self.without_map, default=0) > left.LITTLE:
            # It may be of a run that had its map elsewhere.
            tells = len(self.dests) == 1 and self.is_faithful(self.dests[0])
            found.append(reason(3, {"nothing_to_resume"}, "a part without a map that holds more than a little", tells))
        if attempt.get("switches"):
            found += [reason(at, words, "a disk that fails") for at, words in refusals.OF_A_DISK.items()]
            if len(self.dests) > 1:
                found.append(reason(5, {"left_out"}, "a disk that fails, of one of several destinations"))
        return found

    def is_refused_plainly(self, attempt):
        """Whether the engine of an attempt is also refused for a plain copy between the same
        places."""
        words = refusals.plain_words(attempt)
        if words is None:
            return False
        case = refusals.plain_case(self.case, words)
        if "oddfs" in self.folders and attempt.get("switches"):
            self.bed.places.all["oddfs"].set_switches(self.case["switches"])
        key = json.dumps(case)
        if key not in self.bed.plain:
            one = Played(self.bed, case, self)
            try:
                one.prepare()
                code, out, _ = one.run(case["attempts"][0])
                self.bed.plain[key] = (code, json.loads(out)["error_kind"]) in refusals.UNSUITABLE
            finally:
                one.tidy()
        return self.bed.plain[key]

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
            # The program of a FUSE folder may finish a rename after the process that asked for it
            # was killed and its names were listed.
            was_killed = any(one.get("signal") == "KILL" for one in self.case["attempts"][:self.at])
            is_late = "oddfs" in self.folders and was_killed
            late = {name for name in names - now if is_late and name.endswith(".tmp")}
            must(now == names - late, "exit code", code, "but other names:", sorted(now ^ names))
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

    def check_report(self, attempt, code, report):
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
        said = cases.words_said(attempt)
        # What no tool here can tell was not expected either.
        wanted = {option[1] for option in attempt["options"] if option[0] == "--digest"
                  or option[0] == "--expect" and self.digests.of(option[1], self.wanted)}
        must(set(report["digests"]) == wanted, "digests", sorted(report["digests"]), "of", sorted(wanted))
        for name, value in report["digests"].items():
            right = self.digests.is_right(name, value, self.wanted)
            must(right, name, "is", value, "not", self.digests.of(name, self.wanted))
        pieces = report.get("pieces", [])
        for piece in pieces:
            must(set(piece["digests"]) == wanted, "of", piece, "digests", sorted(wanted))
            part = self.content[piece["start"]:piece["end"]]
            for name, value in piece["digests"].items():
                right = self.digests.is_right(name, value, part)
                must(right, name, "of", piece, "is not", self.digests.of(name, part))
        size = int(said.get("--digest-every", 0)) or (self.case["split"] if wanted else 0)
        end = self.start + len(self.wanted)
        places = {(at, min(at + size, end)) for at in range(self.start, end, size)} if size else set()
        must(places <= {(piece["start"], piece["end"]) for piece in pieces}, "not all pieces have digests:", places)

    # After.

    def tidy(self):
        for device in self.devices:
            self.bed.places.detach(device)
        if self.beside:
            self.server.close()
            for folder in self.folders.values():
                remove(folder)
            return
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


def give(path, given):
    """What a file has besides its content, as far as its file system takes it."""
    if not given:
        return
    try:
        if given["owner"]:
            os.chown(path, *given["owner"])
        os.chmod(path, given["mode"])
        os.utime(path, ns=(given["times"][1], given["times"][0]))
    except OSError:
        pass


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
