import io

import pytest
import trio

from streampai.errors import NotAuthorised
from streampai.settings import load_settings
from streampai.storage import open_storage
from streampai.telemetry import Telemetry


@pytest.fixture
def type_in(monkeypatch):
    def type_in(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return type_in


def authenticate(name, password):
    """What the daemon would do with this log-in."""

    async def ask():
        async with open_storage(load_settings().storage, telemetry=Telemetry()) as storage:
            return await storage.users.authenticate(name, password)

    return trio.run(ask)


def test_a_user_is_added_and_can_log_in(streampai, type_in):
    type_in("correct horse\n")
    code, out, _ = streampai("user", "add", "ann", "--password-stdin")
    assert (code, out) == (0, "Added ann.\n")
    user = authenticate("ann", "correct horse")
    assert (user.name, user.admin) == ("ann", False)


def test_an_admin_is_listed_as_one(streampai, type_in):
    for name, more in (("ann", ["--admin"]), ("bob", [])):
        type_in("correct horse\r\n")
        streampai("user", "add", name, "--password-stdin", *more)
    code, out, _ = streampai("user", "list")
    assert code == 0
    ann, bob = (line.split() for line in out.splitlines())
    assert ann[:2] == ["1", "ann"] and ann[3:] == ["admin"]
    assert bob[:2] == ["2", "bob"] and bob[3:] == []


def test_a_new_password_replaces_the_old_one(streampai, type_in):
    type_in("correct horse\n")
    streampai("user", "add", "ann", "--password-stdin")
    type_in("battery staple\n")
    code, out, _ = streampai("user", "passwd", "ann", "--password-stdin")
    assert code == 0
    assert "all its log-ins have ended" in out
    authenticate("ann", "battery staple")
    with pytest.raises(NotAuthorised):
        authenticate("ann", "correct horse")


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("ann", "short\n", "8 to 1024"),
        ("ann", "", "8 to 1024"),
        ("Ann Smith", "correct horse\n", "1 to 32"),
    ],
)
def test_a_name_or_password_that_will_not_do_is_one_line(streampai, type_in, name, password, says):
    type_in(password)
    code, out, err = streampai("user", "add", name, "--password-stdin")
    assert (code, out) == (1, "")
    assert says in err
    assert password.strip() == "" or password.strip() not in err


def test_a_taken_name_and_an_unknown_one_are_one_line(streampai, type_in):
    type_in("correct horse\n")
    streampai("user", "add", "ann", "--password-stdin")
    type_in("correct horse\n")
    assert "taken" in streampai("user", "add", "ann", "--password-stdin")[2]
    type_in("correct horse\n")
    assert "There is no user bob" in streampai("user", "passwd", "bob", "--password-stdin")[2]


def test_the_data_directory_can_be_named(streampai, type_in, tmp_path):
    type_in("correct horse\n")
    elsewhere = str(tmp_path / "elsewhere")
    assert streampai("user", "add", "ann", "--password-stdin", "--data", elsewhere)[0] == 0
    assert "ann" in streampai("user", "list", "--data", elsewhere)[1]


def test_a_mistyped_data_directory_is_not_made(streampai, tmp_path):
    for words in (["list"], ["passwd", "ann", "--password-stdin"]):
        code, _, err = streampai("user", *words, "--data", str(tmp_path / "no"))
        assert code == 2
        assert "There is no data directory" in err
    assert not (tmp_path / "no").exists()


def test_without_a_terminal_the_password_must_come_by_standard_input(streampai, type_in):
    type_in("correct horse\n")
    code, _, err = streampai("user", "add", "ann")
    assert code == 2
    assert "--password-stdin" in err


def test_on_a_terminal_the_password_is_asked_for_twice(streampai, monkeypatch):
    answers = iter(["correct horse", "correct horse", "one thing 1", "another 1"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert streampai("user", "add", "ann")[0] == 0
    authenticate("ann", "correct horse")
    code, _, err = streampai("user", "passwd", "ann")
    assert code == 1
    assert "differ" in err


def test_users_can_be_added_while_the_daemon_has_the_store_open(streampai, type_in):
    async def meanwhile():
        async with open_storage(load_settings().storage, telemetry=Telemetry()) as storage:
            type_in("correct horse\n")
            code, _, err = await trio.to_thread.run_sync(
                streampai, "user", "add", "ann", "--password-stdin"
            )
            assert (code, err) == (0, "")
            assert (await storage.users.authenticate("ann", "correct horse")).name == "ann"

    trio.run(meanwhile)
