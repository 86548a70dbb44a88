"""T3: how long a killed monitor is away, with many users' trees alive."""

from statistics import quantiles
from time import perf_counter

import trio

from .figures import Figure, apart
from .trees import MONITORS, Crash, SupervisedTrees

USERS = 1000
KILLS = 1000


async def _restarts():
    trees = SupervisedTrees()
    async with trees.running():
        await trees.start(USERS)
        told = trio.Event()
        registered_at = 0.0

        def listener(change):
            nonlocal registered_at
            if change.what == "registered":
                registered_at = perf_counter()
                told.set()

        trees.names.listen(listener)
        seconds = []
        for n in range(KILLS):
            # A different one each time: the first restart is the one that comes at once.
            mailbox = trees.names.lookup((MONITORS[n // USERS % len(MONITORS)], n % USERS))
            told = trio.Event()
            killed_at = perf_counter()
            mailbox.put(Crash)
            await told.wait()
            seconds.append(registered_at - killed_at)
        return seconds


def _measure():
    return trio.run(_restarts)


def measure():
    percentiles = quantiles(apart(_measure), n=100)
    for percent, limit in ((50, 0.5), (99, 5.0)):
        yield Figure(
            target="T3",
            what=f"killed to registered again, p{percent}",
            unit="ms",
            ours=percentiles[percent - 1] * 1000,
            limit=limit,
            absolute=True,
        )
