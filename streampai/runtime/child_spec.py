"""What a supervisor is told about a child: how to start it, when to restart it, how to stop it."""

import math
from collections.abc import Awaitable, Callable, Hashable
from enum import Enum
from typing import Any

import attrs

from .errors import InvalidSpec


class Restart(Enum):
    """When a child that has ended by itself is started again."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # after a failure only
    TEMPORARY = "temporary"  # never; it is forgotten


class ChildType(Enum):
    WORKER = "worker"
    SUPERVISOR = "supervisor"  # what runs in it supervises others


class Strategy(Enum):
    """Who is restarted when a child of a Supervisor failed."""

    ONE_FOR_ONE = "one_for_one"  # it alone
    ONE_FOR_ALL = "one_for_all"  # all of them
    REST_FOR_ONE = "rest_for_one"  # it and those started after it


class AutoShutdown(Enum):
    """Whether a Supervisor ends when its significant children have ended by themselves."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class _Ignore(Enum):
    IGNORE = "ignore"

    def __repr__(self) -> str:
        return "IGNORE"


IGNORE = _Ignore.IGNORE
"""``task_status.started(IGNORE)``: there is nothing to run, and that is no error."""


def display_name(id: Hashable) -> str:
    """An id as it stands in the task tree: a tuple's parts are joined by "/"."""
    return "/".join(map(str, id)) if isinstance(id, tuple) else str(id)


@attrs.frozen(kw_only=True)
class ChildSpec:
    """Checked when made: raises InvalidSpec, so no supervisor ever sees a wrong one.

    ``start`` is awaited as ``start(task_status=...)`` and is the child: it
    calls ``task_status.started(value)`` when others may rely on it, and the
    child has ended when it returns or raises. It is called anew for each
    start and must make its objects inside.

    ``shutdown`` is the grace in seconds between asking the child to stop and
    giving it up; ``math.inf`` waits for ever, 0 does not wait for a clean-up.
    It is 5 s for a worker and without limit for a supervisor, which keeps the
    limits of its own children. ``name`` is the task's name; by default the id.
    ``significant`` counts for the supervisor's auto_shutdown.
    ``handshake=False`` is for children that never call ``started``: they count
    as up after their first step. ``restart_later``: after too many restarts,
    counted for this child alone, it is started again so many seconds later,
    and its supervisor does not fail.
    """

    id: Hashable
    start: Callable[..., Awaitable[Any]]
    restart: Restart = Restart.PERMANENT
    type: ChildType = ChildType.WORKER
    shutdown: float = attrs.field(
        default=attrs.Factory(lambda self: _default_grace(self.type), takes_self=True)
    )
    significant: bool = False
    name: str = ""
    handshake: bool = True
    restart_later: float | None = None

    def __attrs_post_init__(self) -> None:
        if not callable(self.start):
            raise InvalidSpec("start", self.start, "an async function")
        if not isinstance(self.restart, Restart):
            raise InvalidSpec("restart", self.restart, "a Restart")
        if not isinstance(self.type, ChildType):
            raise InvalidSpec("type", self.type, "a ChildType")
        if not _is_seconds(self.shutdown):
            raise InvalidSpec("shutdown", self.shutdown, "seconds, at least 0")
        if not isinstance(self.name, str):
            raise InvalidSpec("name", self.name, "a string")
        if self.significant and self.restart is Restart.PERMANENT:
            expected = "False for a permanent child, which never ends for good"
            raise InvalidSpec("significant", True, expected)
        later = self.restart_later
        if later is not None and not (_is_seconds(later) and later < math.inf):
            raise InvalidSpec("restart_later", later, "finite seconds, at least 0, or None")
        try:
            hash(self.id)
        except TypeError:
            raise InvalidSpec("id", self.id, "something hashable") from None
        if not self.name:
            object.__setattr__(self, "name", display_name(self.id))


def _default_grace(type: ChildType) -> float:
    return math.inf if type is ChildType.SUPERVISOR else 5.0


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
