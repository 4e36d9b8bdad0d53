"""One copy by several tasks of an executor.

Imported when it is needed: with it comes ``concurrent.futures``, which takes longer
than all the rest of the package.
"""

import contextlib
import os
import threading
from concurrent.futures import CancelledError, Future

from . import _pcopy
from ._errors import Error, Refused, judged, taken

# Seconds that a task may stand still before others take over what it has.
LEASE = 60.0


def started(executor, places, wanted, shards, check):
    """Hands the tasks to ``executor``; ``places`` are the folder, the source, the destination."""
    # Some executors take the same call for one that they know the result of.
    token = os.urandom(8).hex()
    tasks = []
    try:
        for number in range(shards):
            part = (number, shards)
            tasks.append(executor.submit(take_part, *places, wanted, part, LEASE, token))
    except BaseException:
        # Those that run already copy all of it: the same call again finds that done.
        for task in tasks:
            task.cancel()
        raise
    return SharedJob(places[0], tasks, check)


def take_part(folder, source, destination, wanted, part, lease, token):
    """What a task does. It returns the report, as ``copy`` with ``check=False``."""
    answer = _pcopy.take_part(folder, source, destination, wanted, *part, lease)
    return taken(answer, check=False)


class SharedJob(Future):
    """A copy by several tasks: a future whose result is one report of all of them.

    ``tasks`` are the futures of the executor, in their order; the result of each is the
    report of that task. ``folder`` is the path of the job folder.

    It has a result when every task has ended. A task that fails leaves what it had to the
    others: the copy is complete if one of them has come to its end.
    """

    def __init__(self, folder, tasks, check=True):
        super().__init__()
        self.folder = folder
        self.tasks = tuple(tasks)
        self._check = check
        self._running = len(self.tasks)
        self._counting = threading.Lock()
        silent = []
        for task in self.tasks:
            if hasattr(task, "add_done_callback"):
                task.add_done_callback(self._one_ended)
            else:
                silent.append(task)
        if silent:
            threading.Thread(target=self._wait_for, args=[silent], daemon=True).start()

    def cancel(self):
        """Takes back the tasks that have not begun. True if those are all.

        Otherwise the others do their part as well, and the copy goes on.
        """
        return all([task.cancel() for task in self.tasks])

    def running(self):
        """Whether a task runs, as far as the executor says so."""
        return not self.done() and any(
            task.running() for task in self.tasks if hasattr(task, "running")
        )

    def status(self):
        """How far the copy is, by the job folder; ``None`` before its first task has begun.

        It has ``state`` ("copying", "finishing", "finished"), ``shards``, ``shards_done``,
        ``bytes_done``, ``bytes_per_second``, ``seconds_left``, ``hosts`` and more.
        """
        try:
            return taken(_pcopy.job_status(self.folder))
        except (Refused, FileNotFoundError):
            return None

    def _wait_for(self, tasks):
        for task in tasks:
            # What it raises is looked at when all have ended.
            with contextlib.suppress(BaseException):
                task.result()
            self._one_ended(task)

    def _one_ended(self, _task):
        with self._counting:
            self._running -= 1
            if self._running:
                return
        try:
            report = self._outcome()
        except CancelledError:
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(report)

    def _outcome(self):
        reports, errors = {}, {}
        for number, task in enumerate(self.tasks, 1):
            try:
                reports[number] = task.result().as_dict()
            except BaseException as error:
                errors[number] = error
        if reports:
            return judged({"report": _merged(reports, errors)}, check=self._check)
        # One that says what is wrong, rather than one that was only stopped.
        raise min(errors.values(), key=_how_little_it_says)


def _how_little_it_says(error):
    if isinstance(error, Error):
        return 0
    return 2 if isinstance(error, CancelledError) else 1


def _merged(reports, errors):
    """One report of those of each task, which are of the whole job but for what they copied."""
    first = next(iter(reports.values()))
    copied = sum(report["bytes"]["copied"] for report in reports.values())
    of_all = first["bytes"]["copied"] + first["bytes"]["resumed"]
    longest = max(
        (report["seconds"] for report in reports.values()), key=lambda took: took["total"]
    )
    shared = [
        note
        for note in first["notes"]
        if all(note in report["notes"] for report in reports.values())
    ]
    notes = [
        f"task {number}: {note}"
        for number, report in reports.items()
        for note in report["notes"]
        if note not in shared
    ]
    notes += [f"task {number} failed: {type(error).__name__}: {error}" for number, error in errors.items()]
    return {
        **first,
        "bytes": {**first["bytes"], "copied": copied, "resumed": max(0, of_all - copied)},
        "seconds": longest,
        "bytes_per_second": copied / longest["total"] if longest["total"] else 0.0,
        "notes": shared + notes,
    }
