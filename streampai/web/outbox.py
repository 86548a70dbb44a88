"""What waits to be written to one browser, counted in bytes.

Replies and pushes go through the same queue, so a reply stands before every
push that came after it. Nobody who puts something in ever waits.
"""

import trio

from ..runtime import Mailbox, MailboxClosed, MailboxFull

# The shortest message has two bytes, so bytes always run out before items do.
_MAX_MESSAGES = 1 << 26


class Outbox:
    """Encoded messages for one browser. Only the browser's writer takes them out.

    ``limit`` bounds the bytes of pushes. Replies are not held against a slow
    reader: they are as many as its own commands, which stop being worked off
    while :meth:`room` has not returned.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._mailbox: Mailbox[bytes] = Mailbox(_MAX_MESSAGES)
        # Bytes that wait, and bytes that were taken and are being written.
        self._pushes = self._replies = 0
        self._pushes_out = self._replies_out = 0
        self._dropped = False
        self._emptier: trio.Event | None = None

    @property
    def waiting(self) -> int:
        """Bytes, those being written included."""
        return self._pushes + self._pushes_out + self._replies + self._replies_out

    def push(self, message: bytes) -> None:
        """Raises MailboxFull beyond the limit, MailboxClosed after ``close``.

        One message alone is never too large.
        """
        waiting = self._pushes + self._pushes_out
        if waiting and waiting + len(message) > self._limit:
            raise MailboxFull
        self._mailbox.put(message)
        self._pushes += len(message)

    def reply(self, message: bytes) -> None:
        """Raises MailboxClosed after ``close``."""
        self._mailbox.put(message)
        self._replies += len(message)

    async def room(self) -> None:
        """Waits until no more than half the limit is waiting, or nothing is written any more."""
        while self.waiting > self._limit // 2 and not self._mailbox.closed:
            self._emptier = self._emptier or trio.Event()
            await self._emptier.wait()

    async def take(self) -> list[bytes]:
        """Everything that waits. What the take before gave out counts as written now.

        Raises MailboxClosed after ``close``, when everything else is out.
        """
        self._pushes_out = self._replies_out = 0
        self._wake()
        messages = await self._mailbox.take()
        if self._dropped:
            raise MailboxClosed("dropped")
        self._pushes_out, self._pushes = self._pushes, 0
        self._replies_out, self._replies = self._replies, 0
        return messages

    def close(self, *, drop: bool) -> None:
        """Lets nothing more in; with ``drop`` nothing more out either."""
        self._dropped = self._dropped or drop
        self._mailbox.close("closing")
        self._wake()

    def _wake(self) -> None:
        if self._emptier is not None:
            self._emptier.set()
            self._emptier = None
