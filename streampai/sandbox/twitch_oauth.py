"""Twitch's OAuth under ``/oauth2``: code flow with its log-in page, device flow, refresh, validate, revoke."""

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
from quart import Response, redirect, request
from quart.wrappers import Response as QuartResponse
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as WerkzeugResponse

from .agenda import Agenda
from .helix import PHRASES
from .options import SandboxOptions
from .twitch_state import DeviceRequest, Grant, Token, TwitchState

BASE = "/oauth2"
STATIC = Path(__file__).with_name("static")
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Answer = QuartResponse | WerkzeugResponse


class OAuthError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error_body(status: int, message: str = "") -> bytes:
    text = message or PHRASES.get(status, "error").lower()
    return orjson.dumps({"status": status, "message": text})


class OAuthService:
    """The HTTP face of :class:`TwitchState` that hands out tokens."""

    def __init__(
        self, agenda: Agenda, twitch: TwitchState, options: SandboxOptions, origin: str
    ) -> None:
        self._agenda = agenda
        self._twitch = twitch
        self._options = options
        self._origin = origin

    def add_to(self, app: QuartTrio) -> None:
        app.register_error_handler(OAuthError, _as_error)

        def route(path: str, method: str, handler: Callable[..., Any]) -> None:
            app.add_url_rule(
                path, f"{method} {path}", handler, methods=[method], provide_automatic_options=False
            )

        route(f"{BASE}/authorize", "GET", self._show_authorize)
        route(f"{BASE}/authorize", "POST", self._decide_authorize)
        route(f"{BASE}/token", "POST", self._token)
        route(f"{BASE}/device", "POST", self._device)
        route(f"{BASE}/validate", "GET", self._validate)
        route(f"{BASE}/revoke", "POST", self._revoke)
        route("/activate", "GET", self._show_activate)
        route("/activate", "POST", self._decide_activate)

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
        return _page("authorize.html", hidden, arguments.get("scope", "").split())

    async def _decide_authorize(self) -> Answer:
        arguments = await _arguments()
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
        arguments = await _arguments()
        kind = arguments.get("grant_type", "")
        if kind == DEVICE_GRANT:
            return self._by_device(arguments)
        if kind == "refresh_token":
            return self._by_refresh(arguments)
        self._check_client(arguments)
        if kind == "client_credentials":
            token = self._twitch.issue(None, arguments["client_id"])
            return _json(200, self._token_item(token, None))
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
        return _json(200, self._token_item(token, grant.refresh[-1]))

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
            return _json(400, body)
        return _json(200, self._token_item(*pair))

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
        return _json(200, item)

    async def _revoke(self) -> Answer:
        arguments = await _arguments()
        if arguments.get("client_id") != self._options.client_id:
            raise OAuthError(404, "client does not exist")
        if not self._twitch.forget_token(arguments.get("token", "")):
            raise OAuthError(400, "Invalid token")
        return Response("", 200)

    # Device code

    async def _device(self) -> Answer:
        arguments = await _arguments()
        if arguments.get("client_id") != self._options.client_id:
            raise OAuthError(400, "invalid client")
        lifetime = self._options.device_lifetime
        device = self._twitch.begin_device(
            arguments["client_id"], tuple(arguments.get("scopes", "").split())
        )
        return _json(
            200,
            {
                "device_code": device.device_code,
                "expires_in": round(lifetime),
                "interval": max(1, round(self._options.device_interval)),
                "user_code": device.user_code,
                "verification_uri": (
                    f"{self._origin}/activate?public=true&device-code={device.user_code}"
                ),
            },
        )

    def _by_device(self, arguments: Mapping[str, str]) -> Answer:
        device = self._twitch.devices.get(arguments.get("device_code", ""))
        if device is None or device.client_id != arguments.get("client_id"):
            raise OAuthError(400, "invalid device code")
        if self._agenda.now() >= device.expires or device.denied:
            del self._twitch.devices[device.device_code]
            raise OAuthError(400, "invalid device code")
        if device.user is None:
            raise OAuthError(400, "authorization_pending")
        del self._twitch.devices[device.device_code]
        public = self._options.public_client
        return self._issued(
            self._twitch.allow(device.client_id, device.user, device.scopes, public=public)
        )

    def _waiting(self, user_code: str) -> DeviceRequest:
        for device in self._twitch.devices.values():
            if device.user_code == user_code.upper():
                return device
        raise OAuthError(404, "this code is unknown or has expired")

    async def _show_activate(self) -> Answer:
        user_code = request.args.get("device-code", "")
        if login := request.args.get("sandbox_login"):
            self._waiting(user_code).user = self._twitch.user(login)
            return _page("done.html", {}, [])
        scopes = list(self._waiting(user_code).scopes) if user_code else []
        return _page("activate.html", {}, scopes, code=user_code)

    async def _decide_activate(self) -> Answer:
        arguments = await _arguments()
        device = self._waiting(arguments.get("user_code", "").strip())
        login = arguments.get("login", "").strip()
        if arguments.get("decision") == "authorize" and login:
            device.user = self._twitch.user(login)
        else:
            device.denied = True
        return _page("done.html", {}, [])


_CARRIED = ("client_id", "redirect_uri", "scope", "state")


async def _as_error(error: OAuthError) -> Response:
    body = error_body(error.status, str(error))
    return Response(body, error.status, content_type="application/json")


async def _arguments() -> dict[str, str]:
    """Parameters from the query and the body, whatever the body calls itself."""
    found = dict(request.args.items())
    raw = await request.get_data()
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError:
        raise OAuthError(400, "the body is not text") from None
    if text.lstrip().startswith("{"):
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise OAuthError(400, "the body is not JSON") from None
        return found | {k: str(v) for k, v in body.items()}
    return found | dict(parse_qsl(text, keep_blank_values=True))


def _json(status: int, body: object) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")


def _with_query(uri: str, **fields: str) -> str:
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(fields)}"


def _page(name: str, hidden: Mapping[str, str], scopes: list[str], **words: str) -> Response:
    inputs = "".join(
        f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in hidden.items()
    )
    items = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in scopes)
    template = Template((STATIC / name).read_text("utf-8"))
    html = template.substitute(
        hidden=inputs, scopes=items, **{k: escape(v) for k, v in words.items()}
    )
    policy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return Response(html, 200, headers=headers, content_type="text/html; charset=utf-8")
