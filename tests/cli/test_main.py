import argparse
import errno
import subprocess
import sys

import pytest

from streampai import __version__
from streampai.cli import main as cli
from streampai.errors import CommandRefused, SettingsError, StorageUnavailable


@pytest.fixture
def failing(monkeypatch, streampai):
    """``streampai health`` that raises the given error instead of asking anybody."""

    def call(error):
        def command(_: argparse.Namespace) -> int:
            raise error

        monkeypatch.setattr(cli, "_health", command)
        return streampai("health")

    return call


@pytest.mark.parametrize("words", [[], ["dance"], ["run", "--port", "x"], ["user", "add"]])
def test_wrong_usage_is_code_2(words, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(words)
    assert exit.value.code == 2
    assert "usage: streampai" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65501", "-1", "ten"])
def test_a_base_port_leaves_room_for_the_services(port, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["sandbox", "--base-port", port])
    assert exit.value.code == 2
    assert "base port" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_idle_seconds_are_positive(seconds, capsys):
    with pytest.raises(SystemExit):
        cli.main(["sandbox", "--exit-when-idle", seconds])
    assert "positive number of seconds" in capsys.readouterr().err


def test_a_wrong_setting_is_one_line_and_code_2(streampai, monkeypatch):
    monkeypatch.setenv("STREAMPAI_PORT", "many")
    for command in (["run"], ["health"], ["tree"], ["user", "list"], ["check-settings"]):
        code, out, err = streampai(*command)
        assert (code, out) == (2, "")
        assert err.startswith("streampai: STREAMPAI_PORT='many': expected a whole number")
        assert err.count("\n") == 1


def test_an_unknown_setting_is_refused(streampai, monkeypatch):
    monkeypatch.setenv("STREAMPAI_PROT", "8080")
    code, _, err = streampai("check-settings")
    assert code == 2
    assert "STREAMPAI_PROT is not a setting" in err


def test_what_failed_on_the_way_is_code_1(failing):
    assert failing(StorageUnavailable("The disk is full.")) == (
        1,
        "",
        "streampai: The disk is full.\n",
    )


def test_errors_in_groups_are_told_one_a_line_and_once(failing):
    inner = BaseExceptionGroup("b", [CommandRefused("No."), CommandRefused("No.")])
    code, _, err = failing(BaseExceptionGroup("a", [inner, SettingsError("X is wrong.")]))
    assert code == 2
    assert err == "streampai: No.\nstreampai: X is wrong.\n"


def test_a_system_error_names_its_file(failing):
    error = PermissionError(errno.EACCES, "Permission denied", "/var/x")
    assert failing(error)[2] == "streampai: /var/x: Permission denied\n"


def test_a_bug_keeps_its_traceback(failing):
    with pytest.raises(KeyError):
        failing(KeyError("bug"))
    with pytest.raises(BaseExceptionGroup):
        failing(BaseExceptionGroup("a", [CommandRefused("No."), KeyError("bug")]))


def test_an_interrupt_from_the_keyboard_is_no_traceback(failing):
    assert failing(KeyboardInterrupt())[0] == 130
    assert failing(BaseExceptionGroup("a", [KeyboardInterrupt()]))[0] == 130


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "streampai", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"streampai {__version__}\n"
