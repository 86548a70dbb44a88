"""Twitch's OAuth under ``/oauth2``: code flow with its log-in page, refresh, validate, revoke."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from quart import Response, redirect, request
from quart.wrappers import Response as QuartResponse
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as WerkzeugResponse

from .agenda import Agenda
from .options import SandboxOptions
from .twitch_device import DeviceFlow
from .twitch_models import Grant, Token
from .twitch_pages import OAuthError, as_json, error_body, page
from .twitch_pages import arguments as read_arguments
from .twitch_state import TwitchState

BASE = "/oauth2"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Answer = QuartResponse | WerkzeugResponse


class OAuthService:
    """The HTTP face of :class:`TwitchState` that hands out tokens."""

    def __init__(
        self, agenda: Agenda, twitch: TwitchState, options: SandboxOptions, origin: str
    ) -> None:
        self._twitch = twitch
        self._options = options
        self._device = DeviceFlow(agenda, twitch, options, origin)

    def add_to(self, app: QuartTrio) -> None:
        app.register_error_handler(OAuthError, _as_error)

        def route(path: str, method: str, handler: Callable[..., Any]) -> None:
            app.add_url_rule(
                path, f"{method} {path}", handler, methods=[method], provide_automatic_options=False
            )

        route(f"{BASE}/authorize", "GET", self._show_authorize)
        route(f"{BASE}/authorize", "POST", self._decide_authorize)
        route(f"{BASE}/token", "POST", self._token)
        route(f"{BASE}/validate", "GET", self._validate)
        route(f"{BASE}/revoke", "POST", self._revoke)
        self._device.add_to(route, BASE)

    # Authorization code

    def _checked_redirect(self, arguments: Mapping[str, str]) -> str:
        """The redirect URI. Errors about it and the client are shown, never sent to it."""
        if arguments.get("client_id") != self._options.client_id:
            raise OAuthError(400, "invalid client")
        uri = arguments.get("redirect_uri", "")
        registered = self._options.redirect_uris
        parts = urlsplit(uri)
        known = (
            uri in registered
            if registered is not None
            else parts.scheme in ("http", "https") and parts.hostname in LOOPBACK
        )
        if not known:
            raise OAuthError(400, "redirect_mismatch: this redirect_uri is not registered")
        return uri

    async def _show_authorize(self) -> Answer:
        arguments = request.args
        uri = self._checked_redirect(arguments)
        if arguments.get("response_type") != "code":
            raise OAuthError(400, "response_type must be code")
        if login := arguments.get("sandbox_login"):
            return self._consent(uri, arguments, login)
        hidden = {k: arguments.get(k, "") for k in _CARRIED}
        return page("authorize.html", hidden, arguments.get("scope", "").split())

    async def _decide_authorize(self) -> Answer:
        arguments = await read_arguments()
        uri = self._checked_redirect(arguments)
        login = arguments.get("login", "").strip()
        if arguments.get("decision") != "authorize" or not login:
            return redirect(
                _with_query(
                    uri,
                    error="access_denied",
                    error_description="The user denied you access",
                    state=arguments.get("state", ""),
                )
            )
        return self._consent(uri, arguments, login)

    def _consent(self, uri: str, arguments: Mapping[str, str], login: str) -> Answer:
        scopes = arguments.get("scope", "")
        client_id = arguments["client_id"]
        grant = self._twitch.allow(client_id, self._twitch.user(login), tuple(scopes.split()))
        code = self._twitch.issue_code(grant, uri)
        state = arguments.get("state", "")
        return redirect(_with_query(uri, code=code, scope=scopes, state=state))

    # Tokens

    async def _token(self) -> Answer:
        arguments = await read_arguments()
        kind = arguments.get("grant_type", "")
        if kind == DEVICE_GRANT:
            return self._issued(self._device.grant(arguments))
        if kind == "refresh_token":
            return self._by_refresh(arguments)
        self._check_client(arguments)
        if kind == "client_credentials":
            token = self._twitch.issue(None, arguments["client_id"])
            return as_json(200, self._token_item(token, None))
        if kind == "authorization_code":
            uri = arguments.get("redirect_uri", "")
            code, client_id = arguments.get("code", ""), arguments["client_id"]
            grant = self._twitch.spend_code(code, client_id, uri)
            if grant is None:
                raise OAuthError(400, "Invalid authorization code")
            return self._issued(grant)
        raise OAuthError(400, "missing or unknown grant_type")

    def _check_client(self, arguments: Mapping[str, str]) -> None:
        if arguments.get("client_id") != self._options.client_id:
            raise OAuthError(400, "invalid client")
        if arguments.get("client_secret") != self._options.client_secret:
            raise OAuthError(403, "invalid client secret")

    def _issued(self, grant: Grant) -> Answer:
        token = self._twitch.issue(grant, grant.client_id)
        return as_json(200, self._token_item(token, grant.refresh[-1]))

    def _token_item(self, token: Token, refresh_token: str | None) -> dict[str, Any]:
        item = {
            "access_token": token.access,
            "expires_in": self._twitch.lifetime(token),
            "token_type": "bearer",
        }
        if refresh_token is not None:
            item |= {"refresh_token": refresh_token, "scope": sorted(token.scopes)}
        return item

    def _by_refresh(self, arguments: Mapping[str, str]) -> Answer:
        # A public client has no secret to give.
        if "client_secret" in arguments:
            self._check_client(arguments)
        elif arguments.get("client_id") != self._options.client_id:
            raise OAuthError(400, "invalid client")
        refresh_token = arguments.get("refresh_token", "")
        if not refresh_token:
            raise OAuthError(400, "missing refresh token")
        pair = self._twitch.refresh(
            refresh_token, arguments["client_id"], secret="client_secret" in arguments
        )
        if pair is None:
            body = {"error": "Bad Request", "status": 400, "message": "Invalid refresh token"}
            return as_json(400, body)
        return as_json(200, self._token_item(*pair))

    async def _validate(self) -> Answer:
        scheme, _, access = request.headers.get("Authorization", "").partition(" ")
        known = scheme.lower() in ("oauth", "bearer")
        token = self._twitch.token(access.strip()) if known else None
        if token is None:
            raise OAuthError(401, "invalid access token")
        item: dict[str, Any] = {
            "client_id": token.client_id,
            "scopes": sorted(token.scopes) or None,
            "expires_in": self._twitch.lifetime(token),
        }
        if token.user is not None:
            item |= {"login": token.user.login, "user_id": token.user.id}
        return as_json(200, item)

    async def _revoke(self) -> Answer:
        arguments = await read_arguments()
        if arguments.get("client_id") != self._options.client_id:
            raise OAuthError(404, "client does not exist")
        if not self._twitch.forget_token(arguments.get("token", "")):
            raise OAuthError(400, "Invalid token")
        return Response("", 200)


_CARRIED = ("client_id", "redirect_uri", "scope", "state")


async def _as_error(error: OAuthError) -> Response:
    body = error_body(error.status, str(error))
    return Response(body, error.status, content_type="application/json")


def _with_query(uri: str, **fields: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(fields)}"
