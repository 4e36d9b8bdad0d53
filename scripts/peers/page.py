"""The page docs/performance.md and its picture, from what was measured."""

import datetime
import json
import os

import common
import history as earlier
import place
import race
import scenarios
import tools

FOLDER = os.path.join(tools.ROOT, "docs")
# What cannot be measured: why a target is missed, what was tried. One file a scenario.
NOTES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "notes")
# A trial with less work or fewer rounds says nothing and never gets into docs.
TRIALS = os.path.join(tools.ROOT, "target", "compare-peers")

INTRODUCTION = """\
# Performance

`scripts/compare-peers` measures pcopy and its peers side by side. Each scenario runs its commands in
interleaved rounds. The first round is discarded, and the table has the median of the others with the
fastest and slowest. A ratio is peer time divided by pcopy time: above 1, pcopy is faster. Missed
targets are listed like met ones. To see which settings suit your own disk, run `pcopy bench`.

![Throughput of pcopy and its peers](performance.svg)
"""

HISTORY = """
## By commit

The file performance.json keeps the results of `scripts/compare-peers --record` for each commit. A
point is the time of a peer divided by that of pcopy in the same run, so points of different machines
can be compared. The peer is named below.

![Time of a peer / time of pcopy, by commit](performance-history.svg)
"""


def use_trial_folder():
    global FOLDER
    FOLDER = TRIALS


def path(name):
    os.makedirs(FOLDER, exist_ok=True)
    return os.path.join(FOLDER, name)


def load():
    """The last result of each scenario, and what is kept of earlier ones by commit."""
    try:
        with open(path("performance.json"), encoding="utf-8") as file:
            results = json.load(file)
    except FileNotFoundError:
        results = {}
    return results, results.pop("history", [])


def save(results, history):
    with open(path("performance.json"), "w", encoding="utf-8") as file:
        json.dump({**results, "history": history}, file, indent=1)
        file.write("\n")


def stamped(result, work):
    """With the day and the machine: scenarios may come from different runs."""
    return {**result, "day": datetime.date.today().isoformat(),
            "machine": place.machine(work.folder), "versions": tools.versions()}


def lines_of(result):
    """A result for the terminal."""
    if result.get("skipped"):
        return [f"skipped: {result['skipped']}"]
    lines = [f"{row['name']:<40} {figure(row)}" for row in result["rows"]]
    return lines + [f"{word(goal)}: {goal['what']}: {goal['value']}" for goal in result["targets"]]


def changes(result):
    """Lines that compare pcopy with an earlier one, where both were run."""
    medians = {row["name"]: row["median"] for row in result["rows"] if "median" in row}
    return [f"{name:<40} {medians[race.BEFORE + name] / now:.2f} times as fast as before"
            for name, now in medians.items() if race.BEFORE + name in medians]


def figure(row):
    if "error" in row:
        return f"- {row['error']}"
    if "memory" in row and "median" not in row:
        return f"{row['memory'] / (1 << 20):.1f} MiB of {row['bound'] / (1 << 20):.0f}"
    return f"{seconds(row['median'])}  ({seconds(row['min'])} .. {seconds(row['max'])})"


def seconds(value):
    return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value:.3f} s"


def word(goal):
    return {True: "met", False: "missed", None: "not measured"}[goal["met"]]


