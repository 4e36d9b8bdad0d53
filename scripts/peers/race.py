"""Running commands in interleaved rounds and keeping what they took."""

import copy
import resource
import statistics
import subprocess
import tempfile
import time

import tools


# Of what an earlier pcopy did, where one is compared with.
BEFORE = "before: "

# The program of an earlier pcopy, or None.
against = None


def with_earlier(runners):
    """Each runner of pcopy followed by one that runs the earlier program, if there is one."""
    if not against:
        return runners
    found = []
    for runner in runners:
        found.append(runner)
        if any(tools.PCOPY in " ".join(words) for words in runner.commands):
            found.append(runner.of_earlier())
    return found


class Runner:
    """One command of a scenario: its name, what to run, what to do before and after."""

    def __init__(self, name, commands, before=None, after=None, check=None, scale=1, inner=1,
                 clock=None):
        self.name = name
        self.commands = [[tools.path_of(words[0]) or words[0], *words[1:]] for words in commands]
        self.before, self.after, self.check = before, after, check
        # Seconds, from what the commands printed, if these tell better than a clock around them.
        self.clock = clock
        # What was run is 1/scale of the work; a time is the mean of `inner` repetitions.
        self.scale, self.inner = scale, inner
        # Of the clock and of the processors.
        self.seconds, self.processors, self.error = [], [], None

    def of_earlier(self):
        """The same by the earlier program."""
        earlier = copy.copy(self)
        earlier.name = BEFORE + self.name
        earlier.commands = [[word.replace(tools.PCOPY, against) for word in words]
                            for words in self.commands]
        earlier.seconds, earlier.processors = [], []
        return earlier

    def run(self, counts):
        try:
            total, busy = 0, 0
            for _ in range(self.inner):
                if self.before:
                    self.before()
                begin, begin_busy = time.perf_counter(), processors_of_children()
                said = [run(words) for words in self.commands]
                total += self.clock(said) if self.clock else time.perf_counter() - begin
                busy += processors_of_children() - begin_busy
            if self.check and not counts:
                self.check()
        except (OSError, subprocess.SubprocessError, AssertionError) as error:
            self.error = " ".join(str(error).split())[:160]
            return
        finally:
            if self.after:
                self.after()
        if counts:
            self.seconds.append(total / self.inner * self.scale)
            self.processors.append(busy / self.inner * self.scale)

    def result(self):
        if self.error or not self.seconds:
            return {"name": self.name, "error": self.error or "not run"}
        return {
            "name": self.name,
            "median": statistics.median(self.seconds),
            "min": min(self.seconds),
            "max": max(self.seconds),
            "processors": statistics.median(self.processors),
        }


def processors_of_children():
    """Seconds that all processes that have ended took of the processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(words):
    """Runs a command that must succeed and returns what it printed."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        text = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise subprocess.SubprocessError(f"exit {done.returncode}: {''.join(text)}")
    return done.stdout


def peak_memory(words):
    """Peak memory in bytes of a command that must succeed.

    Measured by time(1): a child remembers the size its parent had before it
    became another program, and Python is larger than most of these tools."""
    with tempfile.NamedTemporaryFile("r") as file:
        run([tools.path_of("time"), "-f", "%M", "-o", file.name, *words])
        return int(file.read().split()[-1]) * 1024


def race(runners, rounds):
    """Every runner once for nothing, then `rounds` times, interleaved, every
    other round backwards."""
    runners = with_earlier(runners)
    for number in range(rounds + 1):
        order = runners if number % 2 == 0 else list(reversed(runners))
        for runner in order:
            if not runner.error:
                runner.run(counts=number > 0)
        print(f"   round {number} of {rounds}", end="\r", flush=True)
    return [runner.result() for runner in runners]
