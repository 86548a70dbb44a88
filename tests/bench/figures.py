"""What a round of measuring gives, and a place apart to measure in."""

import gc
import multiprocessing
import os
from collections.abc import Callable
from typing import TypeVar

import attrs

from streampai.runtime import tame_garbage_collector

T = TypeVar("T")

# No single measurement takes longer, in seconds; one that does has failed.
TIME_LIMIT = 60.0


@attrs.frozen(kw_only=True)
class Figure:
    """``ours`` and what it is ``against``, most often bare Trio.

    ``limit`` is for their ratio; with ``absolute`` for ``ours`` alone, and
    ``against`` is told only for comparison. None: there is no target.
    """

    target: str
    what: str
    unit: str
    ours: float
    against: float | None = None
    limit: float | None = None
    absolute: bool = False

    @property
    def ratio(self) -> float | None:
        return None if self.against is None else self.ours / self.against

    @property
    def judged(self) -> float:
        return self.ours if self.absolute or self.ratio is None else self.ratio


def apart(measure: Callable[..., T], *arguments: object) -> T:
    """Call it in a process that begins as this one is now, the garbage collector tamed.

    So neither side finds the other's memory, free or used, and a second
    measurement begins as the first one did. Raises multiprocessing.TimeoutError.
    """
    with multiprocessing.get_context("fork").Pool(1, tame_garbage_collector) as pool:
        return pool.apply_async(measure, arguments).get(TIME_LIMIT)


def resident_memory() -> int:
    """Bytes of this process that are in memory, after a full collection."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
