import pytest

from streampai.storage import Storage, User

from .conftest import Clock, OpenStore


async def test_a_token_finds_its_session(storage: Storage, user: User, clock: Clock) -> None:
    token, session = await storage.sessions.create(user.id, lifetime=60, user_agent="Firefox")
    assert await storage.sessions.find(token) == session
    assert session.user_id == user.id
    assert session.created_at == clock()
    assert (session.expires_at - session.created_at).total_seconds() == 60


async def test_tokens_ids_and_csrf_values_differ_between_sessions(
    storage: Storage, user: User
) -> None:
    token, session = await storage.sessions.create(user.id, lifetime=60)
    other_token, other = await storage.sessions.create(user.id, lifetime=60)
    assert token != other_token
    assert session.id != other.id
    assert session.csrf != other.csrf
    assert session.csrf not in (token, session.id)


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 10_000, "ключ", "\ud800"])
async def test_an_unknown_token_finds_nothing(storage: Storage, user: User, token: str) -> None:
    await storage.sessions.create(user.id, lifetime=60)
    assert await storage.sessions.find(token) is None


async def test_a_session_ends_with_its_lifetime(storage: Storage, user: User, clock: Clock) -> None:
    token, _ = await storage.sessions.create(user.id, lifetime=60)
    clock.forward(seconds=59.999)
    assert await storage.sessions.find(token) is not None
    clock.forward(milliseconds=1)
    assert await storage.sessions.find(token) is None


async def test_a_new_session_clears_the_expired_away(
    storage: Storage, user: User, clock: Clock
) -> None:
    for _ in range(3):
        await storage.sessions.create(user.id, lifetime=60)
    clock.forward(seconds=60)
    await storage.sessions.create(user.id, lifetime=60)
    count = await storage.database.read(
        lambda connection: connection.execute("SELECT count(*) FROM sessions").fetchone()
    )
    assert count == (1,)


async def test_revoking_ends_one_session_and_revoking_all_ends_the_users(
    storage: Storage, user: User
) -> None:
    other = await storage.users.add("other", "correct horse")
    made = [await storage.sessions.create(user.id, lifetime=60) for _ in range(3)]
    others, _ = await storage.sessions.create(other.id, lifetime=60)
    await storage.sessions.revoke(made[0][1].id)
    await storage.sessions.revoke(made[0][1].id)
    assert [await storage.sessions.find(token) is None for token, _ in made] == [True, False, False]
    await storage.sessions.revoke_all(user.id)
    assert [await storage.sessions.find(token) for token, _ in made] == [None] * 3
    assert await storage.sessions.find(others) is not None


async def test_a_session_survives_a_restart_with_the_same_csrf_value(
    open_store: OpenStore,
) -> None:
    async with open_store() as storage:
        user = await storage.users.add("demo", "correct horse")
        token, session = await storage.sessions.create(user.id, lifetime=60)
    async with open_store() as storage:
        assert await storage.sessions.find(token) == session
