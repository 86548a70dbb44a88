"""Make several rounds of all measurements, or of those named, and tell the medians."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import attrs

from . import memory, messages, publish, restart, start_stop, user_tree
from .figures import Figure

BENCHES = [
    ("T1", memory.measure),
    ("T2", start_stop.measure),
    ("T2-many", start_stop.measure_many),
    ("T3", restart.measure),
    ("T4", messages.measure),
    ("T5", publish.measure),
    ("user-tree", user_tree.measure),
]
ROUNDS = 3


@attrs.frozen
class Row:
    """The medians of all rounds. ``verdict`` is met, missed, or nothing without a target."""

    target: str
    what: str
    unit: str
    ours: float
    against: float | None
    ratio: float | None
    limit: float | None
    limit_for: str
    least: float
    most: float
    verdict: str


def row(rounds: list[Figure]) -> Row:
    first = rounds[0]
    judged = [figure.judged for figure in rounds]
    met = first.limit is not None and statistics.median(judged) <= first.limit
    against = [figure.against for figure in rounds if figure.against is not None]
    ratios = [figure.ratio for figure in rounds if figure.ratio is not None]
    return Row(
        target=first.target,
        what=first.what,
        unit=first.unit,
        ours=statistics.median(figure.ours for figure in rounds),
        against=statistics.median(against) if against else None,
        ratio=statistics.median(ratios) if ratios else None,
        limit=first.limit,
        limit_for=first.unit if first.absolute or not ratios else "ratio",
        least=min(judged),
        most=max(judged),
        verdict="" if first.limit is None else "met" if met else "missed",
    )


def measured(names: list[str], rounds: int) -> Iterable[Row]:
    for name, measure in BENCHES:
        if names and name not in names:
            continue
        by_what: dict[str, list[Figure]] = {}
        for number in range(1, rounds + 1):
            print(f"{name}, round {number} of {rounds}", file=sys.stderr)
            for figure in measure():
                by_what.setdefault(figure.what, []).append(figure)
        yield from map(row, by_what.values())


def machine() -> dict[str, object]:
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "pinned_to": sorted(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "trio": version("trio"),
        "streampai": version("streampai"),
    }


def table(rows: list[Row]) -> str:
    lines = [("", "", "ours", "against", "ratio", "spread", "target", "")]
    for r in rows:
        limit = "" if r.limit is None else f"<= {r.limit:g}" + _unit(r)
        lines.append(
            (
                r.target,
                r.what,
                f"{r.ours:.3g} {r.unit}",
                "" if r.against is None else f"{r.against:.3g} {r.unit}",
                "" if r.ratio is None else f"{r.ratio:.2f}",
                f"{r.least:.2f}-{r.most:.2f}",
                limit,
                r.verdict,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = {0, 1, 7}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n in left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _unit(r: Row) -> str:
    return "" if r.limit_for == "ratio" else f" {r.limit_for}"


def main() -> None:
    names = [name for name, _ in BENCHES]
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("bench", nargs="*", metavar="BENCH", help=", ".join(names))
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"fewer than {ROUNDS} prove nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if unknown := set(options.bench) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: expected of {', '.join(names)}")
    if options.rounds < 1:
        parser.error("--rounds: expected at least 1")
    where = machine()
    rows = list(measured(options.bench, options.rounds))
    missed = [r for r in rows if r.verdict == "missed"]
    met = [r for r in rows if r.verdict == "met"]
    print(" · ".join(f"{key} {value}" for key, value in where.items()))
    print(f"medians of {options.rounds} rounds; spread of what the target is for")
    print(table(missed + met + [r for r in rows if not r.verdict]))
    print(f"targets: {len(missed)} missed, {len(met)} met")
    if options.json is not None:
        report = {
            "targets": {
                "missed": [f"{r.target} {r.what}" for r in missed],
                "met": [f"{r.target} {r.what}" for r in met],
            },
            "machine": where,
            "rounds": options.rounds,
            "figures": [attrs.asdict(r) for r in rows],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
