"""Keeping Python's garbage collector from stopping the event loop.

With the default thresholds a hundred thousand live objects are walked again
and again while nothing is to be found: pauses of a tenth of a second with a
thousand users, of seconds with ten thousand. HTTP requests and WebSocket
handshakes do leave cycles behind, so collecting stays on but becomes rare.

    tame_garbage_collector()                 # once, when everything is imported
    nursery.start_soon(partial(collect_garbage_forever, interval=3600.0))
"""

import gc
from collections.abc import Callable
from time import perf_counter

import trio

YOUNG_OBJECTS = 100_000
YOUNG_COLLECTIONS = 50
MIDDLE_COLLECTIONS = 1_000


def tame_garbage_collector() -> None:
    """Collect once, exempt what is alive from further collections, and collect rarely.

    Process-wide, and therefore called by the program, never by a library.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS)


async def collect_garbage_forever(
    *,
    interval: float,
    on_collected: Callable[[float, int], None] | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Collect everything each ``interval`` seconds; a task for a supervisor.

    ``on_collected(seconds, objects)`` tells how long the loop stood still and
    how much was found. Cancelling stops it between two collections.
    """
    task_status.started()
    while True:
        await trio.sleep(interval)
        started = perf_counter()
        found = gc.collect()
        if on_collected is not None:
            on_collected(perf_counter() - started, found)
