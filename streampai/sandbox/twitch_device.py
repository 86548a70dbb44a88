"""Twitch's device flow: a code, a page where somebody types it, and the polls that wait for that."""

from collections.abc import Callable, Mapping
from typing import Any

from quart import Response, request

from .agenda import Agenda
from .options import SandboxOptions
from .twitch_models import DeviceRequest, Grant
from .twitch_pages import OAuthError, arguments, as_json, page
from .twitch_state import TwitchState

Route = Callable[[str, str, Callable[..., Any]], None]


class DeviceFlow:
    def __init__(
        self, agenda: Agenda, twitch: TwitchState, options: SandboxOptions, origin: str
    ) -> None:
        self._agenda = agenda
        self._twitch = twitch
        self._options = options
        self._origin = origin

    def add_to(self, route: Route, base: str) -> None:
        route(f"{base}/device", "POST", self._device)
        route("/activate", "GET", self._show_activate)
        route("/activate", "POST", self._decide_activate)

    async def _device(self) -> Response:
        given = await arguments()
        if given.get("client_id") != self._options.client_id:
            raise OAuthError(400, "invalid client")
        lifetime = self._options.device_lifetime
        device = self._twitch.begin_device(
            given["client_id"], tuple(given.get("scopes", "").split())
        )
        return as_json(
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

    def grant(self, given: Mapping[str, str]) -> Grant:
        """What the user allowed. Raises OAuthError while nobody has, and for a dead code."""
        device = self._twitch.devices.get(given.get("device_code", ""))
        if device is None or device.client_id != given.get("client_id"):
            raise OAuthError(400, "invalid device code")
        if self._agenda.now() >= device.expires or device.denied:
            del self._twitch.devices[device.device_code]
            raise OAuthError(400, "invalid device code")
        if device.user is None:
            raise OAuthError(400, "authorization_pending")
        del self._twitch.devices[device.device_code]
        public = self._options.public_client
        return self._twitch.allow(device.client_id, device.user, device.scopes, public=public)

    def _waiting(self, user_code: str) -> DeviceRequest:
        for device in self._twitch.devices.values():
            if device.user_code == user_code.upper():
                return device
        raise OAuthError(404, "this code is unknown or has expired")

    async def _show_activate(self) -> Response:
        user_code = request.args.get("device-code", "")
        if login := request.args.get("sandbox_login"):
            self._waiting(user_code).user = self._twitch.user(login)
            return page("done.html", {}, [])
        scopes = list(self._waiting(user_code).scopes) if user_code else []
        return page("activate.html", {}, scopes, code=user_code)

    async def _decide_activate(self) -> Response:
        given = await arguments()
        device = self._waiting(given.get("user_code", "").strip())
        login = given.get("login", "").strip()
        if given.get("decision") == "authorize" and login:
            device.user = self._twitch.user(login)
        else:
            device.denied = True
        return page("done.html", {}, [])
