"""How pcopy compared with the fastest of its peers, by commit: the figures that are kept and
the picture docs/performance-history.svg of them.

Times of different machines say little about each other; a ratio of times measured side by side
does. So what is drawn is the time of a peer over that of pcopy: above 1, pcopy is faster. Where
other jobs were running, the point is hollow."""

import math
import re
import subprocess

import common
import race
import tools

# What a measurement is of: with changes to them, a commit does not say what was measured.
MEASURED = ["src", "build.rs", "Cargo.toml", "Cargo.lock"]

# Load of the machine beyond which a point is hollow: twice the processors it was measured on.
BUSY = 2

PANEL, HEIGHT, COLUMNS, LEFT, TOP = 250, 170, 3, 20, 44


def commit():
    """The commit that is measured. Ends the program where that cannot be said."""
    git = lambda *words: subprocess.run(["git", "-C", tools.ROOT, *words], check=True,
                                        capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--", *MEASURED)
    if changed:
        raise SystemExit("compare-peers: --record needs the program as it was committed, and this "
                         f"has changed:\n{changed}")
    return git("rev-parse", "--short=7", "HEAD")


def point(result):
    """What is kept of a result: how much faster pcopy was than whom, and the load. None where
    it was compared with nobody."""
    about = result["machine"]
    around = {"load": about["load"], "processors": about["processors"]}
    for goal in result["targets"]:
        # Its first target that names a peer says with whom it competes.
        words = re.match(r"(?!best |one |the slower )(.+) / (pcopy|auto)\b", goal["what"])
        if words and goal["value"]:
            return {"peer": words[1], "ratio": float(goal["value"]), **around}
    own = next(iter(common.ours(result)), None)
    peers = [row for row in result["rows"] if "median" in row
             and not row["name"].startswith(("pcopy", "fio", race.BEFORE))]
    if not own or not peers:
        return None
    peer = min(peers, key=lambda row: row["median"])
    return {"peer": peer["name"], "ratio": round(peer["median"] / own["median"], 2), **around}


def record(history, name, result, measured):
    """Keeps `result` of the scenario `name` as of the commit `measured`: once, the last."""
    kept = point(result)
    if not kept:
        return
    last = history[-1] if history else None
    if not last or last["commit"] != measured:
        last = {"commit": measured, "day": result["day"], "scenarios": {}}
        history.append(last)
    last["day"] = result["day"]
    last["scenarios"][name] = kept


def is_busy(kept):
    return float(kept["load"]) > BUSY * int(kept["processors"].split()[0])


def series(history, name):
    """The points of a scenario in order: commit, day, ratio, whether others were at work, peer.
    Only those that say the same as the last: compared with another peer, a ratio is another."""
    points = [(entry["commit"], entry["day"], kept["ratio"], is_busy(kept), kept["peer"])
              for entry in history for kept in [entry["scenarios"].get(name)] if kept]
    # The fastest of its peers has a name where no target speaks of it.
    same = lambda peer: peer == points[-1][4] or peer == "fastest peer"
    return [point for point in points if same(point[4])]


def picture(history, style, text):
    """One panel a scenario that was measured, on a logarithmic scale of its own."""
    names = [name for name in common.TITLES if series(history, name)]
    rows = math.ceil(len(names) / COLUMNS)
    width, height = LEFT + COLUMNS * PANEL, TOP + rows * HEIGHT + 10
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">', style,
             '<rect class="paper" width="100%" height="100%"/>',
             text(LEFT, 24, "Time of a peer / time of pcopy, by commit (hollow: other jobs were "
                  "running)", 'class="ink" font-size="13" font-weight="bold"')]
    for number, name in enumerate(names):
        at = (LEFT + number % COLUMNS * PANEL, TOP + number // COLUMNS * HEIGHT)
        parts += panel(name, series(history, name), at, text)
    return "\n".join([*parts, "</svg>\n"])


def panel(name, points, at, text):
    left, top = at
    wide, tall = PANEL - 40, HEIGHT - 84
    # At least from two thirds to one and a half, so that noise does not look like a cliff.
    logs = [math.log(ratio) for _, _, ratio, _, _ in points] + [math.log(1.5), -math.log(1.5)]
    low, high = min(logs), max(logs)
    down = lambda ratio: top + 24 + tall * (high - math.log(ratio)) / (high - low)
    step = wide / max(len(points) - 1, 1)
    across = lambda number: left + 10 + (step * number if len(points) > 1 else wide / 2)
    parts = [
        text(left, top + 12, short(f"{name}: {common.TITLES[name]}"), 'class="ink"'),
        text(left, top + HEIGHT - 12, short(f"against {points[-1][4]}"), 'class="soft"'),
        f'<line class="rule" x1="{left}" y1="{down(1):.1f}" x2="{left + wide + 20}" '
        f'y2="{down(1):.1f}" stroke-dasharray="3 3"/>',
    ]
    line = " ".join(f"{across(n):.1f},{down(p[2]):.1f}" for n, p in enumerate(points))
    parts.append(f'<polyline class="own-line" fill="none" points="{line}"/>')
    for number, (made, day, ratio, busy, _) in enumerate(points):
        x, y = across(number), down(ratio)
        kind = "own-hollow" if busy else "own"
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        above = y - 8 if y - 8 > top + 22 else y + 16
        parts.append(text(x, above, f"{ratio:.2f}", f'class="ink" {anchor(number, points)}'))
        parts.append(text(x, top + tall + 42, made, f'class="soft" {anchor(number, points)}'))
        parts.append(text(x, top + tall + 54, day[5:], f'class="soft" {anchor(number, points)}'))
    return parts


def anchor(number, points):
    """So that nothing is written beyond the panel."""
    place = "middle"
    if len(points) > 1:
        place = {0: "start", len(points) - 1: "end"}.get(number, "middle")
    return f'text-anchor="{place}"'


def short(title):
    return title if len(title) <= 38 else title[:36].rsplit(" ", 1)[0] + " ..."
