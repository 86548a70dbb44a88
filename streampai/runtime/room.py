"""Where a supervisor's children live: in a nursery that outlasts it.

A task that will not end keeps its nursery open. If that were the
supervisor's own, one stubborn child would hang its supervisor, and with it
all above. So children are started in the nearest room, which belongs to
somebody further out: every child of type SUPERVISOR gets one, and the program
opens the outermost around its top supervisor:

    async with open_room() as room:
        await supervisor.run()
        ...                                  # last words: everything has stopped or been given up
        if room.child_tasks:                 # abandoned tasks would hold the program here
            os._exit(1)

A top supervisor without a room makes one and then returns only when the last
abandoned task has ended. Nothing but the end of the process stops a task that
refuses to.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import trio

_current_room: ContextVar[trio.Nursery | None] = ContextVar("current_room", default=None)


def current_room() -> trio.Nursery | None:
    """The nearest room around the calling task."""
    return _current_room.get()


def enter_room(room: trio.Nursery | None) -> None:
    """Make it the nearest room of the calling task; afterwards, forget it.

    Task, context and nursery would otherwise hold each other until the garbage
    collector comes.
    """
    _current_room.set(room)


@asynccontextmanager
async def open_room() -> AsyncIterator[trio.Nursery]:
    """A room for supervisors that run inside the block.

    The block is left when no task is left in it. As with every nursery, an
    exception leaves it inside an exception group.
    """
    async with trio.open_nursery() as nursery:
        token = _current_room.set(nursery)
        try:
            yield nursery
        finally:
            _current_room.reset(token)
