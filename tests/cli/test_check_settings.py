from pathlib import Path

import attrs

from streampai.cli.check_settings import template
from streampai.settings import SECTIONS, load_settings

ETC = Path(__file__).parents[2] / "etc"


def test_the_environment_file_has_every_setting_with_its_default():
    """Renew it with: streampai check-settings --template > etc/streampai.env"""
    assert (ETC / "streampai.env").read_text() == template()


def test_the_template_can_be_uncommented_as_it_is():
    lines = [line for line in template().splitlines() if line.startswith("#") and "=" in line]
    values = dict(
        line[1:].split("=", 1) for line in lines if line[1:2].isupper() and " " not in line
    )
    names = {
        field.metadata["name"] for section in SECTIONS.values() for field in attrs.fields(section)
    }
    assert set(values) == names
    assert load_settings(values) == load_settings({})


def test_each_setting_is_told_with_value_origin_and_story(streampai, monkeypatch, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("streampai_log_format = 'json'\n")
    monkeypatch.setenv("STREAMPAI_SETTINGS", str(file))
    monkeypatch.setenv("STREAMPAI_PORT", "9999")
    code, out, _ = streampai("check-settings")
    assert code == 0
    assert "STREAMPAI_PORT=9999  (environment)\n    Port;" in out
    assert f"STREAMPAI_LOG_FORMAT=json  ({file})" in out
    assert "STREAMPAI_HOST=127.0.0.1  (default)" in out


def test_secrets_are_masked(streampai, monkeypatch):
    for name in ("STREAMPAI_ADMIN_KEY", "STREAMPAI_CLOUDFLARE_TOKEN", "STREAMPAI_KEY"):
        monkeypatch.setenv(name, "CANARY" + name)
    code, out, err = streampai("check-settings")
    assert code == 0
    assert "CANARY" not in out + err
    assert "STREAMPAI_ADMIN_KEY=…  (environment)" in out


def test_the_template_holds_no_value_of_the_environment(streampai, monkeypatch):
    monkeypatch.setenv("STREAMPAI_ADMIN_KEY", "CANARY")
    code, out, _ = streampai("check-settings", "--template")
    assert (code, out) == (0, template())


def unit():
    lines = (ETC / "streampai.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_systemd_waits_longer_than_the_daemon_takes():
    assert float(unit()["TimeoutStopSec"]) > load_settings({}).web.shutdown_grace + 5


def test_the_unit_is_what_the_daemon_expects():
    assert unit()["Type"] == "notify"
    assert unit()["WatchdogSec"] == "30"
    assert unit()["ExecStart"].endswith("/streampai run")
