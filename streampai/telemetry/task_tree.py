"""The live tree of tasks, by their names: what ``streampai tree`` shows.

Tasks are named after their registry keys, so the tree, the registry and a log
line can be laid side by side.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import trio


@attrs.frozen(kw_only=True)
class TaskNode:
    """``stopping``: the task, or what it lives in, has been cancelled and is on its way out."""

    name: str
    stopping: bool = False
    children: tuple["TaskNode", ...] = ()

    def as_dict(self) -> dict[str, object]:
        return {
            "name": self.name,
            "stopping": self.stopping,
            "children": [child.as_dict() for child in self.children],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "TaskNode":
        """The node that ``as_dict`` told of. Raises KeyError or TypeError for anything else."""
        return cls(
            name=str(data["name"]),
            stopping=bool(data["stopping"]),
            children=tuple(cls.from_dict(child) for child in data["children"]),
        )


# Trio's own task beside the main one; the root above both, ``<init>``, is not shown either.
_TRIOS_OWN = "<TrioToken.run_sync_soon task>"


def _children(task: trio.lowlevel.Task, stopping: bool) -> tuple[TaskNode, ...]:
    nodes = [
        _node(child, stopping or nursery.cancel_scope.cancel_called)
        for nursery in task.child_nurseries
        for child in nursery.child_tasks
        if child.name != _TRIOS_OWN
    ]
    # A nursery keeps its tasks in a set, which has no order of its own.
    return tuple(sorted(nodes, key=lambda node: _natural(node.name)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in name.split("/")
    ]


def _node(task: trio.lowlevel.Task, stopping: bool) -> TaskNode:
    return TaskNode(name=task.name, stopping=stopping, children=_children(task, stopping))


def task_tree() -> list[TaskNode]:
    """Every task of this Trio run but Trio's own, as it is at this moment."""
    root = trio.lowlevel.current_root_task()
    return [] if root is None else list(_children(root, False))


def _lines(nodes: Sequence[TaskNode], indent: str) -> Iterable[str]:
    for node in nodes:
        last = node is nodes[-1]
        mark = " (stopping)" if node.stopping else ""
        yield f"{indent}{'└── ' if last else '├── '}{node.name}{mark}"
        yield from _lines(node.children, indent + ("    " if last else "│   "))


def render(nodes: Sequence[TaskNode]) -> str:
    """The tree as text, one line a task, without a newline at the end."""
    lines: list[str] = []
    for node in nodes:
        lines.append(node.name + (" (stopping)" if node.stopping else ""))
        lines.extend(_lines(node.children, ""))
    return "\n".join(lines)
