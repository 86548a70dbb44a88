"""The one writer of the store, and its readers.

Every write goes to one thread, which takes all that waits and commits it as one
transaction: a lone write is not delayed, and sixty-four at once share a single
fsync. A write is acknowledged after its COMMIT and never before. Each write has
a SAVEPOINT of its own, so that one that fails takes nobody with it.

    database = Database(path, telemetry=telemetry)
    user_id = await database.write(lambda connection: connection.execute(...).lastrowid)
"""

import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import outcome
import trio

from ..errors import StorageUnavailable
from ..telemetry import Telemetry
from ..telemetry.events import StorageFailed, StorageWritten, TelemetryEvent

T = TypeVar("T")

# Another process may hold the write lock: `streampai user add`, a backup. Its
# transactions take milliseconds; five seconds of them mean that something is stuck.
BUSY_TIMEOUT = 5.0

# Where SQLite blames the disk, the file or a neighbour, not the statement. It may
# already have rolled the whole transaction back, so the whole batch is lost.
_STORE_AT_FAULT = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
# After these the connection itself is sound; after any other it is opened anew.
_CONNECTION_SOUND = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})


def _primary_code(error: BaseException) -> int:
    # The low byte; the rest says more precisely what happened, not who is at fault.
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def store_at_fault(error: BaseException) -> bool:
    """Whether the store failed, and not the statement that it was given."""
    return isinstance(error, sqlite3.Error) and _primary_code(error) in _STORE_AT_FAULT


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode, for one thread at a time; ``mode`` is ro, rw or rwc."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    # Power may fail right after an acknowledgement; NORMAL would lose it.
    connection.execute("PRAGMA synchronous = FULL")
    # A burst may let the log grow; it shrinks to this again (64 MiB).
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


@attrs.define(eq=False)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    done: trio.Event = attrs.field(factory=trio.Event)
    result: outcome.Outcome[T] | None = None


class Database:
    """One SQLite file: a writer thread with group commit, and read-only connections.

    To be made inside Trio, after the file has been made and migrated, and to be
    closed with ``aclose``.
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
        self._batch = batch
        self._trouble = ""
        self._closed = False
        self._room = trio.Semaphore(capacity)
        # Holds at most ``capacity`` jobs, by the semaphore, and the sign to stop.
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        # One report a transaction, told by the next writer that wakes.
        self._reports: deque[TelemetryEvent] = deque(maxlen=capacity)
        self._loop = trio.lowlevel.current_trio_token()
        self._reader_limit = trio.CapacityLimiter(readers)
        self._idle_readers: list[sqlite3.Connection] = []
        self._connection: sqlite3.Connection | None = None
        # A daemon thread: when the loop dies without closing us, the process may end.
        # What was acknowledged is on the disk, as after SIGKILL.
        self._thread = threading.Thread(target=self._run, name="storage writer", daemon=True)
        self._thread.start()

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
        job = _Job(work)
        await self._room.acquire()
        if self._closed:
            self._room.release()
            raise StorageUnavailable("The store has been closed.", code="shutting_down")
        self._queue.put(job)
        await job.done.wait()
        self._tell_reports()
        assert job.result is not None
        return job.result.unwrap()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a thread on a read-only connection, on one snapshot of the store.

        Everything acknowledged before is seen. Raises StorageUnavailable when the
        file cannot be read. Cancelling takes effect when the read, which takes
        milliseconds, is over.
        """
        if self._closed:
            raise StorageUnavailable("The store has been closed.", code="shutting_down")
        return await trio.to_thread.run_sync(self._read, work, limiter=self._reader_limit)

    async def aclose(self) -> None:
        """Carry out and acknowledge all that was handed over, then tidy up and end the thread.

        Cannot be cancelled. Gives the disk half a minute of real time, by the
        thread's own clock: a virtual one would run away while the disk works.
        """
        self._closed = True
        # Before the writer: only it, closing last, can remove the log.
        self._close_readers()
        self._queue.put(None)
        # Shielded: what was handed over must reach the disk before the process ends.
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join, 30.0)
        self._tell_reports()
        self._close_readers()

    # --- in the loop ---------------------------------------------------------------

    def _acknowledge(self, jobs: Sequence[_Job[Any]], duration: float, trouble: str) -> None:
        for job in jobs:
            self._room.release()
            job.done.set()
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

    # --- in the writer thread ------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs, going_on = self._next_jobs()
            if not jobs:
                continue
            begun = time.perf_counter()
            # What the writer itself gets wrong is told to all who wait; a thread that
            # died of it would leave them, and all who follow, waiting for ever.
            trouble = outcome.capture(self._commit, jobs)
            if isinstance(trouble, outcome.Error):
                self._drop_connection()
                for job in jobs:
                    job.result = outcome.Error(trouble.error)
            duration = time.perf_counter() - begun
            told = repr(trouble.error) if isinstance(trouble, outcome.Error) else trouble.unwrap()
            try:
                self._loop.run_sync_soon(self._acknowledge, jobs, duration, told)
            except trio.RunFinishedError:
                break
        self._finish()

    def _next_jobs(self) -> tuple[list[_Job[Any]], bool]:
        jobs: list[_Job[Any]] = []
        job = self._queue.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == self._batch:
                return jobs, True
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _commit(self, jobs: Sequence[_Job[Any]]) -> str:
        """Carry out all jobs in one transaction; the reason when the store would not."""
        try:
            if self._connection is None:
                # Never rwc: a file that has vanished must not come back empty.
                self._connection = connect(self.path, "rw")
            self._connection.execute("BEGIN IMMEDIATE")
            results = [_attempt(self._connection, job) for job in jobs]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._recover(error)
            # Also for jobs that were refused: what they saw has been undone.
            for job in jobs:
                unavailable = StorageUnavailable(f"The store cannot be written now: {error}.")
                unavailable.__cause__ = error
                job.result = outcome.Error(unavailable)
            return str(error)
        for job, result in zip(jobs, results, strict=True):
            job.result = result
        return ""

    def _recover(self, error: sqlite3.Error) -> None:
        if self._connection is None:
            return
        if _primary_code(error) not in _CONNECTION_SOUND:
            self._drop_connection()
        elif self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._drop_connection()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            # Closing rolls back what is open.
            self._connection.close()
            self._connection = None

    def _finish(self) -> None:
        if self._connection is None:
            return
        # If it fails the log stays and is read at the next start; nothing is lost.
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._drop_connection()

    def _close_readers(self) -> None:
        while self._idle_readers:
            self._idle_readers.pop().close()

    # --- in a reader thread --------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = None
        try:
            connection = (
                self._idle_readers.pop() if self._idle_readers else connect(self.path, "ro")
            )
            connection.execute("BEGIN")
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection is not None:
                connection.close()
            if store_at_fault(error):
                raise StorageUnavailable(f"The store cannot be read now: {error}.") from error
            raise
        self._idle_readers.append(connection)
        return result


def _attempt(connection: sqlite3.Connection, job: _Job[T]) -> outcome.Outcome[T]:
    connection.execute("SAVEPOINT job")
    result = outcome.capture(job.work, connection)
    if isinstance(result, outcome.Error):
        if isinstance(result.error, sqlite3.Error) and store_at_fault(result.error):
            raise result.error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return result
