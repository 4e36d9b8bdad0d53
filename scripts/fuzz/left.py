"""What a run leaves that did not complete its copy: parts, and the map of what is done."""

import os
import re

import digests
from violation import Violation, first_difference, must

# A part that holds no more, without a map, is copied from the beginning.
LITTLE = 1 << 20

SEAL = b"# pcopy checksum crc32c "


class Unfit(Exception):
    """This is not a valid map."""


def data_in(path, tells):
    """Bytes of a file outside its holes; all of it where its file system does not tell."""
    with open(path, "rb") as file:
        facts = os.fstat(file.fileno())
        if not tells:
            return facts.st_size
        at = found = 0
        while at < facts.st_size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            found, at = found + end - at, end
        return min(found, 512 * facts.st_blocks)


def read_map(content):
    """The fields of a map, and `(from, to)` of what it calls done."""
    fields, rows = {}, []
    body, _, seal = content.rpartition(SEAL)
    if not body or seal != b"%08x\n" % digests.crc32c(body):
        raise Unfit("a checksum that is not that of the map")
    for line in body.decode().splitlines():
        if line.startswith("# pcopy "):
            name, _, value = line[len("# pcopy "):].partition(" ")
            fields[name] = value
        elif not line.startswith("#"):
            rows.append(line.split())
    end = None
    done = []
    # The first row says where to go on.
    for at, length, status in rows[1:]:
        at, length = int(at, 0), int(length, 0)
        if end not in (None, at):
            raise Unfit(f"a row that begins at {at}, behind one that ends at {end}")
        end = at + length
        if status == "+":
            done.append((at, end))
        elif status not in "?-":
            raise Unfit(f"a row with {status}")
    return fields, done


def maps_of(path, names):
    """Those of `names`, which are beside it, that are maps of the destination at `path`."""
    name = re.escape(os.path.basename(path))
    return [one for one in names if re.fullmatch(name + r"(\.\d{3,4})?\.(\d+-\d+\.)?pcopy-map", one)]


def parts_of(path, names):
    name = re.escape(os.path.basename(path))
    return sorted(one for one in names if re.fullmatch(name + r"(\.\d{3,4})?\.pcopy-part", one))


class Left:
    """What the runs of a copy (`Played`) leave beside its destinations."""

    def __init__(self, copy):
        self.copy = copy

    def beside_of(self, path):
        """The folder of a destination, as nothing odd shows it, and the names in it."""
        folder = self.copy.base if path in self.copy.devices else os.path.dirname(self.copy.seen(path))
        return folder, os.listdir(folder)

    def maps_of(self, path):
        """The maps of a destination, by their paths."""
        folder, names = self.beside_of(path)
        found = [os.path.join(folder, name) for name in maps_of(path, names)]
        elsewhere = os.path.join(self.copy.seen(self.copy.folders[self.copy.case["dest"]["place"]]), "m")
        return found + ([elsewhere] if self.copy.case["map"] and os.path.exists(elsewhere) else [])

    def data_without_map(self, path):
        """Bytes in the parts of a destination that have no map."""
        folder, names = self.beside_of(path)
        if self.maps_of(path):
            return 0
        tells = self.copy.is_faithful(path)
        return sum(data_in(os.path.join(folder, name), tells) for name in parts_of(path, names))

    def check_maps(self):
        """What a map calls done is in the part, or in the file that it has become."""
        for path in self.copy.dests:
            for file in self.maps_of(path):
                with open(file, "rb") as opened:
                    content = opened.read()
                try:
                    fields, done = read_map(content)
                except (Unfit, ValueError) as why:
                    raise Violation(f"{os.path.basename(file)}: {why}") from None
                end = self.copy.start + len(self.copy.wanted)
                known = fields.get("range-start"), fields.get("dest-offset")
                must(known == (str(self.copy.start), str(self.copy.case["offset"])), "the map is of another copy:", fields)
                for at, to in done:
                    must(self.copy.start <= at and to <= end, f"the map calls {at}..{to} done, and the range ends at {end}")
                    self.check_done(path, at - self.copy.start, to - self.copy.start)

    def check_done(self, path, at, to):
        """That `at..to` of what is copied is where the map says."""
        right, place, size = self.copy.wanted[at:to], self.copy.case["offset"] + at, self.copy.case["split"]
        if not size:
            there = self.written(path)[place:place + to - at]
        else:
            there = b""
            for number in range(place // size, -(-(place + to - at) // size)):
                segment = self.written(f"{path}.{number + 1:03}")
                there += segment[max(0, place - number * size):max(0, place + to - at - number * size)]
        must(there == right, f"the map calls {at}..{to} of the range done, and {os.path.basename(path)} has",
             f"other bytes from {first_difference(there, right)} of that on")

    def written(self, path):
        """What a run has written of the file at `path`: its part, or what got the name."""
        part = self.copy.seen(path) + ".pcopy-part"
        if os.path.exists(part):
            with open(part, "rb") as file:
                return file.read()
        if path in self.copy.devices:
            return self.copy.read(path)
        must(os.path.exists(self.copy.seen(path)), "a map calls something done, and there is neither",
             os.path.basename(path), "nor a part")
        with open(self.copy.seen(path), "rb") as file:
            return file.read()
