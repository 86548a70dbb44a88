"""T1: what one user's tree takes in memory."""

import trio

from .figures import Figure, apart, resident_memory
from .trees import TASKS, BareTrees, SupervisedTrees

USERS = 1000


async def _bytes_per_tree(make):
    trees = make()
    async with trees.running():
        before = resident_memory()
        await trees.start(USERS)
        return (resident_memory() - before) / USERS


def _measure(make):
    return trio.run(_bytes_per_tree, make)


def measure():
    yield Figure(
        target="T1",
        what=f"memory of a tree of {TASKS} tasks",
        unit="KiB",
        ours=apart(_measure, SupervisedTrees) / 1024,
        against=apart(_measure, BareTrees) / 1024,
        limit=1.4,
    )
