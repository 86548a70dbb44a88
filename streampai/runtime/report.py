"""What a supervisor tells about itself and its children."""

from collections.abc import Hashable
from typing import Literal

import attrs

from .child import Child
from .child_spec import ChildType

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
