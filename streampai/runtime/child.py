"""A supervised child as others see it: its handle, and how it ended."""

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import Any, Literal

import attrs
import trio

from .description import describe, leaves, one_line
from .errors import Shutdown


@attrs.frozen
class Outcome:
    """How a child ended.

    normal: it returned · shutdown: it was asked to stop, or raised Shutdown ·
    error: it raised anything else · killed: stopped without a grace ·
    abandoned: it did not stop within its grace and its task lives on ·
    ignored: it had nothing to run.
    """

    how: Literal["normal", "shutdown", "error", "killed", "abandoned", "ignored"]
    error: BaseException | None = None
    info: object = None
    # It asked to be started again; see Shutdown.
    again: bool = False

    @property
    def failed(self) -> bool:
        return self.how == "error"

    @property
    def to_be_restarted(self) -> bool:
        """Whether a transient child is restarted after it."""
        return self.failed or self.again

    @property
    def reason(self) -> str:
        """For logs: one line of limited length."""
        if self.error is not None and self.how == "error":
            return describe(self.error)
        return self.how if self.info is None else one_line(f"{self.how}: {self.info}")


def is_fatal(error: BaseException) -> bool:
    """Whether it is meant for the root of the program, as KeyboardInterrupt and SystemExit are."""
    return any(not isinstance(leaf, Exception | trio.Cancelled) for leaf in leaves(error))


def outcome_of_error(error: BaseException) -> Outcome:
    """Classified by its leaves: orderly only if every one of them is a Shutdown."""
    ends = list(leaves(error))
    shutdowns = [leaf for leaf in ends if isinstance(leaf, Shutdown)]
    if len(shutdowns) == len(ends):
        again = any(leaf.restart for leaf in shutdowns)
        return Outcome("shutdown", error, shutdowns[0].info, again)
    return Outcome("error", error)


class Child:
    """The handle of one generation of a child: it never addresses a successor.

    ``value`` is what the child gave to ``started()``. ``outcome`` is None
    until it has ended. A supervisor gives handles out; nobody else makes them.
    """

    __slots__ = (
        "_ended",
        "_on_settled",
        "_owner",
        "_scope",
        "asked",
        "born",
        "generation",
        "id",
        "name",
        "outcome",
        "supervisors",
        "up",
        "value",
    )

    def __init__(self, id: Hashable, name: str, generation: int, owner: object) -> None:
        self._owner = owner
        self.id = id
        self.name = name
        self.generation = generation
        # On Trio's clock.
        self.born = trio.current_time()
        # Those that run inside it, so that a tree can be told from its root.
        self.supervisors: tuple[Any, ...] = ()
        self.value: Any = None
        self.outcome: Outcome | None = None
        # Whether it has said that it started, and whether it was asked to stop.
        self.up = False
        self.asked = False
        # Shielded: an outer cancellation reaches the supervisor, which then
        # stops its children one after the other, each with its grace.
        self._scope = trio.CancelScope(shield=True)
        # Called once when it is up or has ended, whichever is first.
        self._on_settled: Callable[[], None] | None = None
        # Made when somebody waits; most children are never waited for.
        self._ended: trio.Event | None = None

    @property
    def running(self) -> bool:
        """Up, and not ended as far as its supervisor is concerned."""
        return self.up and self.outcome is None

    @property
    def started(self) -> bool:
        """It came up, or said that it has nothing to run."""
        return self.up or (self.outcome is not None and self.outcome.how == "ignored")

    async def wait(self) -> Outcome:
        """Wait until it has ended and tell how. Cancelling only ends the waiting."""
        if self.outcome is not None:
            await trio.lowlevel.checkpoint()
        else:
            if self._ended is None:
                self._ended = trio.Event()
            await self._ended.wait()
        assert self.outcome is not None
        return self.outcome

    def __repr__(self) -> str:
        state = "running" if self.running else (self.outcome.how if self.outcome else "starting")
        return f"<Child {self.name} #{self.generation} {state}>"

    # The rest is for its supervisor.

    def _ask_to_stop(self) -> None:
        self.asked = True
        self._scope.cancel()

    async def _settled(self) -> None:
        if not self.up and self.outcome is None:
            event = trio.Event()
            self._on_settled = event.set
            await event.wait()

    def _come_up(self, value: object) -> None:
        self.up = True
        self.value = value

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._ended is not None:
            self._ended.set()

    def _tell_settled(self) -> None:
        # Apart from the two above, so that its slot is in its new state by then.
        told, self._on_settled = self._on_settled, None
        if told is not None:
            told()


_current_child: ContextVar[Child | None] = ContextVar("current_child", default=None)


def current_child() -> Child | None:
    """The supervised child in whose task, or a task of whose, this is called; or None."""
    return _current_child.get()


def supervised_child(task: trio.lowlevel.Task) -> Child | None:
    """The child that ``task`` is, or belongs to; of a task between two lives, the last one."""
    return task.context.get(_current_child)


def enter_child(child: Child) -> None:
    """Make it the current child of the calling task."""
    _current_child.set(child)
