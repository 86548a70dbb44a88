"""The live tree of tasks, with what their supervisors know of them: ``streampai tree``.

Tasks are named after their registry keys, so the tree, the registry and a log
line can be laid side by side. Trio knows supervised tasks as children of the
room they live in; here they stand beneath their supervisor, which is who
starts and stops them.
"""

import attrs
import trio

from ..runtime import Child, ChildNode, SupervisorNode, supervised_child
from .task_node import TaskNode

# Trio's own task beside the main one; the root above both, ``<init>``, is not shown either.
_TRIOS_OWN = "<TrioToken.run_sync_soon task>"


@attrs.define(eq=False)
class _Branch:
    """A node that may yet be given another place."""

    name: str
    stopping: bool = False
    child: ChildNode | None = None
    supervisor: SupervisorNode | None = None
    children: "list[_Branch]" = attrs.field(factory=list)

    def node(self) -> TaskNode:
        # A nursery keeps its tasks in a set, which has no order of its own.
        children = sorted(self.children, key=lambda branch: _natural(branch.name))
        return TaskNode(
            name=self.name,
            stopping=self.stopping,
            child=self.child,
            supervisor=self.supervisor,
            children=tuple(branch.node() for branch in children),
        )


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in name.split("/")
    ]


class _Growth:
    def __init__(self) -> None:
        self.top = _Branch("")
        self._of_task: dict[trio.lowlevel.Task, _Branch] = {}
        # The task of a supervised child, and beneath what it was found.
        self._of_child: dict[Child, tuple[_Branch, _Branch]] = {}

    def grow(self, task: trio.lowlevel.Task, branch: _Branch) -> None:
        """Hang everything that runs in the nurseries of ``task`` beneath ``branch``."""
        for nursery in task.child_nurseries:
            stopping = branch.stopping or nursery.cancel_scope.cancel_called
            for inner in nursery.child_tasks:
                if inner.name == _TRIOS_OWN:
                    continue
                found = self._of_task[inner] = _Branch(inner.name, stopping)
                branch.children.append(found)
                child = supervised_child(inner)
                # What a child has started knows it too; the child's own task is the outermost.
                if child is not None and inner.name == child.name:
                    self._of_child.setdefault(child, (found, branch))
                self.grow(inner, found)

    def place(self, supervisor: SupervisorNode) -> None:
        """Hang the supervisor's children beneath it, and so on down."""
        home = None if supervisor.task is None else self._of_task.get(supervisor.task)
        if home is None:
            home = _Branch(supervisor.name)
            self.top.children.append(home)
        home.supervisor = supervisor
        for child in supervisor.children:
            branch = _Branch(child.name)
            if child.handle is not None and child.handle in self._of_child:
                branch, found_beneath = self._of_child[child.handle]
                found_beneath.children.remove(branch)
            branch.child = child
            home.children.append(branch)
            for inner in child.supervisors:
                self.place(inner)


def task_tree(*supervisors: SupervisorNode) -> list[TaskNode]:
    """Every task of this Trio run but Trio's own, as it is at this moment.

    ``supervisors`` are the outermost ones, as told by their ``tree()`` in this
    same moment. Their children that have no task now, for instance those that
    were stopped, are there as well.
    """
    root = trio.lowlevel.current_root_task()
    growth = _Growth()
    if root is not None:
        growth.grow(root, growth.top)
    for supervisor in supervisors:
        growth.place(supervisor)
    return list(growth.top.node().children)
