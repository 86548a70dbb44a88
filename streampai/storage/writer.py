"""The writer thread: takes all that waits, and commits it as one transaction.

A lone write is not delayed, and sixty-four at once share a single fsync: what
queues while the disk works is the next transaction, so there is no timer. Each
job has a SAVEPOINT of its own, so that one that fails takes nobody with it.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import outcome
import trio

from ..errors import StorageUnavailable
from .connection import Connection, connect, primary_code, store_at_fault

T = TypeVar("T")

# After these the connection itself is sound; after any other it is opened anew.
_CONNECTION_SOUND = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY})


@attrs.define(eq=False)
class Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    done: trio.Event = attrs.field(factory=trio.Event)
    result: outcome.Outcome[T] | None = None


# Called in the loop once per transaction: the jobs, seconds, and why it failed or "".
Acknowledge = Callable[[Sequence[Job[Any]], float, str], None]


class Writer:
    """The thread and the one connection that writes. To be made inside Trio.

    ``put`` and ``stop`` may be called from the loop; whoever calls ``put`` sees to
    it that no more than so many jobs are under way. Every job that was put before
    ``stop`` is carried out and acknowledged.
    """

    def __init__(self, path: Path, acknowledge: Acknowledge, *, batch: int) -> None:
        self._path = path
        self._acknowledge = acknowledge
        self._batch = batch
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._loop = trio.lowlevel.current_trio_token()
        self._connection: Connection | None = None
        # A daemon thread: when the loop dies without stopping us, the process may end.
        # What was acknowledged is on the disk, as after SIGKILL.
        self._thread = threading.Thread(target=self._run, name="storage writer", daemon=True)
        self._thread.start()

    def put(self, job: Job[Any]) -> None:
        self._queue.put(job)

    async def stop(self, patience: float) -> None:
        """Wait until all is carried out, up to ``patience`` seconds of the real clock.

        A virtual clock would run away while the disk works. Cannot be cancelled.
        """
        self._queue.put(None)
        # Shielded: what was handed over must reach the disk before the process ends.
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(
                self._thread.join, patience, limiter=trio.CapacityLimiter(1)
            )

    # --- in the thread -------------------------------------------------------------

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs, going_on = self._next_jobs()
            if not jobs:
                continue
            begun = time.perf_counter()
            # What the writer itself gets wrong is told to all who wait; a thread that
            # died of it would leave them, and all who follow, waiting for ever.
            committed = outcome.capture(self._commit, jobs)
            if isinstance(committed, outcome.Error):
                self._drop_connection()
                for job in jobs:
                    job.result = outcome.Error(committed.error)
                trouble = f"a fault of the writer: {type(committed.error).__name__}"
            else:
                trouble = committed.unwrap()
            duration = time.perf_counter() - begun
            try:
                self._loop.run_sync_soon(self._acknowledge, jobs, duration, trouble)
            except trio.RunFinishedError:
                break
        # If it fails the log stays and is read at the next start; nothing is lost.
        with suppress(sqlite3.Error):
            self._connected().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._drop_connection()

    def _next_jobs(self) -> tuple[list[Job[Any]], bool]:
        jobs: list[Job[Any]] = []
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

    def _commit(self, jobs: Sequence[Job[Any]]) -> str:
        """Carry out all jobs in one transaction; the reason when the store would not."""
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            results = [_attempt(connection, job) for job in jobs]
            connection.execute("COMMIT")
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

    def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.still_at(self._path):
            self._drop_connection()
        if self._connection is None:
            self._connection = connect(self._path, "rw")
        return self._connection

    def _recover(self, error: sqlite3.Error) -> None:
        if self._connection is None:
            return
        if primary_code(error) not in _CONNECTION_SOUND:
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


def _attempt(connection: sqlite3.Connection, job: Job[T]) -> outcome.Outcome[T]:
    connection.execute("SAVEPOINT job")
    result = outcome.capture(job.work, connection)
    if isinstance(result, outcome.Error):
        # SQLite may already have rolled the whole transaction back: all fail together.
        if isinstance(result.error, sqlite3.Error) and store_at_fault(result.error):
            raise result.error
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")
    return result
