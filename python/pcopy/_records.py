"""What a job tells: a report with attributes, and how far it is.

Nothing here knows how a job is run.
"""


class Record:
    """A part of a report: what JSON calls an object, with attributes.

    Lists are tuples. ``as_dict()`` gives plain dicts and lists.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields):
        self._fields = fields

    def __getattr__(self, name):
        try:
            value = self._fields[name]
        except KeyError:
            known = ", ".join(self._fields)
            raise AttributeError(f"there is no field {name!r} here; there are {known}") from None
        return _shown(value)

    def __dir__(self):
        return [*super().__dir__(), *self._fields]

    def __eq__(self, other):
        return isinstance(other, Record) and self._fields == other._fields

    def __hash__(self):
        return hash(repr(self._fields))

    def __reduce__(self):
        return Record, (self._fields,)

    def __repr__(self):
        fields = ", ".join(f"{name}={_shown(value)!r}" for name, value in self._fields.items())
        return f"Record({fields})"

    def as_dict(self):
        """The same as plain dicts, lists, strings and numbers."""
        return self._fields


def _shown(value):
    if isinstance(value, dict):
        return Record(value)
    if isinstance(value, list):
        return tuple(map(_shown, value))
    return value


class Progress:
    """How far a job is. Everything but ``phase`` is a number; bytes unless said otherwise."""

    __slots__ = (
        "copied",
        "failed",
        "items",
        "phase",
        "resumed",
        "total",
        "total_items",
        "verified",
    )

    def __init__(self, *, phase, total, copied, failed, resumed, verified, items, total_items):
        self.phase = phase
        self.total = total
        self.copied = copied
        self.failed = failed
        self.resumed = resumed
        self.verified = verified
        self.items = items
        self.total_items = total_items

    @property
    def fraction(self):
        """How much of the bytes is done, from 0.0 to 1.0."""
        done = self.copied + self.failed
        return min(done / self.total, 1.0) if self.total else 0.0

    def __repr__(self):
        return f"Progress({self.phase!r}, {self.copied} of {self.total} bytes)"


def caller(progress):
    """What is called with the counters as keywords; ``None`` if nobody listens."""
    if progress is None:
        return None
    if progress == "tqdm":
        return _Bar().hear
    if not callable(progress):
        raise TypeError('progress must be callable, "tqdm" or None')
    return lambda **counters: progress(Progress(**counters))


class _Bar:
    """A bar of tqdm, which is made when the total is known."""

    def __init__(self):
        from importlib import import_module

        self._make = import_module("tqdm.auto").tqdm
        self._bar = None

    def hear(self, *, phase, total, copied, failed, **_others):
        if self._bar is None:
            if not total:
                return
            self._bar = self._make(total=total, unit="B", unit_scale=True, unit_divisor=1024)
        self._bar.total = total
        self._bar.set_description(phase, refresh=False)
        self._bar.update(copied + failed - self._bar.n)
        if phase == "finished":
            self._bar.close()


def parsed(text):
    """What JSON says."""
    # Not when the package is imported: it takes longer than all the rest.
    import json

    return json.loads(text)
