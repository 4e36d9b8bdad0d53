"""Exceptions, one for each thing that a caller can do about it."""

import errno

from ._records import Record, parsed


class Error(Exception):
    """A job did not do what was asked.

    ``kind`` is a word that stays ("exists", "no_space", "source_changed"), ``path`` the
    file or device it is about or ``None``, ``report`` the report of what was done or
    ``None``, and ``remedies`` a tuple of keyword arguments that would help.

    Where the system said no, the exception is also the ``OSError`` that fits, with
    ``errno``, ``strerror`` and ``filename``.
    """

    kind = None
    path = None
    report = None
    remedies = ()
    # Those that somebody else makes have neither, and are as any exception.
    _message = _answer = None

    def __str__(self):
        return super().__str__() if self._message is None else self._message

    def __reduce__(self):
        return super().__reduce__() if self._answer is None else (_rebuilt, (self._answer,))


class Usage(Error, ValueError):
    """The arguments contradict each other, or one has a value that cannot be."""


class Refused(Error):
    """A check said no before the first byte. Nothing was written."""


class Mismatch(Error):
    """A digest or the comparison differs. Nothing got its final name."""


class Failed(Error):
    """The job stopped. Unless the report says otherwise it can be resumed."""


class Partial(Error):
    """Some of the source could not be read; everything else is copied.

    Of a batch: some items are not complete. ``check=False`` returns the report instead.
    """


_CLASSES = {"refused": Refused, "mismatch": Mismatch}

# What the system would have said, of what was found out before it was asked.
_NUMBERS = {"exists": errno.EEXIST, "no_space": errno.ENOSPC}


def taken(answer, *, check=True):
    """The report of the answer of a job, or the exception."""
    return judged(parsed(answer), check=check)


def judged(fields, *, check=True):
    """The same of an answer that was read already."""
    if fields.get("error"):
        raise _made(fields)
    report = fields["report"]
    if "items" in fields:
        report["results"] = fields["items"]
        report["list_notes"] = fields["list_notes"]
    outcome = report.get("outcome")
    if check and outcome in ("partial", "mismatch"):
        fields["error"] = {"outcome": outcome, "message": _partly(report)}
        raise _made(fields)
    return Record(report)


def _partly(report):
    results = report.get("results")
    if results is None:
        missing = report["bytes"]["failed"]
        return f"{missing} bytes of {report['source']['path']} could not be read"
    bad = [item for item in results if item["status"] not in ("complete", "skipped")]
    first = f"; the first: {bad[0]['name']}: {bad[0]['error'] or bad[0]['status']}" if bad else ""
    return f"{len(bad)} of {report['items']['total']} files are not complete{first}"


def _made(fields):
    error = fields["error"]
    outcome = error["outcome"]
    kind = error.get("kind") or outcome
    base = Usage if kind in ("usage", "list") else _CLASSES.get(outcome, Failed)
    if outcome == "partial":
        base = Partial
    number = error.get("errno") or _NUMBERS.get(kind)
    number = number or getattr(errno, error.get("errno_name") or "", None)
    made = _class(base, number)
    message = error["message"]
    if error.get("remedies"):
        message += f" ({'; or '.join(error['remedies'])})"
    if number:
        exception = made(number, error["message"], error.get("path"))
    else:
        exception = made(message)
    exception.kind = kind
    exception.path = error.get("path")
    exception.remedies = tuple(error.get("remedies") or ())
    report = fields.get("report")
    exception.report = Record(report) if report else None
    exception._message = message
    exception._answer = fields
    return exception


def _rebuilt(fields):
    return _made(fields)


_made_classes: dict[tuple[type, type], type] = {}


def _class(base, number):
    """The class for an error of the system, which is of both families."""
    if not number:
        return base
    system = type(OSError(number, ""))
    key = (base, system)
    if key not in _made_classes:
        name = system.__name__ if system is not OSError else f"{base.__name__}OSError"
        members = {"__doc__": base.__doc__, "__module__": __name__}
        _made_classes[key] = type(name, (base, system), members)
    return _made_classes[key]
