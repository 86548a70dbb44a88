"""The schema, as the list of steps that lead to it.

Steps are only ever added, at the end. Each runs in one transaction together with
the new ``PRAGMA user_version``. Before a store that holds data is changed, a
copy of it is laid beside it.

Times are integer milliseconds in UTC, booleans 0 and 1, lists and objects JSON.

users         who may log in; ids are never used again, topics are named after them
sessions      log-ins, by the SHA-256 of their token
accounts      one platform account per user and platform; ``tokens`` is sealed
inputs        the user's live input; ``stream_key`` is sealed
destinations  what the user chose to send to
metadata      title and category for the next show
streams       shows; ``phase`` is starting, streaming, ending, finished; one open per user
intents       effects on the outside world: written before, ``outcome`` after
commands      command ids already seen, and how they ended
topics        durable topics: the epoch that names this life, and the highest offset
events        publications of durable topics, contiguous per topic; ``sequence`` orders
              all of one user's events
checks        a known text sealed with each key, to tell a wrong key at once
pulse         one row that health writes to
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ..errors import StorageUnavailable

# "Spai": tells our files from another program's.
APPLICATION_ID = 0x53706169

_FIRST = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    admin INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    token_hash BLOB NOT NULL UNIQUE,
    user_id INTEGER NOT NULL REFERENCES users (id),
    user_agent TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE accounts (
    user_id INTEGER NOT NULL REFERENCES users (id),
    platform TEXT NOT NULL,
    platform_user_id TEXT NOT NULL,
    login TEXT NOT NULL,
    display_name TEXT NOT NULL,
    tokens BLOB NOT NULL,
    relogin INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (user_id, platform)
) STRICT, WITHOUT ROWID;

CREATE TABLE inputs (
    user_id INTEGER PRIMARY KEY REFERENCES users (id),
    uid TEXT NOT NULL,
    ingest_url TEXT NOT NULL,
    stream_key BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE destinations (
    user_id INTEGER NOT NULL REFERENCES users (id),
    platform TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    PRIMARY KEY (user_id, platform)
) STRICT, WITHOUT ROWID;

CREATE TABLE metadata (
    user_id INTEGER PRIMARY KEY REFERENCES users (id),
    title TEXT NOT NULL,
    category TEXT NOT NULL
) STRICT;

CREATE TABLE streams (
    id TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id),
    phase TEXT NOT NULL CHECK (phase IN ('starting', 'streaming', 'ending', 'finished')),
    platforms TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    disconnect_deadline INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    summary TEXT NOT NULL DEFAULT '{}',
    statistics BLOB
) STRICT;
CREATE UNIQUE INDEX streams_open ON streams (user_id) WHERE phase <> 'finished';
CREATE INDEX streams_by_user ON streams (user_id, started_at);

CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    details TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    outcome TEXT CHECK (outcome IN ('done', 'failed', 'abandoned')),
    result TEXT,
    finished_at INTEGER
) STRICT;
CREATE INDEX intents_open ON intents (user_id, id) WHERE outcome IS NULL;
CREATE INDEX intents_by_end ON intents (finished_at) WHERE outcome IS NOT NULL;

CREATE TABLE commands (
    user_id INTEGER NOT NULL REFERENCES users (id),
    id TEXT NOT NULL,
    method TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    outcome BLOB,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_by_time ON commands (accepted_at);

CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL UNIQUE,
    epoch TEXT NOT NULL,
    top INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    topic_id INTEGER NOT NULL REFERENCES topics (id),
    offset INTEGER NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id),
    session_id TEXT,
    sequence INTEGER NOT NULL,
    event_id TEXT,
    kind TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (topic_id, offset)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_by_user ON events (user_id, sequence);
CREATE INDEX events_by_session ON events (session_id, sequence) WHERE session_id IS NOT NULL;

CREATE TABLE checks (
    key_id INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;

CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
"""

MIGRATIONS: Sequence[str] = (_FIRST,)


def version(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    """Bring the store at ``path`` to the newest version.

    To be called while no other process uses the store. Raises StorageUnavailable
    for a file that is not ours or was written by a newer program, and
    sqlite3.Error when a step fails; the store then stands as before that step.
    """
    present = version(connection)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StorageUnavailable(f"{path} is another program's database.", retryable=False)
    if present > len(migrations):
        raise StorageUnavailable(
            f"{path} has version {present}, this program knows {len(migrations)}: "
            "it was written by a newer one.",
            retryable=False,
        )
    if present == len(migrations):
        return
    # It is written in the file itself, and cannot be changed inside a transaction.
    connection.execute("PRAGMA journal_mode = WAL")
    if present:
        back_up(connection, path.with_name(f"{path.stem}.before-version-{present + 1}.db"))
    for number, step in enumerate(migrations[present:], start=present + 1):
        try:
            connection.executescript(
                f"BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION_ID};"
                f"{step}; PRAGMA user_version = {number}; COMMIT;"
            )
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def back_up(connection: sqlite3.Connection, target: Path) -> None:
    """A whole and consistent copy, complete under its name or not there at all."""
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
    with open(unfinished, "rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(target)
