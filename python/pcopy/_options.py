"""Keyword arguments as the options of the library.

The names of the library are taken as they are; what Python spells otherwise is
translated here and nowhere else.
"""

import operator
import os

# Options of the library that are passed on as they are.
_PLAIN = frozenset(
    """
    clamp force in_place to_device even_if_in_use allow_same_device ignore_space wait preserve
    sync engine reflink sparse preallocate keep_cache on_read_error retries checkpoint_every
    allow_changed_source verify repair check_source only_changed join require_read_only
    """.split()
)

# The same, as numbers of bytes or words such as "4MiB".
_SIZES = frozenset(["dest_offset", "split", "digest_every", "stripe_size", "io_size", "limit_rate"])

# Of servers; options of their own in the library, which has one room for them.
_REMOTE = frozenset(["connections", "max_retries", "timeout", "ca_file"])

# What servers are told besides, which is never stored.
_SERVERS = frozenset(
    """
    headers logins proxies trust_env endpoint_url region addressing_style profile
    no_sign_request aws_access_key_id aws_secret_access_key aws_session_token
    """.split()
)

# What is spelt otherwise.
_OURS = frozenset(["range", "threads", "resume", "restart", "trust_leftovers", "map", "digest"])
_OURS |= {"expect", "expect_in", "only"}

NAMES = _PLAIN | _SIZES | _REMOTE | _SERVERS | _OURS

# Those of a source that is only opened.
OF_OPENING = _REMOTE | _SERVERS | {"join"}


def as_json(given, names=NAMES):
    """The options of the library for the keyword arguments ``given``.

    ``None`` is the default of every option.
    """
    options, remote, servers = {}, {}, {}
    for name, value in given.items():
        if name not in names:
            raise TypeError(_unknown(name, names))
        if value is None:
            continue
        if name in _PLAIN:
            options[name] = value
        elif name in _SIZES:
            options[name] = _size(name, value)
        elif name in _REMOTE:
            remote[name] = os.fsdecode(value) if name == "ca_file" else value
        elif name in _SERVERS:
            servers.update(_TRANSLATED[name](value) if name in _TRANSLATED else {name: value})
        else:
            options.update(_TRANSLATED[name](value))
    if remote:
        options["remote"] = remote
    if servers:
        options["servers"] = servers
    return dumped(options)


def dumped(value):
    """JSON, also of the numbers of other packages."""
    # Not when the package is imported: it takes longer than all the rest.
    import json

    return json.dumps(value, default=_number, allow_nan=False)


def _number(value):
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{type(value).__name__} is not a value of an option: {value!r}") from None


def _unknown(name, names):
    import difflib

    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no option {name!r}{hint}"


def _size(name, value):
    if isinstance(value, str):
        return value
    try:
        if not isinstance(value, bool):
            return str(operator.index(value))
    except TypeError:
        pass
    raise TypeError(f"{name} must be a number of bytes or a text like '4MiB'")


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
    start, end = _two(value, "range")
    start = 0 if start is None else operator.index(start)
    if start < 0:
        if end is not None:
            raise ValueError("a range that is counted from the end goes to the end")
        return f"-{-start}"
    if end is None:
        return f"{start}.."
    end = operator.index(end)
    if end < 0:
        raise ValueError("the end of a range is not counted from the end")
    return f"{start}..{end}"


def _two(value, name):
    """The start and the end in a pair."""
    try:
        start, end = value
    except (TypeError, ValueError):
        kinds = "(start, end), a slice or a range"
        raise TypeError(f"{name} must be {kinds}, not {value!r}") from None
    return start, end


def paths(value):
    """Several paths, or one."""
    return [value] if isinstance(value, (str, bytes, os.PathLike)) else list(value)


def _pair(value, name):
    """Bytes from a number to a number."""
    if isinstance(value, (range, slice)):
        as_range(value)
        value = (value.start or 0, value.stop)
    start, end = map(operator.index, _two(value, name))
    if not 0 <= start <= end:
        raise ValueError(f"{start} to {end} are not bytes")
    return {"start": start, "end": end}


def _headers(value):
    if isinstance(value, str):
        return [value]
    return [f"{name}: {text}" for name, text in value.items()] if _has_keys(value) else list(value)


def _logins(value):
    return [[host, *login] for host, login in value.items()]


def _proxies(value):
    if unknown := set(value) - {"http", "https", "except"}:
        raise ValueError(f"proxies has no {min(unknown)!r}: http, https and except are known")
    through = {name: text for name, text in value.items() if name != "except"}
    return {"proxies": through, "except": value.get("except")}


def _has_keys(value):
    return hasattr(value, "items")


def _each(value, name):
    if _has_keys(value):
        return [f"{name}:{digest}" for name, digest in value.items()]
    if isinstance(value, str):
        return [value]
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{name} must be a text or several, not {value!r}") from None


_TRANSLATED = {
    "range": lambda value: {"range": as_range(value)},
    "threads": lambda value: {"threads": str(value)},
    "resume": lambda value: {"leftovers": "resume"} if value else {},
    "restart": lambda value: {"leftovers": "restart"} if value else {},
    "trust_leftovers": lambda value: {"trust": "anybody"} if value else {},
    "map": lambda value: {"map": os.fsdecode(value)},
    "digest": lambda value: {"digests": _each(value, "digest")},
    "expect": lambda value: {"expected": _each(value, "expect")},
    "expect_in": lambda value: {
        "expected_in": [
            {"range": _pair(part, "a range of expect_in"), "digest": digest}
            for part, digest in value
        ]
    },
    "only": lambda value: {"only": [_pair(part, "each of only") for part in value]},
    "headers": lambda value: {"headers": _headers(value)},
    "logins": lambda value: {"logins": _logins(value)},
    "proxies": _proxies,
}
