"""The newcomer's account, connected to every simulated platform by the real OAuth flow."""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx

from ..errors import CommandRefused, PlatformRefused, PlatformUnavailable, ReloginNeeded
from ..platforms.platform import Identity, Platform, Tokens

if TYPE_CHECKING:
    from ..app import Application
    from ..storage import Storage

# Without the letters and digits that are mistaken for one another; 12 of them are 59 bits.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


async def _connect(
    platform: Platform, http: httpx.AsyncClient, name: str, base_url: str
) -> tuple[Tokens, Identity]:
    """Log in at the platform as a person would; the sandbox consents in that person's place."""
    redirect_uri = f"{base_url}/connections/{platform.name}/callback"
    state = secrets.token_urlsafe(16)
    url = platform.authorize_url(state=state, redirect_uri=redirect_uri)
    try:
        answer = await http.get(f"{url}&sandbox_login={name}", follow_redirects=False)
    except httpx.HTTPError as exc:
        raise PlatformUnavailable(f"{platform.title}'s log-in page does not answer.") from exc
    query = parse_qs(urlsplit(answer.headers.get("location", "")).query)
    if query.get("state") != [state] or "code" not in query:
        raise PlatformRefused(
            f"{platform.title}'s log-in page sent no code ({answer.status_code})."
        )
    return await platform.exchange_code(code=query["code"][0], redirect_uri=redirect_uri)


async def add_demo_user(
    storage: "Storage", platforms: Mapping[str, Platform], user_name: str, base_url: str
) -> str:
    """Make the user and its connections; returns the password, which is kept nowhere else.

    Raises PlatformUnavailable or PlatformRefused when a simulated platform does not play
    along; then there is no user either, so the next start tries again.
    """
    async with httpx.AsyncClient() as http:
        connections = {
            name: await _connect(platform, http, user_name, base_url)
            for name, platform in platforms.items()
            if platform.configured()
        }
    password = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    user = await storage.users.add(user_name, password)
    for name, (tokens, identity) in connections.items():
        await storage.accounts.save(user.id, name, identity, tokens)
        await storage.destinations.set(user.id, name, True)
    return password


async def renew_connections(app: "Application", base_url: str) -> None:
    """Log in anew wherever a fresh sandbox does not know the tokens of the one before.

    A sandbox forgets when it is stopped, as no platform does. Raises what
    add_demo_user raises.
    """
    accounts = app.storage.accounts
    async with httpx.AsyncClient() as http:
        for user in await app.storage.users.all():
            for stored in await accounts.all(user.id):
                platform = app.platforms[stored.platform]
                try:
                    await platform.refresh(stored.tokens)
                except ReloginNeeded:
                    login = stored.identity.login
                    tokens, identity = await _connect(platform, http, login, base_url)
                    await accounts.save(user.id, stored.platform, identity, tokens)
                    # Its tree may be up already; otherwise it reads what is stored.
                    with suppress(CommandRefused):
                        await app.manager.user(user.id).account_changed(stored.platform)
