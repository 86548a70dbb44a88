"""A task that owns something and does one thing at a time, on request.

    class Counter(Server):
        async def handle(self, message):
            match message:
                case Add(amount):
                    self.total += amount
                    return self.total

    total = await counter.call(Add(3))      # waits for the answer
    await counter.cast(Add(3))              # does not

Its users are given methods that hide the messages. Under load the mailbox is
emptied at one go, so many messages cost one pass of the scheduler.
"""

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import trio

from .child_spec import display_name
from .errors import CallsItself, CallTimeout, MailboxClosed, NotRunning
from .mailbox import Mailbox
from .registry import Registry

SelfT = TypeVar("SelfT", bound="Server")


class Envelope:
    """A message on its way, and where its answer goes. The first answer counts.

    Without a waiting caller (a cast; a call that timed out) answering does nothing.
    """

    __slots__ = ("_answer", "_caller", "_error", "_server", "is_call", "message")

    def __init__(self, message: object, server: "Server", is_call: bool) -> None:
        self.message = message
        self.is_call = is_call
        self._server = server
        self._caller: trio.lowlevel.Task | None = None
        self._answer: object = None
        self._error: Exception | None = None

    def reply(self, value: object = None) -> None:
        """Answer the call."""
        if self._server._unanswered.pop(self, None) is not None:
            self._answer = value
            self._wake()

    def fail(self, error: Exception) -> None:
        """Answer the call by raising ``error`` in the caller."""
        if self._server._unanswered.pop(self, None) is not None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._caller is not None:
            trio.lowlevel.reschedule(self._caller)
            self._caller = None


class Server:
    """Subclass it, override ``handle`` (or ``handle_batch``), run it under a supervisor.

    ``capacity`` bounds the mailbox: when it is full, callers wait.
    ``expected_errors`` raised by ``handle`` are raised in the caller instead
    of ending the server. For a cast there is nobody to tell, so they end it
    like all others.
    """

    expected_errors: tuple[type[Exception], ...] = ()

    def __init__(self, *, key: tuple[Any, ...], registry: Registry, capacity: int = 1024) -> None:
        self.key: Hashable = key
        self.name = display_name(key)
        self._registry = registry
        self._capacity = capacity
        self._mailbox: Mailbox[Envelope] | None = None
        self._task: trio.lowlevel.Task | None = None
        # Calls that have no answer yet; an ordered set. Bounded by the number
        # of calling tasks.
        self._unanswered: dict[Envelope, bool] = {}

    # For its users

    @property
    def depth(self) -> int:
        """Messages that wait to be handled."""
        return 0 if self._mailbox is None else self._mailbox.depth

    async def call(self, message: object, *, timeout: float | None = 5.0) -> Any:
        """Send, and wait for the answer; None waits without limit.

        Raises NotRunning when the server is not there or ends before it has
        answered, CallTimeout, and what the server answers with. After a
        timeout, and when cancelled, the message may still be handled; the
        answer is thrown away.
        """
        mailbox = self._mailbox
        if mailbox is None:
            raise NotRunning(self.name)
        if self._task is trio.lowlevel.current_task():
            raise CallsItself(self.name)
        envelope = Envelope(message, self, True)
        self._unanswered[envelope] = True
        try:
            if timeout is None:
                await self._exchange(mailbox, envelope)
            else:
                with trio.move_on_after(timeout):
                    await self._exchange(mailbox, envelope)
        finally:
            # Still there: cancelled, timed out or never sent.
            unanswered = self._unanswered.pop(envelope, False)
        if unanswered:
            raise CallTimeout(self.name, type(message).__name__, timeout or 0.0)
        if envelope._error is not None:
            try:
                raise envelope._error
            finally:
                del envelope
        return envelope._answer

    async def cast(self, message: object) -> None:
        """Send without waiting for an answer; waits while the mailbox is full.

        A checkpoint. Raises NotRunning. When cancelled, it has not been sent.
        """
        mailbox = self._mailbox
        if mailbox is None:
            raise NotRunning(self.name)
        if mailbox.full and self._task is trio.lowlevel.current_task():
            raise CallsItself(self.name)
        try:
            await mailbox.send(Envelope(message, self, False))
        except MailboxClosed:
            raise NotRunning(self.name) from None

    def cast_nowait(self, message: object) -> None:
        """Send at once. Raises MailboxFull or NotRunning, and then did nothing."""
        mailbox = self._mailbox
        if mailbox is None:
            raise NotRunning(self.name)
        try:
            mailbox.put(Envelope(message, self, False))
        except MailboxClosed:
            raise NotRunning(self.name) from None

    # For its subclass

    async def init(self) -> None:
        """Called first; messages wait until it has returned, and the name is not taken yet."""

    async def handle(self, message: Any) -> object:
        """Do what ``message`` asks; what is returned is the answer to a call."""
        raise NotImplementedError

    async def handle_batch(self, messages: Sequence[Envelope]) -> None:
        """Handle everything that has come in, in order.

        An override answers each call itself, now or later, by ``reply`` or ``fail``.
        """
        for envelope in messages:
            try:
                answer = await self.handle(envelope.message)
            except self.expected_errors as error:
                if not envelope.is_call:
                    raise
                envelope.fail(error)
            else:
                envelope.reply(answer)

    # For its supervisor

    async def run(
        self: SelfT, *, task_status: trio.TaskStatus[SelfT] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled or an error ends it; the name is free and calls have failed then.

        ``started(self)`` comes after ``init`` and registration. Raises
        AlreadyRegistered and whatever ``init`` and ``handle`` raise.
        """
        if self._mailbox is not None:
            raise RuntimeError(f"{self.name} is running already")
        mailbox = self._mailbox = Mailbox[Envelope](self._capacity)
        self._task = trio.lowlevel.current_task()
        ending: BaseException | None = None
        try:
            await self.init()
            self._registry.register(self.key, self)
            task_status.started(self)
            while True:
                await self.handle_batch(await mailbox.take())
        except BaseException as error:
            ending = error
            raise
        finally:
            self._registry.unregister(self.key, self)
            self._mailbox = self._task = None
            mailbox.close("ended")
            cause = ending if isinstance(ending, Exception) else None
            for envelope in list(self._unanswered):
                envelope.fail(NotRunning(self.name, cause))
            del ending, cause

    async def _exchange(self, mailbox: Mailbox[Envelope], envelope: Envelope) -> None:
        if mailbox.full:
            try:
                await mailbox.send(envelope)
            except MailboxClosed:
                # Its end has answered all calls, this one too.
                return
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            mailbox.put(envelope)
        if envelope in self._unanswered:
            envelope._caller = trio.lowlevel.current_task()

            def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
                envelope._caller = None
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
