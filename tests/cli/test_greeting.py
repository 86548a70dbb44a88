import re
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from streampai.app import open_application
from streampai.cli.greeting import greeting
from streampai.errors import PlatformRefused, PlatformUnavailable
from streampai.sandbox import open_sandbox
from streampai.settings import load_settings


@asynccontextmanager
async def open_daemon(tmp_path, environ=None):
    settings = load_settings(
        {"STREAMPAI_PORT": "0", "STREAMPAI_DATA": str(tmp_path / "data"), **(environ or {})},
        simulated=environ is not None,
    )
    async with open_application(settings) as app:
        yield app, settings


@pytest.fixture
async def sandbox():
    async with open_sandbox(base_port=0) as sandbox:
        yield sandbox


def password_of(line):
    return re.search(r"with password (\S+) ", line)[1]


async def test_a_newcomer_gets_a_demo_user_connected_to_the_simulated_platforms(tmp_path, sandbox):
    async with open_daemon(tmp_path, sandbox.settings_environment()) as (app, settings):
        line = await greeting(app, settings, base_port=8090)
        user = await app.storage.users.authenticate("demo", password_of(line))
        accounts = {a.platform: a for a in await app.storage.accounts.all(user.id)}
        destinations = await app.storage.destinations.all(user.id)
    assert line.startswith(f"Streampai is at {app.urls[0]}/ - log in as demo with password ")
    assert line.endswith("(platforms are simulated; their controls: http://127.0.0.1:8090/)")
    assert "\n" not in line
    assert accounts.keys() == destinations.keys() == {"twitch"}
    assert accounts["twitch"].identity.login == "demo"
    assert not accounts["twitch"].relogin
    assert accounts["twitch"].tokens.refresh
    assert all(destinations.values())


async def test_a_later_start_tells_how_to_set_a_new_password(tmp_path, sandbox):
    async with open_daemon(tmp_path, sandbox.settings_environment()) as (app, settings):
        first = await greeting(app, settings, base_port=8090)
        later = await greeting(app, settings, base_port=8090)
        assert len(await app.storage.users.all()) == 1
    assert password_of(first) not in later
    assert "log in as demo" in later
    assert f"user passwd demo --data {tmp_path / 'data'}" in later


async def test_every_demo_user_has_another_password(tmp_path, sandbox):
    lines = []
    for number in range(2):
        environ = sandbox.settings_environment()
        async with open_daemon(tmp_path / str(number), environ) as (app, settings):
            lines.append(await greeting(app, settings, base_port=8090))
    one, two = map(password_of, lines)
    assert one != two
    assert len(one) == 12


async def test_users_who_are_there_are_left_as_they_are(tmp_path, sandbox):
    async with open_daemon(tmp_path, sandbox.settings_environment()) as (app, settings):
        await app.storage.users.add("ann", "correct horse")
        line = await greeting(app, settings, base_port=8090)
        assert [user.name for user in await app.storage.users.all()] == ["ann"]
    assert "log in as ann" in line


async def test_a_platform_that_sends_no_code_leaves_no_user_behind(tmp_path, sandbox):
    environ = sandbox.settings_environment()
    environ["STREAMPAI_TWITCH_CLIENT_ID"] = "unknown"
    async with open_daemon(tmp_path, environ) as (app, settings):
        with pytest.raises(PlatformRefused):
            await greeting(app, settings, base_port=8090)
        assert await app.storage.users.all() == []


async def test_a_platform_that_is_not_there_leaves_no_user_behind(tmp_path, sandbox):
    environ = sandbox.settings_environment()
    environ["STREAMPAI_TWITCH_AUTH_URL"] = "http://127.0.0.1:9/oauth2"
    async with open_daemon(tmp_path, environ) as (app, settings):
        with pytest.raises(PlatformUnavailable):
            await greeting(app, settings, base_port=8090)
        assert await app.storage.users.all() == []


async def test_without_a_sandbox_nobody_is_made_and_the_command_is_told(tmp_path):
    async with open_daemon(tmp_path) as (app, settings):
        line = await greeting(app, settings, base_port=None)
        assert f"user add NAME --data {tmp_path / 'data'}" in line
        assert await app.storage.users.all() == []
        await app.storage.users.add("ann", "correct horse")
        assert await greeting(app, settings, base_port=None) == f"Streampai is at {app.urls[0]}/"


async def test_the_address_is_one_that_a_browser_can_open(tmp_path):
    async with open_daemon(tmp_path / "a", None) as (app, settings):
        assert urlsplit(app.urls[0]).hostname == "127.0.0.1"
    settings = load_settings({"STREAMPAI_BASE_URL": "https://stream.example"})
    async with open_daemon(tmp_path / "b", None) as (app, _):
        line = await greeting(app, settings, base_port=None)
    assert line.startswith("Streampai is at https://stream.example/")


@asynccontextmanager
async def open_show_house(tmp_path):
    """A sandbox that nobody has used, and the daemon beside it."""
    async with (
        open_sandbox(base_port=0) as sandbox,
        open_daemon(tmp_path, sandbox.settings_environment()) as (app, settings),
    ):
        yield app, settings


async def test_a_fresh_sandbox_gets_to_know_the_accounts_of_the_one_before(tmp_path):
    async with open_show_house(tmp_path) as (app, settings):
        await greeting(app, settings, base_port=8090)
    async with open_show_house(tmp_path) as (app, settings):
        (user,) = await app.storage.users.all()
        before = await app.storage.accounts.get(user.id, "twitch")
        manager = await app.manager.ensure_user(user.id)
        await greeting(app, settings, base_port=8090)
        account = await app.storage.accounts.get(user.id, "twitch")
        assert account.tokens != before.tokens
        assert account.identity == before.identity
        assert not account.relogin
        assert await manager.accounts.get("twitch").destination()
        # One that is known is left as it is.
        await greeting(app, settings, base_port=8090)
        assert (await app.storage.accounts.get(user.id, "twitch")).tokens == account.tokens
