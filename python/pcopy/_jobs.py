"""The jobs: a copy, many copies, a comparison."""

import operator
import os

from . import _pcopy
from ._errors import taken
from ._options import as_json, dumped, paths
from ._records import Record, caller, parsed


def copy(src, dst, *, also=(), dry_run=False, check=True, progress=None, **options):
    """Copies a byte range of ``src`` to ``dst``.

    ``src`` and ``dst`` are paths (``str``, ``bytes`` or ``os.PathLike``); ``dst`` may be a
    directory, in which the copy has the name of ``src``. Both may be open files with a
    ``fileno()``: of ``src`` any byte can be read, wherever it stands; to ``dst`` bytes are
    written in order, from where it stands.

    A new file gets its name when it is complete and on the disk; an existing one is
    refused unless ``force=True`` replaces it or ``in_place=True`` writes into it.
    ``src`` may also be an address, ``"https://..."`` or ``"s3://bucket/key"``, which is
    read by several requests at once, and ``dst`` one of S3.

    Options, all by keyword: ``range`` (a pair, a ``slice``, a ``range``, or text such as
    ``"1MiB+4KiB"``), ``dest_offset``, ``threads``, ``in_place``, ``to_device``, ``force``,
    ``resume``, ``restart``, ``verify``, ``repair``, ``digest`` (one name or several),
    ``expect`` ("sha256:..." or a dict), ``limit_rate``, ``sparse``, ``reflink``,
    ``preserve``, ``sync`` and every other option of the library. Sizes are numbers of
    bytes or text such as ``"4MiB"``.

    ``only`` are pairs of the bytes of the source that are copied, each to where it
    would go anyway, and ``expect_in`` pairs of such a pair and its digest. ``split``
    writes files of that length, ``dst.001`` and so on; ``digest_every`` gives each
    piece of that length a digest; ``join`` says whether the pieces of a split source
    are read as one ("auto", "always", "never"); ``only_changed`` writes what differs;
    ``check_source``, with ``verify``, reads the source once more at the end.

    Of addresses: ``headers`` (a dict, or lines "Name: value"), ``logins`` (a dict of
    ``(name, password)`` by server, ``None`` for all), ``proxies`` (a dict of ``http``,
    ``https`` and ``except``, servers without), ``connections``, ``max_retries``,
    ``timeout`` in seconds and ``ca_file``. Of S3: ``endpoint_url``, ``region``,
    ``addressing_style`` ("auto", "path", "virtual"), ``no_sign_request``, and who asks:
    ``aws_access_key_id``, ``aws_secret_access_key`` and ``aws_session_token``, or the
    ``profile`` of the AWS tools. Nothing else is taken from the environment, unless
    ``trust_env=True``: then proxies, certificates, ``~/.netrc`` and what the AWS tools
    are told are found as the command finds them.

    ``also`` is a further destination, or several, written from the same read. ``progress`` is
    called about ten times a second, on this thread, with a ``pcopy.Progress``; "tqdm"
    shows a bar where tqdm is installed.

    Returns the report. Raises a ``pcopy.Error``; ``pcopy.Partial`` if some of the source
    could not be read, which ``check=False`` leaves to the report.
    """
    source, stream = _readable(src), _descriptor(dst)
    destination = "" if stream is not None else os.fsdecode(dst)
    if stream is not None and hasattr(dst, "flush"):
        dst.flush()
    answer = _pcopy.copy(
        source,
        destination,
        [os.fsdecode(path) for path in paths(also)],
        as_json(options),
        dry_run,
        stream,
        caller(progress),
    )
    return taken(answer, check=check)


def copyfile(src, dst, **options):
    """Copies the content of the file ``src`` to the file ``dst`` and returns ``dst``.

    As ``shutil.copyfile``: an existing file is replaced, and nobody waits for the disk.
    Unlike it, ``dst`` is the old file or the new one at any moment.
    """
    if os.path.isdir(dst):
        raise IsADirectoryError(f"{os.fsdecode(dst)!r} is a directory")
    copy(src, dst, **{"force": True, "sync": False, **options})
    return dst


def batch(
    items,
    source=None,
    into=".",
    *,
    format=None,
    compare=False,
    dry_run=False,
    check=True,
    progress=None,
    **options,
):
    """Copies many ranges to many files, in the order of the drive.

    ``items`` is the path of a list (CSV, TSV, JSON Lines, DFXML, ddrescue's map, bmap, the
    output of ``filefrag -v``, ``mmls`` or ``sfdisk``), or an iterable of items: dicts with
    the fields of a list (``name``, ``start``, one of ``end``, ``last`` or ``len``,
    ``source``, ``sha256``, ...) or tuples ``(name, start, end)``. ``source`` is that of
    all items that name none, and ``into`` the directory of the files, which is made if it
    is missing.

    With ``compare=True`` nothing is written: what is there is compared.

    Returns the report, which has ``results``, one for each item. Raises ``pcopy.Partial``
    if some items are not complete, unless ``check=False``.
    """
    path = text = None
    if isinstance(items, (str, bytes, os.PathLike)):
        path = os.fsdecode(items)
    elif format is not None:
        raise TypeError("format is that of a list in a file, and these are items")
    else:
        text = "".join(dumped(_item(item)) + "\n" for item in items).encode()
        format = "jsonl"
    answer = _pcopy.batch(
        text,
        path,
        format,
        None if source is None else os.fsdecode(source),
        os.fsdecode(into),
        as_json(options),
        compare,
        dry_run,
        caller(progress),
    )
    return taken(answer, check=check)


