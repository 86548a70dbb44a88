"""Log-ins at platforms that were begun here and have not come back yet."""

import secrets
from collections import OrderedDict

import attrs
import trio

from ..errors import CommandRefused
from .login import same

# Seconds in which somebody logs in at the platform and comes back.
STATE_LIFETIME = 600.0
# Log-ins at platforms that were begun and not finished; the oldest is forgotten.
MAX_STATES = 10_000


@attrs.frozen
class _Begun:
    session_id: str
    platform: str
    redirect_uri: str
    until: float


class PendingLogins:
    """States of the code flow. Each is good once, for the log-in that it was made for."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, _Begun] = OrderedDict()

    def begin(self, session_id: str, platform: str, redirect_uri: str) -> str:
        state = secrets.token_urlsafe(24)
        until = trio.current_time() + STATE_LIFETIME
        self._begun[state] = _Begun(session_id, platform, redirect_uri, until)
        if len(self._begun) > MAX_STATES:
            self._begun.popitem(last=False)
        return state

    def take(self, state: str, session_id: str, platform: str) -> str:
        """The redirect URI that was used. Raises CommandRefused ``bad_request``."""
        begun = self._begun.pop(state, None)
        if (
            begun is None
            or begun.until < trio.current_time()
            or begun.platform != platform
            or not same(begun.session_id, session_id)
        ):
            raise CommandRefused("This log-in was not begun here, or too long ago; try again.")
        return begun.redirect_uri
