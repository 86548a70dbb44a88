"""The live tree as an operator reads it: one task a line, in columns.

    TASK                         STATE       AGE  RESTARTS  BUDGET     MAIL
    root                                          0         0/0 in 5s
    └ livestream_manager         running     12s  0

RESTARTS and BUDGET of a supervised task are its own; those of the task that a
supervisor runs in are what all its children share. A budget is how much of it
is spent, of how much, in which time. What went wrong stands below the task.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence

import attrs

from ..runtime import Budget, ChildNode
from ..telemetry.task_node import TaskNode

WIDTH = 100
_TITLES = ("STATE", "AGE", "RESTARTS", "BUDGET", "MAIL")
_GAP = "  "
# What a crash says may be long; the log has all of it.
_REMARK_LINES = 3
# Trio's name for a task that nobody named: module, class and function.
_FUNCTION = re.compile(r"(?P<package>\w+)\.(?:\w+\.)*?(?P<function>(?:[A-Z]\w*\.)?\w+)")


@attrs.frozen
class _Row:
    name: str
    cells: tuple[str, ...] = ("",) * len(_TITLES)
    # A remark has no columns and may use the whole width.
    remark: bool = False


def picture(nodes: Sequence[TaskNode], *, width: int = WIDTH) -> str:
    """The tree as text, at most ``width`` columns wide, without a newline at the end."""
    rows = [_Row("TASK", _TITLES)]
    for node in nodes:
        rows += _rows(node, "", "", width)
    widths = [max(len(row.cells[n]) for row in rows) for n in range(len(_TITLES))]
    room = width - sum(widths) - len(_GAP) * len(widths)
    longest = min(room, max(len(row.name) for row in rows if not row.remark))
    return "\n".join(_line(row, longest, widths) for row in rows)


def _line(row: _Row, longest: int, widths: Sequence[int]) -> str:
    if row.remark:
        return row.name
    cells = [cell.ljust(w) for cell, w in zip(row.cells, widths, strict=True)]
    return _GAP.join([_cut(row.name, longest).ljust(longest), *cells]).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _rows(node: TaskNode, branch: str, beneath: str, width: int) -> Iterable[_Row]:
    yield _Row(branch + _short(node.name), _cells(node))
    trunk = beneath + ("│ " if node.children else "  ")
    for remark in _remarks(node):
        mark = "! "
        for line in _wrapped(remark, width - len(trunk) - len(mark)):
            yield _Row(trunk + mark + line, remark=True)
            mark = "  "
    for child in node.children:
        last = child is node.children[-1]
        branch, trunk = ("└ ", "  ") if last else ("├ ", "│ ")
        yield from _rows(child, beneath + branch, beneath + trunk, width)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), max_lines=_REMARK_LINES, placeholder=" …")


def _short(name: str) -> str:
    if (match := _FUNCTION.fullmatch(name)) is None:
        return name
    return f"{match['package']} {match['function']}"


def _cells(node: TaskNode) -> tuple[str, ...]:
    child, supervisor = node.child, node.supervisor
    state, age, restarts, budget, depth = "", "", "", "", ""
    if supervisor is not None:
        restarts, budget = str(supervisor.restarts), _budget(supervisor.budget)
    if child is not None:
        state = child.state
        age = "" if child.age is None else _time(child.age)
        restarts = str(child.restarts)
        budget = _budget(child.budget) or budget
        depth = "" if child.depth is None else str(child.depth)
    if node.stopping and state in ("", "running"):
        state = "stopping"
    return state, age, restarts, budget, depth


def _budget(budget: Budget | None) -> str:
    if budget is None:
        return ""
    return f"{budget.spent}/{budget.allowed} in {_time(budget.seconds)}"


def _remarks(node: TaskNode) -> Iterable[str]:
    if node.child is not None and (words := list(_troubles(node.child))):
        yield "; ".join(words)
    if node.supervisor is not None and node.supervisor.abandoned:
        yield f"{node.supervisor.abandoned} abandoned: they did not stop in their grace"


def _troubles(child: ChildNode) -> Iterable[str]:
    if child.delays:
        times = "" if child.delays == 1 else f" {child.delays} times"
        yield f"used up its budget{times}"
    if child.next_start is not None:
        yield f"next start in {_time(child.next_start)}"
    if child.fault:
        yield f"last end: {' '.join(child.fault.split())}"


def _time(seconds: float) -> str:
    # Coarse only where nothing is lost by it: a budget of 90s must not read as one of 2m.
    for unit, size, above in (("d", 86_400, 172_800), ("h", 3_600, 7_200), ("m", 60, 600)):
        if seconds >= above:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
