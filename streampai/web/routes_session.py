"""Logging in and out."""

import attrs
from quart import Response, request
from quart.typing import ResponseReturnValue

from ..errors import StreampaiError
from .app import json_response
from .browsers import Browsers
from .login import Login, Visit, address_of
from .route import Access, Route
from .services import WebServices


@attrs.frozen(kw_only=True)
class Credentials:
    username: str
    password: str = attrs.field(repr=False)


class SessionRoutes:
    def __init__(self, services: WebServices, login: Login, browsers: Browsers) -> None:
        self._services = services
        self._login = login
        self._browsers = browsers

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="POST",
                path="/api/session",
                handler=self.log_in,
                body=Credentials,
                access=Access.PUBLIC,
                summary="Log in. Sets the session cookie; `csrf` is for scripts, which send it"
                " as X-CSRF-Token with every request that changes something.",
                answers={200: "`user` and `csrf`.", 401: "`invalid_credentials`."},
            ),
            Route(
                method="DELETE",
                path="/api/session",
                handler=self.log_out,
                summary="Log out. Ends this log-in's WebSockets.",
                answers={204: "Logged out."},
            ),
            Route(
                method="GET",
                path="/api/me",
                handler=self.me,
                summary="Who is logged in, with the CSRF token of this log-in.",
                answers={200: "`user`, `csrf`, `simulated` and `sandbox_url`."},
            ),
        )

    async def log_in(self, body: Credentials) -> ResponseReturnValue:
        # Otherwise a foreign page could log its visitor in as somebody else.
        self._login.check_origin(request)
        token, session, user = await self._login.log_in(
            body.username,
            body.password,
            address=address_of(request),
            user_agent=request.headers.get("User-Agent", ""),
        )
        try:
            await self._services.manager.logged_in(user.id)
        except StreampaiError:
            # Nobody gets its token.
            await self._services.storage.sessions.revoke(session.id)
            raise
        response = json_response(
            {"user": {"id": user.id, "name": user.name, "admin": user.admin}, "csrf": session.csrf}
        )
        self._login.set_cookie(response, token)
        return response

    async def log_out(self, visit: Visit) -> ResponseReturnValue:
        session = visit.session
        await self._services.storage.sessions.revoke(session.id)
        self._browsers.end_session(session.id)
        await self._services.manager.logged_out(session.id, session.user_id)
        # Without a body of bytes Quart would iterate over it with the help of asyncio.
        response = Response(b"", status=204)
        self._login.clear_cookie(response)
        return response

    async def me(self, visit: Visit) -> ResponseReturnValue:
        user = await self._services.storage.users.get(visit.user_id)
        assert user is not None  # the store deletes a user's log-ins with the user
        return json_response(
            {
                "user": {"id": user.id, "name": user.name, "admin": user.admin},
                "csrf": visit.session.csrf,
                "simulated": self._services.settings.simulated,
                "sandbox_url": self._services.settings.sandbox_url,
            }
        )
