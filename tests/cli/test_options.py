from streampai.cli.options import environment, sandbox_environment, sandbox_settings
from streampai.sandbox import open_sandbox
from streampai.settings import load_settings


def test_an_option_stands_above_the_environment():
    environ = {"STREAMPAI_PORT": "1", "STREAMPAI_HOST": "::1"}
    assert environment(environ, STREAMPAI_PORT=2, STREAMPAI_HOST=None) == {
        "STREAMPAI_PORT": "2",
        "STREAMPAI_HOST": "::1",
    }
    assert environ["STREAMPAI_PORT"] == "1"


def test_port_0_is_an_option_too():
    assert environment({"STREAMPAI_PORT": "8080"}, STREAMPAI_PORT=0)["STREAMPAI_PORT"] == "0"


async def test_a_daemon_knows_the_settings_of_a_sandbox_before_it_runs(base_port):
    async with open_sandbox(base_port=base_port) as sandbox:
        assert sandbox_settings(base_port) == sandbox.settings_environment()


def test_real_accounts_are_out_of_reach_of_a_simulation():
    real = {
        "STREAMPAI_CLOUDFLARE_URL": "https://api.cloudflare.com/client/v4",
        "STREAMPAI_CLOUDFLARE_TOKEN": "CANARY",
        "STREAMPAI_TWITCH_CLIENT_SECRET": "CANARY",
        "STREAMPAI_INSTANCE": "mine",
    }
    settings = load_settings(sandbox_environment(real, 8090), simulated=True)
    assert settings.cloudflare.url == "http://127.0.0.1:8091/client/v4"
    assert settings.twitch.api_url == "http://127.0.0.1:8092/helix"
    assert "CANARY" not in settings.cloudflare.token.reveal()
    assert "CANARY" not in settings.twitch.client_secret.reveal()
    assert settings.cloudflare.instance == "mine"


def test_no_address_of_the_outside_world_is_left_in_a_simulation():
    settings = load_settings(sandbox_environment({}, 8090), simulated=True)
    for section in (settings.cloudflare, settings.twitch):
        for name in ("url", "api_url", "auth_url", "eventsub_url", "ingest_url"):
            assert "//127.0.0.1:" in getattr(section, name, "//127.0.0.1:")


def test_the_pace_is_the_sandboxs_unless_somebody_sets_another():
    assert load_settings(sandbox_environment({}, 1)).cloudflare.input_poll_interval == 1.0
    environ = {"CLOUDFLARE_INPUT_POLL_INTERVAL": "200"}
    assert load_settings(sandbox_environment(environ, 1)).cloudflare.input_poll_interval == 0.2
