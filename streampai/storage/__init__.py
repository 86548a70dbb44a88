"""What survives a restart: users, log-ins, tokens, shows, intents and events, in SQLite."""

from .accounts import Accounts, StoredAccount
from .commands import Commands, UnfinishedCommand
from .database import Database
from .destinations import Destinations, Metadata
from .events import EventRow, Events, HoleRefused
from .inputs import Inputs, StoredInput
from .intents import Intent, Intents
from .sessions import Session, Sessions
from .storage import Storage, open_storage
from .streams import Streams, StreamSession
from .users import Argon2Parameters, User, Users

__all__ = [
    "Accounts",
    "Argon2Parameters",
    "Commands",
    "Database",
    "Destinations",
    "EventRow",
    "Events",
    "HoleRefused",
    "Inputs",
    "Intent",
    "Intents",
    "Metadata",
    "Session",
    "Sessions",
    "Storage",
    "StoredAccount",
    "StoredInput",
    "StreamSession",
    "Streams",
    "UnfinishedCommand",
    "User",
    "Users",
    "open_storage",
]