def write(results, history):
    """The page and its pictures."""
    parts = [INTRODUCTION, "## Targets\n", *targets_table(results)]
    for name in scenarios.ALL:
        if name in results:
            parts += section(results[name])
    if history:
        parts.append(HISTORY)
        with open(path("performance-history.svg"), "w", encoding="utf-8") as file:
            file.write(earlier.picture(history, STYLE, text))
    parts += footer(results)
    with open(path("performance.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(parts) + "\n")
    with open(path("performance.svg"), "w", encoding="utf-8") as file:
        file.write(picture(results))


def targets_table(results):
    lines = ["| | scenario | target | measured | |", "|---|---|---|---|---|"]
    for name in scenarios.ALL:
        result = results.get(name) or common.skipped(name, "not yet")
        if result.get("skipped"):
            lines.append(f"| {name} | {result['title']} | | | not run: {result['skipped']} |")
        for goal in result["targets"]:
            mark = {"met": "met", "missed": "**missed**"}.get(word(goal), word(goal))
            value = goal["value"] or "-"
            lines.append(f"| {name} | {result['title']} | {goal['what']} | {value} | {mark} |")
    return lines + [""]


def section(result):
    lines = [f"## {result['name']}: {result['title']}", ""]
    if result.get("skipped"):
        return lines + [f"Not run: {result['skipped']}.", ""]
    lines += [result["conditions"][0].upper() + result["conditions"][1:] + ".", ""]
    if any("bound" in row for row in result["rows"]):
        lines += ["| run | peak memory | bound |", "|---|---|---|"]
        mib = lambda size: f"{size / (1 << 20):.1f} MiB"
        lines += [f"| {row['name']} | {mib(row['memory'])} | {mib(row['bound'])} |"
                  for row in result["rows"]]
        return lines + ["", *notes(result)]
    lines += caution(result["machine"])
    own = next((row.get("median") for row in result["rows"] if row["name"].startswith("pcopy")), 0)
    lines += ["| command | median | fastest .. slowest | GiB/s | time / pcopy |",
              "|---|---|---|---|---|"]
    ranked = [row for row in result["rows"] if "median" in row]
    if not any("bytes" in row for row in ranked):
        ranked.sort(key=lambda row: row["median"])
    for row in ranked:
        size = row.get("bytes") or result.get("bytes")
        rate = f"{size / row['median'] / (1 << 30):.2f}" if size else ""
        spread = f"{seconds(row['min'])} .. {seconds(row['max'])}"
        name = f"**{row['name']}**" if row["name"].startswith("pcopy") else row["name"]
        times = f"{row['median'] / own:.2f}" if own and "bytes" not in row else ""
        lines.append(f"| {name} | {seconds(row['median'])} | {spread} | {rate} | {times} |")
    failed = [f"{row['name']} ({row['error']})" for row in result["rows"] if "error" in row]
    if failed:
        lines += ["", "Without a time: " + "; ".join(failed) + "."]
    return lines + ["", *notes(result)]


def notes(result):
    """What the scenario measured besides, and what there is to say about it."""
    lines = [result["extra"], ""] if result.get("extra") else []
    try:
        with open(os.path.join(NOTES, f"{result['name']}.md"), encoding="utf-8") as file:
            lines += [file.read().strip(), ""]
    except FileNotFoundError:
        pass
    return lines


def caution(machine):
    """Times of a busy machine say little; the reader must know."""
    if float(machine["load"]) <= 2 * os.cpu_count():
        return []
    words = f"**Other jobs were running** (load {machine['load']}): these times say little."
    return [words, ""]


def footer(results):
    """Machine and versions; once where all scenarios agree."""
    lines = ["## Machine and versions", ""]
    groups = {}
    for name, result in results.items():
        key = json.dumps([result["day"], result["machine"], result["versions"]])
        groups.setdefault(key, []).append(name)
    for key, names in groups.items():
        day, about, versions = json.loads(key)
        machine = ", ".join(f"{what}: {value}" for what, value in about.items())
        known = ", ".join(f"{name} {version}" for name, version in versions if version)
        absent = ", ".join(name for name, version in versions if not version)
        lines.append(f"{', '.join(sorted(names, key=list(scenarios.ALL).index))} ({day}): {machine}.")
        lines += [f"Versions: {known}." + (f" Not there: {absent}." if absent else ""), ""]
    return lines


# One chart a scenario, side by side: bars of throughput, pcopy in colour.
CHARTS = ["S1", "S2", "S3", "S3f"]
BAR, GAP, LABEL, WIDTH = 16, 6, 230, 760

# On paper and on a light screen black on white; on a dark screen the other way round.
STYLE = """\
<style>
.paper { fill: #ffffff } .ink { fill: #111111 } .soft { fill: #555555 }
.own { fill: #0072b2 } .own-hollow { fill: #ffffff; stroke: #0072b2; stroke-width: 2 }
.own-line { stroke: #0072b2; stroke-width: 2 } .peer { fill: #b8b8b8 } .rule { stroke: #555555 }
@media screen and (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } .ink { fill: #e6edf3 } .soft { fill: #9aa4ae }
.own { fill: #56b4e9 } .own-hollow { fill: #0d1117; stroke: #56b4e9 }
.own-line { stroke: #56b4e9 } .peer { fill: #5a6068 } .rule { stroke: #9aa4ae }
}
</style>"""


def picture(results):
    charts = [results[name] for name in CHARTS if name in results and results[name]["rows"]]
    y, parts = 20, []
    for result in charts:
        drawn, y = chart(result, y)
        parts += drawn
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
            f'height="{y}" font-family="sans-serif" font-size="12">')
    return "\n".join([head, STYLE, '<rect class="paper" width="100%" height="100%"/>', *parts, "</svg>\n"])


def chart(result, y):
    rows = sorted((row for row in result["rows"] if "median" in row), key=lambda r: r["median"])
    rate = lambda time: result["bytes"] / time / (1 << 30)
    top = max((rate(row["min"]) for row in rows), default=1)
    scale = (WIDTH - LABEL - 110) / top
    parts = [text(10, y + 14, f"{result['name']}: {result['title']}", 'class="ink" font-weight="bold"')]
    parts.append(text(10, y + 30, result["conditions"].split(";")[0], 'class="soft"'))
    y += 42
    for row in rows:
        own = row["name"].startswith("pcopy")
        kind = "own" if own else "peer"
        length = rate(row["median"]) * scale
        low, high = LABEL + rate(row["max"]) * scale, LABEL + rate(row["min"]) * scale
        middle = y + BAR / 2
        style = 'class="ink" text-anchor="end"' + (' font-weight="bold"' if own else "")
        parts += [
            text(LABEL - 8, y + 12, short(row["name"]), style),
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" class="{kind}"/>',
            f'<line x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" class="rule"/>',
            text(max(high, LABEL + length) + 8, y + 12, f"{rate(row['median']):.2f} GiB/s", 'class="ink"'),
        ]
        y += BAR + GAP
    return parts, y + 18


def short(name):
    return name.replace("reading and writing at once", "both at once")


def text(x, y, words, style):
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{words}</text>'
