"""What a Supervisor is told its children are: checked as a whole, before anything is changed."""

from collections.abc import Hashable, Iterable, Mapping
from enum import Enum

from .child_owner import Owner
from .child_slot import ChildSlot
from .child_spec import AutoShutdown, ChildSpec
from .errors import InvalidSpec


def declared(
    children: Iterable[ChildSpec], auto_shutdown: AutoShutdown
) -> dict[Hashable, ChildSpec]:
    """By id, in their order. Raises InvalidSpec."""
    specs: dict[Hashable, ChildSpec] = {}
    for spec in children:
        check_child(spec, auto_shutdown)
        if spec.id in specs:
            raise InvalidSpec("id", spec.id, "an id that no other child has")
        specs[spec.id] = spec
    return specs


def changed_slots(
    slots: Mapping[Hashable, ChildSlot], specs: Mapping[Hashable, ChildSpec], owner: Owner
) -> dict[Hashable, ChildSlot]:
    """Those of ``specs`` in their order, then the others; new ones wait for ``restart_child``.

    Raises InvalidSpec for one that would become another type of child.
    """
    changed: dict[Hashable, ChildSlot] = {}
    for id, spec in specs.items():
        slot = slots.get(id)
        if slot is None:
            slot = ChildSlot(spec, owner)
            slot.held = True
        else:
            check_same_type(slot, spec)
        changed[id] = slot
    for id, slot in slots.items():
        changed.setdefault(id, slot)
    return changed


def check_child(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    if not isinstance(spec, ChildSpec):
        raise InvalidSpec("children", spec, "a ChildSpec")
    if spec.significant and auto_shutdown is AutoShutdown.NEVER:
        raise InvalidSpec("significant", True, "an auto_shutdown other than NEVER")


def check_same_type(slot: ChildSlot, spec: ChildSpec) -> None:
    if spec.type is not slot.spec.type:
        # What a supervisor needs around it is made when its keeper starts.
        raise InvalidSpec("type", spec.type, f"{slot.spec.type}, as the child has been so far")


def check_choice(field: str, value: object, enum: type[Enum]) -> None:
    if not isinstance(value, enum):
        raise InvalidSpec(field, value, "one of " + ", ".join(member.name for member in enum))
