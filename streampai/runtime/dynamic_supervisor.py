"""A supervisor of children that come and go at run time, each on its own.

users = DynamicSupervisor(name="users", max_children=1000)
await nursery.start(users.run)
child = await users.start_child(ChildSpec(id=42, start=run_user))
await users.terminate_child(42)          # or: terminate_child(child)
"""

from collections.abc import Callable, Hashable

import trio

from .backoff import Backoff
from .child import Child
from .child_owner import SlotState
from .child_slot import ChildSlot
from .child_spec import ChildSpec
from .errors import (
    AlreadyStarted,
    InvalidSpec,
    MaxChildren,
    NotFound,
    Restarting,
    StartFailed,
)
from .report import SupervisorReport
from .supervision import SLICE, Supervision


class DynamicSupervisor(Supervision):
    """one_for_one, begins empty, forgets whoever has ended for good, stops all at the same time.

    Children start and stop independently of each other: a slow start holds up
    nobody. ``max_children`` counts also those that are starting, stopping or
    being restarted; lowering it lets the present ones run.
    """

    def __init__(
        self,
        *,
        name: str,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        max_children: int | None = None,
        backoff: Backoff | None = None,
        report: Callable[[SupervisorReport], None] | None = None,
    ) -> None:
        super().__init__(
            name=name,
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            backoff=backoff,
            report=report,
        )
        self.max_children = max_children

    @property
    def max_children(self) -> int | None:
        return self._max_children

    @max_children.setter
    def max_children(self, limit: int | None) -> None:
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 0
        ):
            raise InvalidSpec("max_children", limit, "a whole number, at least 0, or None")
        self._max_children = limit

    async def start_child(self, spec: ChildSpec) -> Child:
        """Start one and wait until it is up.

        Raises AlreadyStarted, Restarting, MaxChildren, InvalidSpec,
        NotRunning, or StartFailed. After StartFailed, when it had nothing to
        run, and when this is cancelled, nothing of it remains.
        """
        self._check_spec(spec)
        self._check_running()
        present = self._slots.get(spec.id)
        if present is not None:
            if present.state is SlotState.RESTARTING:
                raise Restarting(spec.id)
            raise AlreadyStarted(spec.id, present.child)
        if self._max_children is not None and len(self._slots) >= self._max_children:
            raise MaxChildren(self._max_children)
        slot = self._slots[spec.id] = ChildSlot(spec, self)
        try:
            child = await slot.start()
        except (StartFailed, trio.Cancelled):
            self._forget(slot)
            raise
        if not child.up:
            self._forget(slot)
        return child

    async def terminate_child(self, child_or_id: Child | Hashable) -> None:
        """Stop a child, within its grace, and forget it; also one that is being restarted.

        By handle it means this generation only: one that has ended already is
        fine, but a handle whose successor runs raises NotFound, as does an
        unknown id. Raises NotRunning. Cancelling takes effect after it is done.
        """
        self._check_running()
        if isinstance(child_or_id, Child):
            slot = self._slot_of(child_or_id)
        else:
            slot = self._slot(child_or_id)
        if slot is not None:
            # Bounded by the child's grace; half a stop would leave a child nobody gives up on.
            with trio.CancelScope(shield=True):
                await slot.stop()
        await trio.lowlevel.checkpoint()

    def _slot_of(self, child: Child) -> ChildSlot | None:
        slot = self._slots.get(child.id)
        if slot is not None and (slot.child is child or _limbo_of(slot, child)):
            return slot
        if slot is None and child.outcome is not None and child._owner is self:
            return None
        raise NotFound(child.id)

    def _check_spec(self, spec: ChildSpec) -> None:
        if not isinstance(spec, ChildSpec):
            raise InvalidSpec("spec", spec, "a ChildSpec")
        if spec.significant:
            raise InvalidSpec("significant", True, "False under a DynamicSupervisor")

    async def _stop_all(self) -> None:
        slots = list(self._slots.values())
        waiting = []
        now = trio.current_time()
        for number, slot in enumerate(slots, 1):
            child = slot.ask_to_stop()
            if child is not None:
                waiting.append((now + slot.grace, number, slot, child))
            if number % SLICE == 0:
                await trio.lowlevel.cancel_shielded_checkpoint()
                now = trio.current_time()
        # In the order of their deadlines, waiting for one after the other is in time for all.
        waiting.sort(key=lambda entry: entry[:2], reverse=True)
        while waiting:
            with trio.CancelScope(shield=True) as scope:
                while waiting:
                    scope.deadline, _, _, child = waiting[-1]
                    if child.outcome is None:
                        await child.wait()
                    waiting.pop()
                    if scope.cancel_called:
                        # It ended at its deadline: the next must not be given up for it.
                        break
            if scope.cancelled_caught:
                _, _, slot, child = waiting.pop()
                slot.give_up(child)

    def _rest(self, slot: ChildSlot) -> None:
        self._forget(slot)


def _limbo_of(slot: ChildSlot, child: Child) -> bool:
    return slot.state is SlotState.RESTARTING and slot.known is child
