"""Digests as they must be: by Python, or by the tools b3sum and xxhsum where they are there."""

import array
import hashlib
import re
import shutil
import subprocess
import sys

# Hexadecimal digits of each.
DIGITS = {"sha256": 64, "sha1": 40, "md5": 32, "blake3": 64, "xxh3": 16, "crc32c": 8}

TOOLS = {"blake3": ["b3sum", "--no-names"], "xxh3": ["xxhsum", "-H3"]}


def digest_of(name, content):
    """In hexadecimal; `None` where this machine cannot tell."""
    if name == "crc32c":
        return f"{crc32c(content):08x}"
    if name not in TOOLS:
        return hashlib.new(name, content).hexdigest()
    tool = TOOLS[name]
    if not shutil.which(tool[0]):
        return None
    done = subprocess.run(tool, input=content, capture_output=True, check=True)
    return re.search(r"\b(?:XXH3_)?([0-9a-f]{16,64})\b", done.stdout.decode())[1]


class Known:
    """Digests that have been computed, and those that could not be, as the program said them
    first: the same bytes must have the same one each time."""

    def __init__(self):
        self.values = {}

    def of(self, name, content):
        """As `digest_of`, or what was said before."""
        key = name, hashlib.sha256(content).digest()
        if key not in self.values:
            self.values[key] = digest_of(name, content)
        return self.values[key]

    def is_right(self, name, value, content):
        """Whether `value`, which the program says, is that of `content`."""
        if not re.fullmatch(f"[0-9a-f]{{{DIGITS[name]}}}", value):
            return False
        right = self.of(name, content)
        if right is None:
            self.values[name, hashlib.sha256(content).digest()] = value
        return right in (None, value)


def crc32c_table():
    """Of two bytes at once: one at a time takes twice as long."""
    table = []
    for value in range(1 << 16):
        for _ in range(16):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = []


def crc32c(content):
    if not TABLE:
        TABLE.extend(crc32c_table())
    value, table = 0xFFFFFFFF, TABLE
    words = array.array("H", content[:len(content) & ~1])
    if sys.byteorder == "big":
        words.byteswap()
    for word in words:
        value = value >> 16 ^ table[(value ^ word) & 0xFFFF]
    if len(content) % 2:
        # One byte is half of two.
        value ^= content[-1]
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
