"""Asking a supervisor about its children: plain calls that answer at any time."""

from collections.abc import Hashable

from .child import Child
from .child_owner import SlotState
from .child_slot import ChildSlot
from .child_spec import ChildSpec, ChildType
from .errors import NotFound
from .report import ChildCounts, ChildInfo


class Introspection:
    """The part of a supervisor that only reads."""

    def __init__(self) -> None:
        # In start order.
        self._slots: dict[Hashable, ChildSlot] = {}

    def which_children(self) -> list[ChildInfo]:
        """Every child known, newest first; none before ``run()`` and after it."""
        return [
            ChildInfo(
                slot.spec.id,
                slot.child if slot.state is SlotState.RUNNING else None,
                slot.spec.type,
                slot.state.value,
            )
            for slot in reversed(self._slots.values())
        ]

    def count_children(self) -> ChildCounts:
        """Equal to counting ``which_children()``."""
        slots = self._slots.values()
        supervisors = sum(slot.spec.type is ChildType.SUPERVISOR for slot in slots)
        active = sum(slot.state is SlotState.RUNNING for slot in slots)
        return ChildCounts(len(slots), active, supervisors, len(slots) - supervisors)

    def child(self, id: Hashable) -> Child | None:
        """The handle of a running child, None when it does not run. Raises NotFound."""
        slot = self._slot(id)
        return slot.child if slot.state is SlotState.RUNNING else None

    def child_spec(self, id: Hashable) -> ChildSpec:
        """What the child was started from. Raises NotFound."""
        return self._slot(id).spec

    def _slot(self, id: Hashable) -> ChildSlot:
        try:
            return self._slots[id]
        except (KeyError, TypeError):
            raise NotFound(id) from None
