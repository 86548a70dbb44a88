from datetime import UTC, datetime

import pytest

from streampai.errors import CommandRefused
from streampai.platforms.platform import Identity, Tokens
from streampai.settings import Secret
from streampai.storage import Storage, StoredAccount, StoredInput, User

from .conftest import Clock, OpenStore

IDENTITY = Identity(platform_user_id="1234", login="demo", display_name="Demo")
TOKENS = Tokens(
    access=Secret("access-canary"),
    refresh=Secret("refresh-canary"),
    expires_at=datetime(2026, 11, 22, 23, 0, 0, 5000, tzinfo=UTC),
    scopes=("chat:read", "chat:edit"),
)


async def test_an_account_comes_back_as_it_was_saved(storage: Storage, user: User) -> None:
    await storage.accounts.save(user.id, "twitch", IDENTITY, TOKENS)
    assert await storage.accounts.get(user.id, "twitch") == StoredAccount(
        platform="twitch", identity=IDENTITY, tokens=TOKENS, relogin=False, reason=""
    )


async def test_tokens_without_an_expiry_keep_none(storage: Storage, user: User) -> None:
    tokens = Tokens(access=Secret("a"), refresh=Secret(""))
    await storage.accounts.save(user.id, "kick", IDENTITY, tokens)
    stored = await storage.accounts.get(user.id, "kick")
    assert stored is not None and stored.tokens == tokens


async def test_accounts_are_each_users_own(storage: Storage, user: User) -> None:
    other = await storage.users.add("other", "correct horse")
    await storage.accounts.save(user.id, "twitch", IDENTITY, TOKENS)
    await storage.accounts.save(user.id, "kick", IDENTITY, TOKENS)
    assert [stored.platform for stored in await storage.accounts.all(user.id)] == ["kick", "twitch"]
    assert await storage.accounts.all(other.id) == []
    assert await storage.accounts.get(other.id, "twitch") is None


async def test_refreshed_tokens_replace_the_old_and_end_the_need_to_log_in(
    storage: Storage, user: User
) -> None:
    await storage.accounts.save(user.id, "twitch", IDENTITY, TOKENS)
    await storage.accounts.mark(user.id, "twitch", True, "Twitch says no.")
    marked = await storage.accounts.get(user.id, "twitch")
    assert marked is not None
    assert (marked.relogin, marked.reason, marked.tokens) == (True, "Twitch says no.", TOKENS)
    new = Tokens(access=Secret("new"), refresh=Secret("newer"))
    await storage.accounts.save_tokens(user.id, "twitch", new)
    assert await storage.accounts.get(user.id, "twitch") == StoredAccount(
        platform="twitch", identity=IDENTITY, tokens=new, relogin=False, reason=""
    )


async def test_an_account_that_was_removed_takes_no_tokens(storage: Storage, user: User) -> None:
    await storage.accounts.save(user.id, "twitch", IDENTITY, TOKENS)
    await storage.accounts.delete(user.id, "twitch")
    await storage.accounts.delete(user.id, "twitch")
    for change in (
        storage.accounts.save_tokens(user.id, "twitch", TOKENS),
        storage.accounts.mark(user.id, "twitch", True, "no"),
    ):
        with pytest.raises(CommandRefused) as caught:
            await change
        assert caught.value.code == "platform_not_connected"
    assert await storage.accounts.get(user.id, "twitch") is None


async def test_tokens_copied_to_another_user_are_of_no_use(storage: Storage, user: User) -> None:
    thief = await storage.users.add("thief", "correct horse")
    await storage.accounts.save(user.id, "twitch", IDENTITY, TOKENS)
    await storage.database.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO accounts SELECT ?, platform, platform_user_id, login, display_name,"
                " tokens, relogin, reason FROM accounts WHERE user_id = ?",
                (thief.id, user.id),
            ).rowcount
        )
    )
    stolen = await storage.accounts.get(thief.id, "twitch")
    assert stolen is not None
    assert stolen.relogin
    assert "decrypted" in stolen.reason
    assert stolen.tokens == Tokens(access=Secret(""), refresh=Secret(""))
    kept = await storage.accounts.get(user.id, "twitch")
    assert kept is not None and kept.tokens == TOKENS


async def test_an_input_comes_back_as_it_was_saved_until_it_is_deleted(
    storage: Storage, user: User, clock: Clock
) -> None:
    assert await storage.inputs.get(user.id) is None
    for uid in ("first", "second"):
        stored = StoredInput(
            uid=uid,
            ingest_url="rtmps://ingest",
            stream_key=Secret("key-canary"),
            created_at=clock(),
        )
        await storage.inputs.save(user.id, stored)
        assert await storage.inputs.get(user.id) == stored
    await storage.inputs.delete(user.id)
    assert await storage.inputs.get(user.id) is None


async def test_a_stream_key_that_was_tampered_with_is_asked_for_again(
    storage: Storage, user: User, clock: Clock
) -> None:
    stored = StoredInput(
        uid="a", ingest_url="rtmps://ingest", stream_key=Secret("k"), created_at=clock()
    )
    await storage.inputs.save(user.id, stored)
    await storage.database.write(
        lambda connection: (
            connection.execute("UPDATE inputs SET stream_key = zeroblob(40)").rowcount
        )
    )
    assert await storage.inputs.get(user.id) is None


async def test_secrets_stay_readable_after_a_restart(open_store: OpenStore) -> None:
    async with open_store() as storage:
        user = await storage.users.add("demo", "correct horse")
        await storage.accounts.save(user.id, "twitch", IDENTITY, TOKENS)
    async with open_store() as storage:
        stored = await storage.accounts.get(user.id, "twitch")
        assert stored is not None and stored.tokens == TOKENS


async def test_destinations_are_switched_one_by_one(storage: Storage, user: User) -> None:
    assert await storage.destinations.all(user.id) == {}
    await storage.destinations.set(user.id, "twitch", True)
    await storage.destinations.set(user.id, "kick", True)
    await storage.destinations.set(user.id, "twitch", False)
    assert await storage.destinations.all(user.id) == {"kick": True, "twitch": False}
    await storage.destinations.delete(user.id, "kick")
    assert await storage.destinations.all(user.id) == {"twitch": False}


async def test_metadata_is_empty_until_it_is_set(storage: Storage, user: User) -> None:
    assert await storage.metadata.get(user.id) == ("", "")
    await storage.metadata.set(user.id, "Löten für alle", "Science & Technology")
    await storage.metadata.set(user.id, "Löten für alle 2", "Science & Technology")
    assert await storage.metadata.get(user.id) == ("Löten für alle 2", "Science & Technology")


async def test_a_late_renewal_does_not_write_into_another_account_s_row(
    storage: Storage, user: User
) -> None:
    other = Identity(platform_user_id="9", login="other", display_name="Other")
    await storage.accounts.save(user.id, "twitch", other, TOKENS)
    late = Tokens(access=Secret("late"), refresh=Secret("late"))
    with pytest.raises(CommandRefused):
        await storage.accounts.save_tokens(user.id, "twitch", late, of="1")
    stored = await storage.accounts.get(user.id, "twitch")
    assert stored is not None and stored.tokens == TOKENS
    await storage.accounts.save_tokens(user.id, "twitch", late, of="9")
    stored = await storage.accounts.get(user.id, "twitch")
    assert stored is not None and stored.tokens.access == Secret("late")
