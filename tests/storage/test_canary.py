"""Secrets planted in the store are found nowhere but where they were asked for."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streampai.errors import NotAuthorised, StorageUnavailable
from streampai.platforms.platform import Identity, Tokens
from streampai.settings import Secret
from streampai.storage import EventRow, Storage, StoredInput

from .conftest import OpenStore, Spy

CANARY = "canary-7f3a9c"
IDENTITY = Identity(platform_user_id="1", login="demo", display_name="Demo")


async def plant(storage: Storage) -> list[str]:
    """Every kind of secret; what the browser is given, to look for that as well."""
    user = await storage.users.add("demo", f"password-{CANARY}")
    token, session = await storage.sessions.create(user.id, lifetime=60)
    tokens = Tokens(access=Secret(f"access-{CANARY}"), refresh=Secret(f"refresh-{CANARY}"))
    await storage.accounts.save(user.id, "twitch", IDENTITY, tokens)
    await storage.accounts.save_tokens(user.id, "twitch", tokens)
    key = StoredInput(
        uid="a",
        ingest_url="rtmps://ingest",
        stream_key=Secret(f"key-{CANARY}"),
        created_at=datetime.now(UTC),
    )
    await storage.inputs.save(user.id, key)
    shown = repr(
        [
            user,
            session,
            key,
            await storage.accounts.get(user.id, "twitch"),
            await storage.inputs.get(user.id),
            await storage.sessions.find(token),
        ]
    )
    for secret in (CANARY, token, session.csrf):
        assert secret not in shown
    with pytest.raises(NotAuthorised) as caught:
        await storage.users.authenticate("demo", f"wrong-{CANARY}")
    assert CANARY not in repr(caught.value.as_dict())
    return [CANARY, token, session.csrf]


async def test_no_secret_is_in_the_files_in_a_repr_in_an_error_or_in_telemetry(
    open_store: OpenStore, tmp_path: Path, spy: Spy
) -> None:
    data = tmp_path / "data"
    async with open_store() as storage:
        secrets = await plant(storage)
        in_use = contents(data)
        await storage.database.write(
            lambda connection: connection.execute("PRAGMA query_only = ON").fetchall()
        )
        tokens = Tokens(access=Secret(f"access-{CANARY}"), refresh=Secret(CANARY))
        with pytest.raises(StorageUnavailable) as caught:
            await storage.accounts.save(1, "twitch", IDENTITY, tokens)
    everything = in_use + contents(data) + repr(spy.events).encode()
    everything += repr(caught.value.as_dict()).encode()
    assert b"rtmps://ingest" in everything
    for secret in secrets:
        assert secret.encode() not in everything


def contents(data: Path) -> bytes:
    names = os.listdir(data)
    assert "streampai.db" in names
    return b"".join((data / name).read_bytes() for name in names)


def test_an_event_row_does_not_show_what_was_said() -> None:
    row = EventRow(
        topic="platform:twitch:1",
        offset=1,
        sequence=1,
        event_id=None,
        kind="chat_message_received",
        occurred_at=datetime.now(UTC),
        payload=CANARY.encode(),
    )
    assert CANARY not in repr(row)
