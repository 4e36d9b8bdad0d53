"""A job as it is seen from outside: what is in its folder, and whether what came out
is right."""

import filecmp
import json
import os
import re
import signal
from dataclasses import dataclass

import bed


@dataclass
class Loss:
    """What was there when processes had been killed."""

    # Records of shards, by number.
    records: dict
    # Shards that those processes had taken and not recorded.
    taken: set
    killed: int


class Job:
    def __init__(self, place, folder, copy):
        self.place, self.folder, self.copy = place, folder, copy
        self.shards = None

    def names(self):
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    def read(self, name):
        """One of its files, or None."""
        try:
            return json.loads(bed.read(os.path.join(self.folder, name)))
        except ValueError:
            # It is not there, or is being written.
            return None

    def records(self):
        """Of shards that are done, by number."""
        numbers = [re.fullmatch(r"done\.(\d+)\.json", name) for name in self.names()]
        return {int(match[1]): self.read(match[0]) for match in numbers if match}

    def turns(self):
        """How often each shard was taken."""
        turns = {}
        for name in self.names():
            if match := re.fullmatch(r"claim\.(\d+)\.(\d+)", name):
                turns[int(match[1])] = max(int(match[2]), turns.get(int(match[1]), 0))
        # The last number stands for the end of the job.
        return {shard: turn for shard, turn in turns.items() if shard < self.count()}

    def taken_by(self, pids):
        """Shards that these processes have, and that are not done."""
        claims = {shard: self.read(f"claim.{shard:05}.{turn}")
                  for shard, turn in self.turns().items()}
        done = self.records()
        return {shard for shard, claim in claims.items()
                if claim and claim["by"]["pid"] in pids and shard not in done}

    def finished(self):
        return self.read("finished.json")

    def status(self):
        return json.loads(bed.run([self.place.pcopy, "job", "status", "--json", self.folder]))

    def count(self):
        """Of its shards."""
        if self.shards is None:
            self.shards = self.status()["shards"]
        return self.shards

    def finish(self, code=0):
        """`pcopy job finish`; what it says."""
        words = [self.place.pcopy, "job", "finish", self.folder]
        return bed.run(words, code)

    def wait_for_all(self):
        """Waits for the middle of the job: each process has done a shard, and a quarter
        of all shards are done."""
        def is_middle():
            if self.finished():
                raise bed.TooLate("the job was over before each process had done a shard")
            records = [record for record in self.records().values() if record]
            everyone = len({record["by"]["pid"] for record in records}) >= bed.COUNT
            return everyone and len(records) >= self.count() // 4

        bed.wait_until("each process has done a shard", is_middle)

    def stop_holders(self, pids):
        """Stops these processes in a moment in which each of them has a shard."""
        def have_shards():
            return all(self.taken_by([pid]) for pid in pids)

        def stopped():
            # Those that go on get to their next shard.
            bed.wait_until("each process that will be killed has a shard", have_shards)
            for pid in pids:
                bed.send(pid, signal.SIGSTOP)
            bed.wait_until("they stand still", lambda: all(map(bed.is_stopped, pids)))
            if have_shards():
                return True
            for pid in pids:
                bed.send(pid, signal.SIGCONT)
            return False

        bed.wait_until("each process that stands still has a shard", stopped)

    def kill(self, pids, keepers=()):
        """Kills these processes, each with a shard, and what watches over them: the
        keepers must not say that they have failed, because they are lost as well."""
        self.stop_holders(pids)
        for pid in keepers:
            bed.send(pid, signal.SIGSTOP)
        bed.wait_until("keepers stand still", lambda: all(map(bed.is_stopped, keepers)))
        # The other way round, the kernel would wake those that lose their parent.
        for pid in [*pids, *keepers]:
            bed.end(pid)
        return self.loss(pids)

    def loss(self, pids):
        """What is there now that these processes are dead."""
        loss = Loss(self.records(), self.taken_by(pids), len(pids))
        assert loss.records and loss.taken, f"{len(loss.records)} done, lost: {loss.taken}"
        return loss

    def check(self, loss=None):
        """Whether all is right: bytes, digests, and what was copied again. In words."""
        place, finished, shards = self.place, self.finished(), self.count()
        assert finished, "the job is not over"
        assert filecmp.cmp(place.source, self.copy, shallow=False), "the bytes differ"
        assert finished["digests"] == place.digests, (finished["digests"], place.digests)
        left = [name for name in os.listdir(os.path.dirname(self.copy)) if "pcopy-part" in name]
        assert not left, left
        records = self.records()
        assert len(records) == shards, f"{len(records)} records of {shards} shards"
        assert sum(record["copied"] for record in records.values()) == place.size
        again = {shard for shard, turn in self.turns().items() if turn > 1}
        if not loss:
            assert not again, again
            return f"{shards} shards, each copied once"
        changed = {shard for shard, record in loss.records.items() if records[shard] != record}
        assert not changed, f"done before, and copied again: {changed}"
        assert again == loss.taken, f"copied again: {again}, lost: {loss.taken}"
        ended = f"{loss.killed} of {bed.COUNT} processes"
        return (f"{shards} shards, {len(loss.records)} done when {ended} ended, "
                f"{len(again)} copied again, bytes and digests equal")

    def check_again(self, words, environment):
        """The same once more copies nothing."""
        before = os.stat(self.copy)
        bed.run(words, env=environment)
        now = os.stat(self.copy)
        assert (before.st_ino, before.st_mtime_ns) == (now.st_ino, now.st_mtime_ns)
