"""What a child's slot is doing, and what it needs of its supervisor."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from .child import Child, Outcome
from .report import ReportKind

if TYPE_CHECKING:
    from .child_slot import ChildSlot


class SlotState(Enum):
    STOPPED = "stopped"
    STARTING = "starting"  # for the first time, or on request
    RUNNING = "running"
    RESTARTING = "restarting"  # waiting for its next start, or in it
    STOPPING = "stopping"


class Owner(Protocol):
    """What a slot needs of its supervisor."""

    def spawn(self, keeper: Callable[..., Awaitable[Any]], child: Child) -> None: ...

    def child_ended(self, slot: "ChildSlot", child: Child, outcome: Outcome) -> float | None:
        """By itself. Seconds until the keeper runs it again; None leaves that to others."""

    def slot_stopped(self, slot: "ChildSlot") -> None:
        """As it was asked to."""

    def child_up(self, child: Child, restarted: bool) -> None: ...

    def tell(
        self, what: ReportKind, child: Child, outcome: Outcome | None = None, delay: float = 0.0
    ) -> None: ...

    def zombie_ended(self, child: Child) -> None: ...

    def crash(self, error: BaseException) -> None: ...
