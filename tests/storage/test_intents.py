from datetime import timedelta

import pytest

from streampai.storage import Intent, Storage, User

from .conftest import Clock, OpenStore


async def test_an_intent_is_open_until_its_outcome_is_known(
    storage: Storage, user: User, clock: Clock
) -> None:
    first = await storage.intents.begin(user.id, "create_output", "twitch", {"input": "abc"})
    second = await storage.intents.begin(user.id, "send_chat", "twitch", {})
    assert await storage.intents.open_for(user.id) == [
        Intent(
            id=first,
            user_id=user.id,
            kind="create_output",
            key="twitch",
            details={"input": "abc"},
            created_at=clock(),
        ),
        Intent(
            id=second,
            user_id=user.id,
            kind="send_chat",
            key="twitch",
            details={},
            created_at=clock(),
        ),
    ]
    await storage.intents.finish(first, "done", {"uid": "x"})
    await storage.intents.finish(first, "failed", {})
    assert [intent.id for intent in await storage.intents.open_for(user.id)] == [second]
    row = await storage.database.read(
        lambda connection: connection.execute(
            "SELECT outcome, result FROM intents WHERE id = ?", (first,)
        ).fetchone()
    )
    assert row == ("done", '{"uid":"x"}')


async def test_intents_are_each_users_own(storage: Storage, user: User) -> None:
    other = await storage.users.add("other", "correct horse")
    await storage.intents.begin(user.id, "create_output", "twitch", {})
    assert await storage.intents.open_for(other.id) == []


async def test_an_unknown_outcome_and_an_unknown_intent_are_errors(
    storage: Storage, user: User
) -> None:
    intent = await storage.intents.begin(user.id, "create_output", "twitch", {})
    with pytest.raises(ValueError, match="done, failed, abandoned"):
        await storage.intents.finish(intent, "maybe", {})
    with pytest.raises(LookupError):
        await storage.intents.finish(intent + 1, "done", {})


async def test_finished_intents_are_kept_for_a_month_and_open_ones_for_ever(
    storage: Storage, user: User, clock: Clock
) -> None:
    still_open = await storage.intents.begin(user.id, "a", "", {})
    finished = await storage.intents.begin(user.id, "b", "", {})
    await storage.intents.finish(finished, "done", {})
    clock.forward(days=31)
    latest = await storage.intents.begin(user.id, "c", "", {})
    kept = await storage.database.read(
        lambda connection: connection.execute("SELECT id FROM intents ORDER BY id").fetchall()
    )
    assert kept == [(still_open,), (latest,)]


async def test_open_intents_survive_a_restart(open_store: OpenStore) -> None:
    async with open_store() as storage:
        user = await storage.users.add("demo", "correct horse")
        intent = await storage.intents.begin(user.id, "create_output", "twitch", {})
    async with open_store() as storage:
        assert [found.id for found in await storage.intents.open_for(user.id)] == [intent]


async def test_a_command_is_accepted_once_per_user(storage: Storage, user: User) -> None:
    other = await storage.users.add("other", "correct horse")
    assert not await storage.commands.seen("c1", user.id)
    assert await storage.commands.accept("c1", user.id, "start_stream")
    assert await storage.commands.seen("c1", user.id)
    assert not await storage.commands.accept("c1", user.id, "start_stream")
    assert not await storage.commands.seen("c1", other.id)
    assert await storage.commands.accept("c1", other.id, "start_stream")


async def test_the_outcome_of_a_command_can_be_told_again(
    storage: Storage, user: User, clock: Clock
) -> None:
    await storage.commands.accept("c1", user.id, "start_stream")
    clock.forward(seconds=1)
    await storage.commands.accept("c0", user.id, "stop_stream")
    assert await storage.commands.outcome("c1", user.id) is None
    first, second = await storage.commands.unfinished(user.id)
    assert (first.id, first.method) == ("c1", "start_stream")
    assert (second.id, second.method) == ("c0", "stop_stream")
    assert second.accepted_at - first.accepted_at == timedelta(seconds=1)
    await storage.commands.finish("c1", user.id, b'{"type":"command_done"}')
    assert await storage.commands.outcome("c1", user.id) == b'{"type":"command_done"}'
    assert await storage.commands.unfinished(user.id) == [second]
    assert await storage.commands.outcome("unknown", user.id) is None
    with pytest.raises(LookupError):
        await storage.commands.finish("unknown", user.id, b"")


async def test_command_ids_are_kept_for_a_week(storage: Storage, user: User, clock: Clock) -> None:
    await storage.commands.accept("c1", user.id, "start_stream")
    clock.forward(days=6, hours=23)
    assert not await storage.commands.accept("c1", user.id, "start_stream")
    clock.forward(hours=2)
    assert await storage.commands.accept("c1", user.id, "start_stream")
