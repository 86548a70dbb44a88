"""What a supervision tree looks like at one moment, as plain data.

``supervisor.tree()`` tells of the supervisor, its children, the supervisors
that run inside these, and so on down. It reads what is there and changes
nothing; supervisors inside children are found by themselves.
"""

from typing import TYPE_CHECKING, Literal

import attrs
import trio

from .child import Child
from .child_owner import SlotState
from .server import Server

if TYPE_CHECKING:
    from .child_slot import ChildSlot
    from .supervision import Supervision


@attrs.frozen(kw_only=True)
class Budget:
    """``spent`` of ``allowed`` restarts in the last ``seconds``; one more than allowed bites."""

    spent: int
    allowed: int
    seconds: float


@attrs.frozen(kw_only=True)
class ChildNode:
    """One child; ``handle`` and ``supervisors`` lead on to what is alive.

    An abandoned one is a task that did not stop in its grace and still runs,
    beside the entry of its successor if there is one. ``age`` is the present
    life's, in seconds; None between two lives. ``restarts`` counts those since
    it was added. ``budget`` is its own, if it has one, and ``delays`` how often
    that was used up; ``next_start`` is in so many seconds, None when none is
    due. ``fault`` is what its last life ended with, "" in its first. ``depth``
    is what waits in its mailbox; None when what it gave to ``started`` is no
    Server.
    """

    name: str
    type: Literal["worker", "supervisor"]
    state: Literal["running", "restarting", "stopped", "starting", "stopping", "abandoned"]
    age: float | None = None
    restarts: int = 0
    delays: int = 0
    next_start: float | None = None
    fault: str = ""
    depth: int | None = None
    budget: Budget | None = None
    handle: Child | None = attrs.field(default=None, eq=False, repr=False)
    supervisors: tuple["SupervisorNode", ...] = ()


@attrs.frozen(kw_only=True)
class SupervisorNode:
    """One supervisor; ``strategy`` is "dynamic" for one without a fixed list.

    ``restarts`` counts all it has done, ``budget`` what its children share (those
    with one of their own do not draw on it). ``task`` is the one ``run`` is called in.
    """

    name: str
    strategy: str
    restarts: int
    abandoned: int
    budget: Budget
    task: trio.lowlevel.Task | None = attrs.field(default=None, eq=False, repr=False)
    children: tuple[ChildNode, ...] = ()


def supervision_tree(supervisor: "Supervision") -> SupervisorNode:
    """Children in start order, then who was abandoned. To be called inside Trio."""
    now = trio.current_time()
    statistics = supervisor.statistics()
    strategy = getattr(supervisor, "strategy", None)
    limit = supervisor._limit
    return SupervisorNode(
        name=supervisor.name,
        strategy="dynamic" if strategy is None else strategy.value,
        restarts=statistics.restarts,
        abandoned=statistics.abandoned,
        budget=Budget(
            spent=limit.spent(now), allowed=limit.max_restarts, seconds=limit.max_seconds
        ),
        task=supervisor._task,
        children=(
            *(_describe_slot(slot, now) for slot in supervisor._slots.values()),
            *(_describe_zombie(child, now) for child in supervisor._zombies),
        ),
    )


def _describe_slot(slot: "ChildSlot", now: float) -> ChildNode:
    child = slot.child
    alive = child is not None and child.outcome is None
    own = slot.limit
    return ChildNode(
        name=slot.spec.name,
        type=slot.spec.type.value,
        state=slot.state.value,
        age=now - child.born if child is not None and alive else None,
        restarts=max(0, slot.generation - 1),
        delays=slot.delays,
        next_start=max(0.0, slot.due - now)
        if slot.between_lives and slot.state is SlotState.RESTARTING
        else None,
        fault=slot.fault,
        depth=child.value.depth
        if child is not None and alive and isinstance(child.value, Server)
        else None,
        budget=None
        if own is None
        else Budget(spent=own.spent(now), allowed=own.max_restarts, seconds=own.max_seconds),
        handle=child,
        supervisors=_supervisors(child),
    )


def _describe_zombie(child: Child, now: float) -> ChildNode:
    return ChildNode(
        name=child.name,
        type="supervisor" if child.supervisors else "worker",
        state="abandoned",
        age=now - child.born,
        handle=child,
        supervisors=_supervisors(child),
    )


def _supervisors(child: Child | None) -> tuple[SupervisorNode, ...]:
    return () if child is None else tuple(supervision_tree(inner) for inner in child.supervisors)
