"""What a supervisor tells about itself and its children."""

from collections.abc import Callable, Hashable
from typing import Literal, get_args

import attrs

from .child import Child
from .child_spec import ChildType
from .description import BREADTH, LIMIT, describe, one_line, shortened

ReportKind = Literal[
    "started", "exited", "restarting", "restart_failed", "abandoned", "limit_reached", "delayed"
]


@attrs.frozen(kw_only=True)
class SupervisorReport:
    """One thing that happened to a child, as told to the ``report`` callable.

    started: by the supervisor itself, not on request · exited: ``reason`` says
    how · restarting: after ``delay`` s · restart_failed: it ended before it
    was up · abandoned: it did not stop within its grace · limit_reached: the
    supervisor gives up · delayed: too many restarts, next one after ``delay`` s.
    """

    supervisor: str
    child: str
    what: ReportKind
    reason: str = ""
    error: BaseException | None = None
    delay: float = 0.0

    def format(
        self, *, single_line: bool = True, limit: int = LIMIT, breadth: int = BREADTH
    ) -> str:
        """In words, at most ``limit`` characters, the same ones on one line or on several.

        Of an exception group the number and the first ``breadth`` are told.
        """
        parts = [f"{self.supervisor}: {self.child} {self.what}"]
        if self.what in ("restarting", "delayed"):
            parts.append(f"after {self.delay:g} s")
        if isinstance(self.error, BaseExceptionGroup):
            parts.append(describe(self.error, breadth=breadth, limit=limit))
        elif self.reason:
            parts.append(one_line(self.reason, limit))
        return shortened((", " if single_line else "\n  ").join(parts), limit)


@attrs.frozen
class ChildInfo:
    """A line of ``which_children()``. ``child`` is None unless ``status`` is "running"."""

    id: Hashable
    child: Child | None
    type: ChildType
    status: Literal["running", "restarting", "stopped", "starting", "stopping"]


@attrs.frozen
class ChildCounts:
    """``specs`` known, of them ``active`` up; and how many are of which type."""

    specs: int
    active: int
    supervisors: int
    workers: int


@attrs.define
class SupervisorStatistics:
    """Counted since ``run()`` was called; ``zombies`` are abandoned tasks alive now."""

    starts: int = 0
    exits: int = 0
    restarts: int = 0
    abandoned: int = 0
    zombies: int = 0


Report = Callable[[SupervisorReport], None]


def silenced(report: Report, *kinds: ReportKind) -> Report:
    """``report`` without reports of these kinds. Raises ValueError when there is no such kind."""
    for kind in kinds:
        if kind not in get_args(ReportKind):
            raise ValueError(f"{kind!r}: expected one of {', '.join(get_args(ReportKind))}")

    def filtered(told: SupervisorReport) -> None:
        if told.what not in kinds:
            report(told)

    return filtered
