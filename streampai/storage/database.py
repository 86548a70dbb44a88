"""The store's file as the rest of the program sees it: ``write`` and ``read``.

A write goes to the one writer thread and is acknowledged after its COMMIT, never
before. A read runs in a thread of its own.

    user_id = await database.write(lambda connection: connection.execute(...).lastrowid)
    rows = await database.read(lambda connection: connection.execute(...).fetchall())
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import trio

from ..errors import StorageUnavailable
from ..telemetry import Telemetry
from ..telemetry.events import StorageFailed, StorageWritten, TelemetryEvent
from .connection import Connection, connect, store_at_fault
from .writer import Job, Writer

T = TypeVar("T")

# A disk that takes longer to write what is handed over hangs, and the process must end.
_PATIENCE = 30.0


class Database:
    """One SQLite file that exists and has its schema.

    To be made inside Trio, and closed with ``aclose``.
    """

    def __init__(
        self,
        path: Path,
        *,
        telemetry: Telemetry,
        # Writes handed over and not yet acknowledged. Four thousand are a tenth of a
        # second on a good disk and some megabytes; whoever comes later waits, so
        # that a slow disk slows its callers down and does not fill the memory.
        capacity: int = 4096,
        # One transaction. More gains nothing, and the first would wait for the last.
        batch: int = 512,
        # Page loads and resumes; each is short, and more threads than this only
        # contend for the interpreter.
        readers: int = 4,
    ) -> None:
        self.path = path
        self._telemetry = telemetry
        self._trouble = ""
        self._closed = False
        self._room = trio.Semaphore(capacity)
        self._writer = Writer(path, self._acknowledge, batch=batch)
        # The last write nobody waits for; when it is done so are those before it.
        self._abandoned: Job[Any] | None = None
        # Told by the next writer that wakes; more than one waits only when those
        # who should have told it were cancelled, and then the oldest may go.
        self._reports: deque[TelemetryEvent] = deque(maxlen=capacity)
        self._reading = trio.CapacityLimiter(readers)
        # At most one for each of ``readers``. Threads take and return them without a
        # lock: popping and appending are atomic.
        self._idle_readers: list[Connection] = []

    @property
    def trouble(self) -> str:
        """Why the last transaction failed; empty when the store is well."""
        return self._trouble

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in the writer thread and return its value once it is durable.

        ``work`` must be quick, must not end the transaction, and must not touch
        what belongs to the loop. What it raises is raised here and undoes only
        its own changes. StorageUnavailable when the store could not be written;
        then nothing of it was stored. Waits while too many writes are under way.
        Cancelling before the hand-over does nothing; cancelling after it abandons
        the wait, and the write is still carried out.
        """
        job = Job(work)
        await self._room.acquire()
        if self._closed:
            self._room.release()
            raise StorageUnavailable("The store has been closed.", code="shutting_down")
        self._writer.put(job)
        try:
            await job.done.wait()
        except trio.Cancelled:
            self._abandoned = job
            raise
        self._tell_reports()
        assert job.result is not None
        return job.result.unwrap()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a thread on a read-only connection, on one snapshot of the store.

        Sees every write that was acknowledged, and every one whose waiter was
        cancelled before now: who starts again reads where the former life stopped.
        Raises StorageUnavailable when the file cannot be read. Cancelling takes
        effect when the read, which takes milliseconds, is over.
        """
        if self._closed:
            raise StorageUnavailable("The store has been closed.", code="shutting_down")
        if self._abandoned is not None:
            await self._abandoned.done.wait()
        return await trio.to_thread.run_sync(self._read, work, limiter=self._reading)

    async def aclose(self) -> None:
        """Carry out and acknowledge all that was handed over, then tidy up the file.

        Cannot be cancelled; takes at most half a minute.
        """
        self._closed = True
        # Before the writer: only it, closing last, can remove the log.
        self._close_readers()
        await self._writer.stop(_PATIENCE)
        self._tell_reports()

    # --- in the loop ---------------------------------------------------------------

    def _acknowledge(self, jobs: Sequence[Job[Any]], duration: float, trouble: str) -> None:
        for job in jobs:
            self._room.release()
            job.done.set()
        if self._abandoned in jobs:
            self._abandoned = None
        if trouble:
            if not self._trouble:
                self._reports.append(StorageFailed(reason=trouble))
        else:
            if self._trouble:
                self._reports.append(StorageFailed(reason="the store can be written again"))
            self._reports.append(StorageWritten(writes=len(jobs), duration=duration))
        self._trouble = trouble

    def _tell_reports(self) -> None:
        # Not in _acknowledge: a listener that raised there would end Trio itself.
        while self._reports:
            self._telemetry.emit(self._reports.popleft())

    def _close_readers(self) -> None:
        while self._idle_readers:
            self._idle_readers.pop().close()

    # --- in a reader's thread ------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._reader()
            try:
                connection.execute("BEGIN")
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            if not store_at_fault(error):
                raise
            raise StorageUnavailable(f"The store cannot be read now: {error}.") from error
        if self._closed:
            connection.close()
        else:
            self._idle_readers.append(connection)
        return result

    def _reader(self) -> Connection:
        try:
            connection = self._idle_readers.pop()
        except IndexError:
            return connect(self.path, "ro")
        if connection.still_at(self.path):
            return connection
        connection.close()
        return connect(self.path, "ro")