def _item(item):
    if isinstance(item, dict):
        paths = {
            name: os.fsdecode(item[name])
            for name in ("name", "source")
            if item.get(name) is not None
        }
        return {**item, **paths}
    try:
        name, start, end = item
    except (TypeError, ValueError):
        what = "a dict or a tuple (name, start, end)"
        raise TypeError(f"an item must be {what}, not {item!r}") from None
    return {"name": os.fsdecode(name), "start": start, "end": end}


def submit(executor, src, dst, *, job, shards, check=True, **options):
    """Copies a byte range of ``src`` to ``dst`` by ``shards`` tasks of ``executor``.

    ``executor`` has the ``submit`` of ``concurrent.futures``: a pool of threads or
    processes, ``client.get_executor()`` of Dask, and others. ``job`` is a folder that every
    worker sees, as ``src`` and ``dst``, under the same path; it is made if it is missing,
    and has the plan and what is done. Task K takes part K of ``shards`` first, and then
    whatever nobody has: any number of workers ends the copy, however many tasks there are.

    The same call again resumes what was interrupted, with any executor and any ``shards``;
    if the copy is complete, it copies nothing. Another copy needs another folder. A new
    file gets its name when all of it is there, and an existing one is refused unless
    ``force=True`` replaces it.

    Takes the options of ``copy`` that are for one new file: not ``in_place``,
    ``to_device``, ``only_changed``, ``split``, ``only``, ``map``, ``check_source``,
    ``resume`` and ``restart``. ``threads`` are those of each task. Credentials among them are handed to the executor
    with the task; with ``trust_env=True`` each worker finds its own.

    Returns a ``pcopy.SharedJob``, which is a ``concurrent.futures.Future`` of one report:
    ``bytes.copied`` is what the tasks of this call copied, and ``bytes.resumed`` what was
    there or was copied by tasks that failed. Its ``result()`` raises a ``pcopy.Error`` as
    ``copy`` does, but only if no task came to the end; ``status()`` says how far it is.
    Arguments that cannot be raise ``TypeError`` or ``ValueError`` here, before any task.
    """
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(f"{type(executor).__name__} is not an executor: it has no submit()")
    shards = operator.index(shards)
    if shards < 1:
        raise ValueError("shards must be 1 or more")
    if "progress" in options:
        raise TypeError("progress has no meaning here: status() of what is returned says it")
    wanted = as_json(options)
    _pcopy.check_options(wanted)
    places = [_pcopy.absolute(os.fsdecode(path)) for path in (job, src, dst)]
    # Only here: it takes longer than all the rest.
    from ._shared import started

    return started(executor, places, wanted, shards, check)


def verify(src, dst, *, check=True, progress=None, **options):
    """Compares a range of ``src`` with what is in ``dst``, reading past the page cache.

    Takes ``range``, ``dest_offset``, ``threads``, ``limit_rate``, ``digest`` and ``expect``
    as ``copy`` does. Returns the report; raises ``pcopy.Mismatch``, whose
    ``report.mismatches`` has every range that differs.
    """
    answer = _pcopy.verify(
        _readable(src), os.fsdecode(dst), as_json(options), caller(progress)
    )
    return taken(answer, check=check)


def patch(
    path,
    offset,
    data,
    *,
    old=None,
    grow=False,
    to_device=False,
    even_if_in_use=False,
    sync=True,
    verify=False,
):
    """Writes the bytes ``data`` at ``offset`` of the file or device ``path``, in place.

    ``data`` and ``old`` are bytes-like; one byte of the value 42 is ``bytes([42])``.
    Nothing else of it changes, however large it is. With ``old``, nothing is written
    unless these bytes are there (``pcopy.Mismatch``). A file becomes longer only with
    ``grow=True``, and a device needs ``to_device=True``.

    Returns the bytes that were there, with which the patch can be undone.
    """
    consents = {
        "grow": grow,
        "to_device": to_device,
        "even_if_in_use": even_if_in_use,
        "sync": sync,
        "verify": verify,
    }
    answer = _pcopy.patch(
        os.fsdecode(path),
        str(offset),
        # `bytes(42)` would be 42 zeros.
        bytes(memoryview(data)),
        None if old is None else bytes(memoryview(old)),
        dumped(consents),
    )
    return bytes.fromhex(taken(answer).old)


def devices():
    """The block devices of this machine, each disk before its parts.

    Each has ``path``, ``model``, ``serial``, ``size``, ``mounted`` and more; ``None`` is
    what the system does not say.
    """
    return [Record(device) for device in parsed(_pcopy.devices())["devices"]]


def _descriptor(file):
    """The descriptor of an open file; ``None`` of a path."""
    if isinstance(file, (str, bytes, os.PathLike)):
        return None
    if not hasattr(file, "fileno"):
        raise TypeError(f"{type(file).__name__} is neither a path nor an open file")
    return file.fileno()


def _readable(source):
    descriptor = _descriptor(source)
    return os.fsdecode(source) if descriptor is None else f"/dev/fd/{descriptor}"
