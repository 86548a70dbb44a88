"""The one line that a start prints: where it is, and how to log in."""

import shlex
import sys
from typing import TYPE_CHECKING

from ..settings import Settings
from .daemon_client import reachable
from .sandbox_process import control_url

if TYPE_CHECKING:
    from ..app import Application

DEMO = "demo"


def _command(action: str, name: str, settings: Settings) -> str:
    """How to call this program again, from wherever it was called now."""
    data = shlex.quote(str(settings.storage.data))
    return f"{shlex.quote(sys.argv[0])} user {action} {name} --data {data}"


async def greeting(app: "Application", settings: Settings, *, base_port: int | None) -> str:
    """The line. With a sandbox at ``base_port`` and no user yet, ``demo`` is made and connected first;
    later, accounts that a fresh sandbox does not know are connected anew.

    Raises what add_demo_user and the store raise.
    """
    url = reachable(settings.web.base_url or app.urls[0])
    names = [user.name for user in await app.storage.users.all()]
    if base_port is None:
        if names:
            return f"Streampai is at {url}/"
        return f"Streampai is at {url}/ - add a user: {_command('add', 'NAME', settings)}"
    simulated = f"(platforms are simulated; their controls: {control_url(base_port)}/)"
    from .demo_user import add_demo_user, renew_connections

    if not names:
        password = await add_demo_user(app.storage, app.platforms, DEMO, url)
        return f"Streampai is at {url}/ - log in as {DEMO} with password {password} {simulated}"
    await renew_connections(app, url)
    name = DEMO if DEMO in names else names[0]
    again = _command("passwd", name, settings)
    return f"Streampai is at {url}/ - log in as {name}; a new password: {again} {simulated}"
