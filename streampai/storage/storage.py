"""What survives a restart: one SQLite file, and the key that its secrets are sealed with.

async with open_storage(settings.storage, telemetry=telemetry) as storage:
    user = await storage.users.by_name("demo")
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ..errors import StorageUnavailable
from ..runtime import utc_now
from ..settings import StorageSettings
from ..telemetry import Telemetry
from .accounts import Accounts
from .commands import Commands
from .connection import store_at_fault
from .database import Database
from .destinations import Destinations, Metadata
from .directory import DataDirectory
from .events import Events
from .inputs import Inputs
from .intents import Intents
from .migrations import MIGRATIONS
from .secretbox import SecretBox
from .sessions import Sessions
from .streams import Streams
from .times import Now, to_milliseconds
from .users import Argon2Parameters, Users


class Storage:
    """The store, open. Made by ``open_storage``; each attribute is one thing it keeps."""

    def __init__(
        self, database: Database, box: SecretBox, now: Now, argon2: Argon2Parameters
    ) -> None:
        self.database = database
        self.users = Users(database, now, argon2)
        self.sessions = Sessions(database, now)
        self.accounts = Accounts(database, box)
        self.inputs = Inputs(database, box)
        self.destinations = Destinations(database)
        self.metadata = Metadata(database)
        self.streams = Streams(database, now)
        self.intents = Intents(database, now)
        self.commands = Commands(database, now)
        self.events = Events(database)
        self._now = now

    @property
    def path(self) -> Path:
        """The database file."""
        return self.database.path

    @property
    def trouble(self) -> str:
        """Why the last write failed; empty when the store is well."""
        return self.database.trouble

    async def ping(self) -> None:
        """A durable write that changes nothing of weight. Raises StorageUnavailable."""
        at = to_milliseconds(self._now())
        await self.database.write(
            lambda connection: (
                connection.execute(
                    "INSERT OR REPLACE INTO pulse (id, at) VALUES (1, ?)", (at,)
                ).rowcount
            )
        )


@asynccontextmanager
async def open_storage(
    settings: StorageSettings,
    *,
    telemetry: Telemetry | None = None,
    now: Now = utc_now,
    argon2: Argon2Parameters | None = None,
) -> AsyncIterator[Storage]:
    """The store in ``settings.data``, made or migrated if need be, until the block ends.

    Several processes may have it open. Raises StorageUnavailable when the
    directory cannot be used, or another process keeps the schema from being
    migrated, and SettingsError for a key that is malformed, missing or not the
    store's. Leaving the block first carries out every write that was handed over.
    """
    directory = DataDirectory(settings.data)

    def open_directory() -> SecretBox:
        try:
            directory.open(MIGRATIONS)
            return directory.secret_box(settings.key)
        except OSError as error:
            raise StorageUnavailable(f"{settings.data} cannot be used: {error}.") from error
        except sqlite3.Error as error:
            if not store_at_fault(error):
                raise
            raise StorageUnavailable(f"{directory.database} cannot be used: {error}.") from error

    try:
        box = await trio.to_thread.run_sync(open_directory)
        database = Database(directory.database, telemetry=telemetry or Telemetry())
        try:
            yield Storage(database, box, now, argon2 or Argon2Parameters())
        finally:
            # Shields itself, with a limit: acknowledgements are owed.
            await database.aclose()
    finally:
        directory.close()
