"""One task of the live tree, and how it travels as JSON."""

from collections.abc import Mapping
from typing import Any

import attrs

from ..runtime import Budget, ChildNode, SupervisorNode

# What leads to other nodes or to what is alive; the tree itself says the rest.
_NOT_TOLD = ("handle", "supervisors", "task", "children")


@attrs.frozen(kw_only=True)
class TaskNode:
    """``stopping``: the task, or what it lives in, has been cancelled and is on its way out.

    ``child`` is there for a supervised child, also for one that has no task at
    this moment; ``supervisor`` for the task that a supervisor runs in, beneath
    which its children stand.
    """

    name: str
    stopping: bool = False
    child: ChildNode | None = None
    supervisor: SupervisorNode | None = None
    children: tuple["TaskNode", ...] = ()

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "stopping": self.stopping,
            "child": _told(self.child),
            "supervisor": _told(self.supervisor),
            "children": [child.as_dict() for child in self.children],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TaskNode":
        """The node that ``as_dict`` told of. Raises KeyError or TypeError for anything else."""
        child, supervisor = data["child"], data["supervisor"]
        return cls(
            name=str(data["name"]),
            stopping=bool(data["stopping"]),
            child=None if child is None else ChildNode(**_with_budget(child)),
            supervisor=None if supervisor is None else SupervisorNode(**_with_budget(supervisor)),
            children=tuple(cls.from_dict(child) for child in data["children"]),
        )


def _told(part: ChildNode | SupervisorNode | None) -> dict[str, Any] | None:
    if part is None:
        return None
    return attrs.asdict(part, filter=lambda field, _: field.name not in _NOT_TOLD)


def _with_budget(data: Mapping[str, Any]) -> dict[str, Any]:
    budget = data["budget"]
    return {**data, "budget": None if budget is None else Budget(**budget)}
