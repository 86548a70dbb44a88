"""A bounded queue that is emptied at one go.

    mailbox = Mailbox[Order](100)
    mailbox.put(order)                  # or: await mailbox.send(order)
    for order in await mailbox.take():
        ...

A plain list and one parked reader: under load the reader gets everything that
has gathered for a single pass of the scheduler, several times as much as a
memory channel hands over one by one.
"""

from typing import Generic, TypeVar

import outcome
import trio

from .errors import MailboxClosed, MailboxFull

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Any number of writers, one reader. Items come out in the order they went in."""

    __slots__ = ("_items", "_reader", "_reason", "_writers", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity!r}: expected at least 1")
        self.capacity = capacity
        self._items: list[T] = []
        self._reason: str | None = None
        self._reader: trio.lowlevel.Task | None = None
        # Tasks in send() with their items, oldest first. While there are any, it is full.
        self._writers: dict[trio.lowlevel.Task, T] | None = None

    @property
    def depth(self) -> int:
        """Items that wait for the reader."""
        return len(self._items)

    @property
    def full(self) -> bool:
        return len(self._items) >= self.capacity

    @property
    def closed(self) -> bool:
        return self._reason is not None

    def put(self, item: T) -> None:
        """Put one in without waiting. Raises MailboxFull or MailboxClosed, and then did nothing."""
        if self._reason is not None:
            raise MailboxClosed(self._reason)
        if len(self._items) >= self.capacity:
            raise MailboxFull
        self._items.append(item)
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    async def send(self, item: T) -> None:
        """Put one in, waiting while there is no room. Raises MailboxClosed.

        A checkpoint. When cancelled, the item has not been put in.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.put(item)
        except MailboxFull:
            await self._wait_for_room(item)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def take(self) -> list[T]:
        """Everything that is in, at least one item; waits for it. A checkpoint.

        Raises MailboxClosed once it is closed and empty. When cancelled,
        everything stays in. Only one task may take.
        """
        if self._items or self._reason is not None:
            await trio.lowlevel.checkpoint()
        elif self._reader is not None:
            raise trio.BusyResourceError("another task is taking from this mailbox")
        else:
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort_take)
        items = self._items
        if not items and self._reason is not None:
            raise MailboxClosed(self._reason)
        self._items = []
        if self._writers:
            self._admit()
        return items

    def close(self, reason: str) -> None:
        """Let nothing more in. The reader still gets what is in. The first reason stands."""
        if self._reason is not None:
            return
        self._reason = reason
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None
        while self._writers:
            task = next(iter(self._writers))
            del self._writers[task]
            trio.lowlevel.reschedule(task, outcome.Error(MailboxClosed(reason)))

    async def _wait_for_room(self, item: T) -> None:
        if self._writers is None:
            self._writers = {}
        writers = self._writers
        task = trio.lowlevel.current_task()
        writers[task] = item

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            del writers[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _admit(self) -> None:
        # The reader puts the waiting items in itself: a woken writer would find its room taken.
        writers = self._writers
        while writers and len(self._items) < self.capacity:
            task = next(iter(writers))
            self._items.append(writers.pop(task))
            trio.lowlevel.reschedule(task)

    def _abort_take(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED
