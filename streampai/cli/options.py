"""Command-line options as settings: what is given there stands above the environment."""

from collections.abc import Mapping


def environment(environ: Mapping[str, str], **options: object) -> dict[str, str]:
    """``environ`` with each option that was given under its setting's name."""
    given = {name: str(value) for name, value in options.items() if value is not None}
    return {**environ, **given}


def sandbox_settings(base_port: int) -> dict[str, str]:
    """What ``Sandbox.settings_environment()`` will say of the sandbox at ``base_port``.

    Said without it, because a daemon checks its settings before it starts anything.
    """
    from ..sandbox import SandboxOptions

    options = SandboxOptions()
    cloudflare, twitch = (f"127.0.0.1:{base_port + service}" for service in (1, 2))
    return {
        "STREAMPAI_CLOUDFLARE_URL": f"http://{cloudflare}/client/v4",
        "STREAMPAI_CLOUDFLARE_ACCOUNT": options.account,
        "STREAMPAI_CLOUDFLARE_TOKEN": options.api_token,
        "STREAMPAI_TWITCH_CLIENT_ID": options.client_id,
        "STREAMPAI_TWITCH_CLIENT_SECRET": options.client_secret,
        "STREAMPAI_TWITCH_API_URL": f"http://{twitch}/helix",
        "STREAMPAI_TWITCH_AUTH_URL": f"http://{twitch}/oauth2",
        "STREAMPAI_TWITCH_EVENTSUB_URL": f"ws://{twitch}/ws",
        "STREAMPAI_TWITCH_INGEST_URL": f"rtmp://{twitch}/app",
        "CLOUDFLARE_INPUT_POLL_INTERVAL": "1000",
    }


def sandbox_environment(environ: Mapping[str, str], base_port: int) -> dict[str, str]:
    """``environ`` for a daemon beside the sandbox at ``base_port``.

    Its addresses and credentials replace real ones, so that nothing simulated ever reaches
    a real account. Its pace (names without STREAMPAI_) yields to what ``environ`` says.
    """
    simulated = sandbox_settings(base_port)
    fixed = {name: text for name, text in simulated.items() if name.startswith("STREAMPAI_")}
    return {**simulated, **environ, **fixed}
