"""What waits to be written to one browser, counted in bytes.

Replies and pushes go through the same queue, so a reply stands before every
push that came after it. Nobody who puts something in ever waits.
"""

import trio

from ..runtime import Mailbox, MailboxClosed, MailboxFull

# The shortest push is some 60 bytes, so bytes always run out before items do.
_MAX_FRAMES = 1 << 20


class Outbox:
    """Encoded messages for one browser. Only the browser's writer takes them out.

    ``limit`` bounds the bytes of pushes. Replies are not held against a slow
    reader: they are as many as its own commands, which stop being worked off
    while :meth:`room` has not returned.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._mailbox: Mailbox[tuple[bytes, bool]] = Mailbox(_MAX_FRAMES)
        self._pushed = 0
        self._replied = 0
        self._dropped = False
        self._writing = (0, 0)
        self._emptier = trio.Event()

    @property
    def waiting(self) -> int:
        """Bytes, those being written included."""
        return self._pushed + self._replied

    def push(self, frame: bytes) -> None:
        """Raises MailboxFull beyond the limit, MailboxClosed after ``close``."""
        if self._pushed + len(frame) > self._limit and self._pushed:
            raise MailboxFull
        self._mailbox.put((frame, True))
        self._pushed += len(frame)

    def reply(self, frame: bytes) -> None:
        """Raises MailboxClosed after ``close``."""
        self._mailbox.put((frame, False))
        self._replied += len(frame)

    async def room(self) -> None:
        """Waits until less than half the limit is waiting."""
        while self.waiting > self._limit // 2 and not self._mailbox.closed:
            await self._emptier.wait()

    async def take(self) -> list[bytes]:
        """Everything that waits. What the take before gave out counts as written now.

        Raises MailboxClosed after ``close``, when everything else is out.
        """
        pushed, replied = self._writing
        self._pushed -= pushed
        self._replied -= replied
        self._writing = (0, 0)
        self._wake()
        items = await self._mailbox.take()
        if self._dropped:
            raise MailboxClosed("dropped")
        pushed = sum(len(frame) for frame, is_push in items if is_push)
        self._writing = (pushed, sum(len(frame) for frame, _ in items) - pushed)
        return [frame for frame, _ in items]

    def close(self, *, drop: bool) -> None:
        """Lets nothing more in; with ``drop`` nothing more out either."""
        self._dropped = drop
        self._mailbox.close("closing")
        self._wake()

    def _wake(self) -> None:
        self._emptier.set()
        self._emptier = trio.Event()
