import argon2
import pytest
import trio

from streampai.errors import BadRequest, CommandRefused, NotAuthorised
from streampai.storage import Argon2Parameters, Storage, User

from .conftest import QUICK, Clock, OpenStore


async def test_an_added_user_is_found_by_id_and_by_name(storage: Storage, clock: Clock) -> None:
    demo = await storage.users.add("demo", "correct horse")
    admin = await storage.users.add("the-admin.2", "battery staple", admin=True)
    assert demo == User(id=demo.id, name="demo", admin=False, created_at=clock())
    assert await storage.users.get(demo.id) == demo
    assert await storage.users.by_name("the-admin.2") == admin
    assert admin.admin
    assert await storage.users.all() == [demo, admin]


async def test_an_unknown_user_is_none(storage: Storage) -> None:
    assert await storage.users.get(1) is None
    assert await storage.users.by_name("demo") is None


@pytest.mark.parametrize("name", ["", "a" * 33, "Demo", "de mo", "démo", "demo\n", "a/b", "a:b"])
async def test_a_malformed_name_is_refused(storage: Storage, name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await storage.users.add(name, "correct horse")
    assert caught.value.details == {"field": "name"}


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
async def test_a_password_of_the_wrong_length_is_refused(storage: Storage, password: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await storage.users.add("demo", password)
    assert caught.value.details == {"field": "password"}
    assert await storage.users.all() == []


async def test_a_name_can_be_taken_once(storage: Storage, user: User) -> None:
    with pytest.raises(BadRequest, match="taken"):
        await storage.users.add(user.name, "another password")
    assert await storage.users.authenticate(user.name, "correct horse") == user


async def test_the_right_password_gives_the_user(storage: Storage, user: User) -> None:
    assert await storage.users.authenticate("demo", "correct horse") == user


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("demo", "wrong horse"),
        ("demo", ""),
        ("nobody", "correct horse"),
        ("demo", "x" * 5000),
        ("\ud800", "correct horse"),
        ("demo", "\ud800\ud800\ud800\ud800"),
        ("demo\0", "correct horse"),
    ],
)
async def test_a_wrong_name_and_a_wrong_password_are_refused_alike(
    storage: Storage, user: User, name: str, password: str
) -> None:
    with pytest.raises(NotAuthorised) as caught:
        await storage.users.authenticate(name, password)
    assert caught.value.code == "invalid_credentials"
    assert caught.value.details == {}


async def test_an_unknown_name_costs_the_same_hashing(
    storage: Storage, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[argon2.Parameters] = []
    verify = argon2.PasswordHasher.verify

    def spy(self: argon2.PasswordHasher, hash: str, password: bytes) -> bool:
        verified.append(argon2.extract_parameters(hash))
        return verify(self, hash, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", spy)
    for name in ("demo", "nobody"):
        with pytest.raises(NotAuthorised):
            await storage.users.authenticate(name, "wrong horse")
    known, unknown = verified
    assert known == unknown


async def stored_hash(storage: Storage) -> str:
    def first(connection: object) -> str:
        return connection.execute("SELECT password_hash FROM users").fetchone()[0]  # type: ignore[attr-defined, no-any-return]

    return await storage.database.read(first)


async def test_a_hash_of_other_parameters_is_renewed_at_the_next_log_in(
    open_store: OpenStore,
) -> None:
    async with open_store() as storage:
        await storage.users.add("demo", "correct horse")
        before = await stored_hash(storage)
        await storage.users.authenticate("demo", "correct horse")
        assert await stored_hash(storage) == before
    stronger = Argon2Parameters(time_cost=QUICK.time_cost + 1, memory=QUICK.memory)
    async with open_store(argon2=stronger) as storage:
        with pytest.raises(NotAuthorised):
            await storage.users.authenticate("demo", "wrong horse")
        assert await stored_hash(storage) == before
        await storage.users.authenticate("demo", "correct horse")
        after = await stored_hash(storage)
        assert argon2.extract_parameters(after).time_cost == stronger.time_cost
        await storage.users.authenticate("demo", "correct horse")


async def test_the_default_parameters_are_owasps() -> None:
    assert Argon2Parameters() == Argon2Parameters(time_cost=2, memory=19456, parallelism=1)


async def test_a_new_password_replaces_the_old_one_and_ends_every_log_in(
    storage: Storage, user: User
) -> None:
    other = await storage.users.add("other", "correct horse")
    token, _ = await storage.sessions.create(user.id, lifetime=60)
    others, _ = await storage.sessions.create(other.id, lifetime=60)
    await storage.users.set_password("demo", "battery staple")
    with pytest.raises(NotAuthorised):
        await storage.users.authenticate("demo", "correct horse")
    assert await storage.users.authenticate("demo", "battery staple") == user
    assert await storage.sessions.find(token) is None
    assert await storage.sessions.find(others) is not None


async def test_the_password_of_an_unknown_user_cannot_be_set(storage: Storage) -> None:
    with pytest.raises(CommandRefused) as caught:
        await storage.users.set_password("nobody", "battery staple")
    assert caught.value.code == "not_found"


async def test_a_password_is_the_same_however_its_letters_are_composed(storage: Storage) -> None:
    user = await storage.users.add("demo", "caf\u00e9 cr\u00e8me")
    assert await storage.users.authenticate("demo", "cafe\u0301 cre\u0300me") == user


async def test_many_log_ins_at_once_all_succeed(storage: Storage, user: User) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(storage.users.authenticate, "demo", "correct horse")
