"""Who is asking: log-ins by cookie, and the checks that no foreign page can pass.

A request is believed to come from one of our own pages when its ``Origin``
says so (browsers send it with everything that changes something, and with
every WebSocket handshake). Scripts send no ``Origin``; with the cookie they
send the log-in's CSRF token instead.
"""

import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
from quart import Response
from quart.wrappers import Request, Websocket

from ..errors import NotAuthorised, RateLimited
from ..settings import Secret, WebSettings
from .throttle import Throttle

if TYPE_CHECKING:
    from ..storage import Session, Storage, User

# Guessing at one name: ten tries, then one in half a minute. From one address there may
# be a whole household or office behind.
NAME_RATE, NAME_BURST = 1 / 30, 10
ADDRESS_RATE, ADDRESS_BURST = 1 / 3, 30
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
KEY_HEADER = "X-API-Key"
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


@attrs.frozen
class Visit:
    """A request of somebody who has logged in."""

    session: "Session"

    @property
    def user_id(self) -> int:
        return self.session.user_id


class Login:
    def __init__(self, settings: WebSettings, storage: "Storage") -> None:
        self._settings = settings
        self._storage = storage
        self._names = Throttle(rate=NAME_RATE, burst=NAME_BURST)
        self._addresses = Throttle(rate=ADDRESS_RATE, burst=ADDRESS_BURST)
        base = urlsplit(settings.base_url)
        self._own_origin = f"{base.scheme}://{base.netloc}" if settings.base_url else ""
        self.secure = base.scheme == "https"
        # Browsers take a __Host- cookie only when it is Secure and from this very host.
        self.cookie = "__Host-streampai" if self.secure else "streampai"

    async def log_in(
        self, name: str, password: str, *, address: str, user_agent: str
    ) -> "tuple[str, Session, User]":
        """A new log-in and its token.

        Raises RateLimited, NotAuthorised ``invalid_credentials`` (after the same
        work whether the name exists or not), StorageUnavailable.
        """
        # A refused address takes nothing from the name: it must not lock its owner out.
        wait = self._addresses.take(address) or self._names.take(name)
        if wait:
            raise RateLimited("Too many attempts to log in.", retry_after=round(wait, 1))
        user = await self._storage.users.authenticate(name, password)
        self._names.give_back(name)
        self._addresses.give_back(address)
        token, session = await self._storage.sessions.create(
            user.id, lifetime=self._settings.session_lifetime, user_agent=user_agent
        )
        return token, session, user

    def token(self, request: Request | Websocket) -> Secret | None:
        """The cookie's token, if there is one."""
        text = request.cookies.get(self.cookie)
        return Secret(text) if text else None

    async def visit(self, request: Request | Websocket) -> Visit | None:
        """Raises StorageUnavailable."""
        token = self.token(request)
        session = await self._storage.sessions.find(token.reveal()) if token else None
        return Visit(session) if session is not None else None

    def check_origin(self, request: Request | Websocket) -> None:
        """Raises NotAuthorised ``bad_origin`` when another site's page is asking."""
        origin = request.headers.get("Origin")
        if origin is None:
            return
        if self._own_origin:
            own = origin == self._own_origin
        else:
            parts = urlsplit(origin)
            own = parts.scheme in ("http", "https") and parts.netloc == request.headers.get("Host")
        if not own:
            raise NotAuthorised(code="bad_origin")

    def check_forgery(self, request: Request, visit: Visit) -> None:
        """For what changes something. Raises NotAuthorised ``bad_origin`` or ``forbidden``."""
        if request.method in SAFE_METHODS:
            return
        self.check_origin(request)
        if "Origin" not in request.headers:
            given = request.headers.get(CSRF_HEADER, "")
            if not same(given, visit.session.csrf):
                raise NotAuthorised(f"Send the log-in's {CSRF_HEADER}.", code="forbidden")

    def check_key(self, request: Request) -> None:
        """Raises NotAuthorised unless the request carries the admin key."""
        key = self._settings.admin_key
        if not key or not same(request.headers.get(KEY_HEADER, ""), key.reveal()):
            raise NotAuthorised(f"Send the admin key as {KEY_HEADER}.")

    def set_cookie(self, response: Response, token: str) -> None:
        response.set_cookie(
            self.cookie,
            token,
            max_age=round(self._settings.session_lifetime),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="Lax",
        )

    def clear_cookie(self, response: Response) -> None:
        response.delete_cookie(
            self.cookie, path="/", secure=self.secure, httponly=True, samesite="Lax"
        )


def same(given: str, right: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def address_of(request: Request) -> str:
    """The peer's address; behind a proxy on this machine, the one that the proxy saw."""
    client = request.scope.get("client")
    peer = str(client[0]) if client else ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if forwarded and (peer in _LOOPBACK or not peer):
        return forwarded.rsplit(",", 1)[-1].strip()
    return peer
