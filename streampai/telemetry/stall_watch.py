"""Notices from outside that Trio's loop stands still, and says where.

A task that computes for seconds, or calls what blocks, stops every other task,
also those that would report it. A task ticks; a thread looks whether it still
does. The thread only watches: what feeds systemd's watchdog is the loop alone,
so a loop that stays still is still restarted.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import CORO_RUNNING, getcoroutinestate

import trio

LOGGER = logging.getLogger("streampai")
STALLED = "livestream_manager.loop.stalled"
RESUMED = "livestream_manager.loop.resumed"

# The loop ticks and the thread looks so many times within the limit, but not
# more rarely than once a second.
_LOOKS = 4
_RAREST_LOOK = 1.0
# The thread waits for nothing else; it is a daemon, so leaving does not depend on it.
_FAREWELL = 1.0


class _Watch:
    """What loop and thread share: plain attributes, each written by one of them only."""

    def __init__(self, limit: float, *, clock: Callable[[], float]) -> None:
        self._limit = limit
        self.every = min(limit / _LOOKS, _RAREST_LOOK)
        self._clock = clock
        self._root = trio.lowlevel.current_root_task()
        self._loop_thread = threading.get_ident()
        self._tick = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="stall_watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(_FAREWELL)

    async def tick(self) -> None:
        """In the loop; runs until cancelled."""
        while True:
            self._tick = self._clock()
            await trio.sleep(self.every)

    # In the thread

    def _look_on(self) -> None:
        told_of: float | None = None
        looked = released = self._clock()
        while not self._over.wait(self.every):
            before, looked = looked, self._clock()
            tick = self._tick
            if told_of is not None and tick != told_of:
                self._say(logging.WARNING, RESUMED, seconds=tick - told_of)
                told_of = None
            if looked - before > self._limit:
                # This thread was late itself: the whole process was held (a suspended
                # machine, SIGSTOP, a C call that kept the lock). The loop gets its time anew.
                released = looked
            stood_still = looked - max(tick, released)
            if told_of is None and stood_still > self._limit:
                told_of = tick
                self._say(
                    logging.ERROR,
                    STALLED,
                    stack=self._stack(),
                    seconds=stood_still,
                    task=self._running_task(),
                )

    def _say(self, level: int, event: str, *, stack: str = "", **fields: object) -> None:
        LOGGER.log(level, event, extra={"fields": fields, "stack": stack})

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)
        return "" if frame is None else "".join(traceback.format_stack(frame)).rstrip()

    def _running_task(self) -> str:
        """The name of the task that holds the loop; "unknown" when it is none or cannot be told."""
        waiting = [] if self._root is None else [self._root]
        try:
            while waiting:
                task = waiting.pop()
                if getcoroutinestate(task.coro) == CORO_RUNNING:
                    return task.name
                for nursery in task.child_nurseries:
                    waiting.extend(nursery.child_tasks)
        except RuntimeError:
            # It does start and end tasks while we look; the stack says the rest.
            return "unknown"
        return "unknown"


@asynccontextmanager
async def open_stall_watch(
    limit: float, *, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[None]:
    """While the block lasts, log once when the loop has not turned for ``limit`` seconds, and once
    when it turns again.

    The first line (error) names the running task, if one can be told, and has the
    stack of the loop's thread; the second (warning) has the seconds it stood still. The
    block's end stops the thread; so does the end of the process.
    """
    watch = _Watch(limit, clock=clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.tick, name="loop_ticker")
        watch.start()
        try:
            yield
        finally:
            watch.stop()
            nursery.cancel_scope.cancel()
