"""Keyword arguments as the options of the library.

The names of the library are taken as they are; what Python spells otherwise is
translated here and nowhere else.
"""

import json
import os

# Options of the library that are passed on as they are.
_PLAIN = frozenset(
    """
    clamp force in_place to_device even_if_in_use allow_same_device ignore_space wait preserve
    sync engine reflink sparse preallocate keep_cache on_read_error retries checkpoint_every
    allow_changed_source verify repair only_changed join
    """.split()
)

# The same, as numbers of bytes or words such as "4MiB".
_SIZES = frozenset(["dest_offset", "split", "digest_every", "stripe_size", "io_size", "limit_rate"])

# What is spelt otherwise.
_OURS = frozenset(["range", "threads", "resume", "restart", "trust_leftovers", "map", "digest"])
_OURS |= {"expect"}

NAMES = _PLAIN | _SIZES | _OURS


def as_json(given):
    """The options of the library for the keyword arguments ``given``.

    ``None`` is the default of every option.
    """
    options = {}
    for name, value in given.items():
        if name not in NAMES:
            raise TypeError(_unknown(name))
        if value is None:
            continue
        if name in _PLAIN:
            options[name] = value
        elif name in _SIZES:
            options[name] = _size(name, value)
        else:
            options.update(_TRANSLATED[name](value))
    return json.dumps(options)


def _unknown(name):
    import difflib

    near = difflib.get_close_matches(name, NAMES, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no option {name!r}{hint}"


def _size(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{name} must be a number of bytes or a text like '4MiB'")
    return str(value)


def as_range(value):
    """A range as the command writes it: of a pair, a slice, a ``range``, or that text."""
    if isinstance(value, str):
        return value
    if isinstance(value, range):
        if value.step != 1:
            raise ValueError("a range of bytes has no steps")
        value = (value.start, max(value.start, value.stop))
    elif isinstance(value, slice):
        if value.step not in (None, 1):
            raise ValueError("a range of bytes has no steps")
        value = (value.start, value.stop)
    start, end = value
    start = 0 if start is None else int(start)
    if start < 0:
        if end is not None:
            raise ValueError("a range that is counted from the end goes to the end")
        return f"-{-start}"
    if end is None:
        return f"{start}.."
    end = int(end)
    if end < 0:
        raise ValueError("the end of a range is not counted from the end")
    return f"{start}..{end}"


def _each(value):
    if isinstance(value, dict):
        return [f"{name}:{digest}" for name, digest in value.items()]
    return [value] if isinstance(value, str) else list(value)


_TRANSLATED = {
    "range": lambda value: {"range": as_range(value)},
    "threads": lambda value: {"threads": str(value)},
    "resume": lambda value: {"leftovers": "resume"} if value else {},
    "restart": lambda value: {"leftovers": "restart"} if value else {},
    "trust_leftovers": lambda value: {"trust": "anybody"} if value else {},
    "map": lambda value: {"map": os.fsdecode(value)},
    "digest": lambda value: {"digests": _each(value)},
    "expect": lambda value: {"expected": _each(value)},
}
