"""T2: what starting and stopping many users' trees costs, and whether it grows with their number.

Counted is the processor's time: other programs take some of the clock's.
"""

from statistics import median
from time import process_time

import trio

from .figures import Figure, apart
from .trees import BareTrees, SupervisedTrees

FEW, MANY = 1000, 10_000
# The few are over so soon that whatever else happens shows.
TIMES = 3


async def _start_and_stop(make, number):
    trees = make()
    async with trees.running():
        begun = process_time()
        await trees.start(number)
        started = process_time()
    return started - begun, process_time() - started


def _measure(make, number):
    # What is done once only is done before.
    trio.run(_start_and_stop, make, 10)
    return trio.run(_start_and_stop, make, number)


def measure():
    pairs = [(_few(SupervisedTrees), _few(BareTrees)) for _ in range(TIMES)]
    for n, what in enumerate(("start", "stop")):
        yield Figure(
            target="T2",
            what=f"{what} {FEW:,} trees",
            unit="s",
            ours=median(ours[n] for ours, _ in pairs),
            against=median(bare[n] for _, bare in pairs),
            limit=1.6,
        )


def _few(make):
    return apart(_measure, make, FEW)


def measure_many():
    few = [_few(SupervisedTrees) for _ in range(TIMES)]
    ours, bare = (apart(_measure, make, MANY) for make in (SupervisedTrees, BareTrees))
    for n, what in enumerate(("start", "stop")):
        yield Figure(
            target="T2", what=f"{what} {MANY:,} trees", unit="s", ours=ours[n], against=bare[n]
        )
        yield Figure(
            target="T2",
            what=f"{what} {MANY:,} trees against {FEW:,}",
            unit="s",
            ours=ours[n],
            against=median(seconds[n] for seconds in few),
            limit=13.0,
        )
