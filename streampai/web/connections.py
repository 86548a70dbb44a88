"""Connecting accounts of platforms: the code flow with redirects, and the device flow."""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import attrs
import trio
from quart import redirect, request
from quart.typing import ResponseReturnValue

from ..errors import CommandRefused, StreampaiError
from ..platforms.platform import DeviceCode, Identity, Platform, Tokens
from ..telemetry.events import RequestRefused
from .app import json_response
from .login import Visit
from .pending_logins import PendingLogins
from .route import Access, Route
from .services import WebServices

if TYPE_CHECKING:
    from ..storage import StoredAccount

_DEVICE = "/api/connections/<platform>/device"


@attrs.define
class _Device:
    code: DeviceCode
    until: float
    next_poll: float
    asking: bool = False


class Connections:
    def __init__(self, services: WebServices) -> None:
        self._services = services
        self._pending = PendingLogins()
        # One per user and platform, so bounded by them.
        self._devices: dict[tuple[int, str], _Device] = {}

    def routes(self) -> tuple[Route, ...]:
        one = "/api/connections/<platform>"
        return (
            Route(
                method="GET",
                path="/api/connections",
                handler=self.all,
                summary="Every platform, and which account is connected.",
                answers={200: "`connections`."},
            ),
            Route(
                method="DELETE",
                path=one,
                handler=self.disconnect,
                summary="Disconnect an account: its tokens are revoked and forgotten.",
                answers={200: "`revoked`: whether the platform could be told."},
            ),
            Route(
                method="GET",
                path="/connections/<platform>/login",
                handler=self.begin,
                access=Access.PAGE,
                summary="Log in at the platform: redirects there.",
                answers={302: "To the platform's log-in page."},
            ),
            Route(
                method="GET",
                path="/connections/<platform>/callback",
                handler=self.come_back,
                access=Access.PAGE,
                summary="Where the platform sends the browser back to.",
                query={"code": "From the platform.", "state": "Ours.", "error": "Its refusal."},
                answers={302: "To the page, with `connected` or `connection_error` in the query."},
            ),
            Route(
                method="POST",
                path=_DEVICE,
                handler=self.begin_device,
                summary="Connect with a code that is typed in elsewhere.",
                answers={200: "`user_code`, `verification_uri`, `interval`, `expires_in`."},
            ),
            Route(
                method="GET",
                path=_DEVICE,
                handler=self.ask_device,
                summary="Ask how it stands, every `interval` seconds; this is what drives it.",
                answers={200: "`status`: pending, or connected with `account`."},
            ),
        )

    async def all(self, visit: Visit) -> ResponseReturnValue:
        stored = await self._services.storage.accounts.all(visit.user_id)
        accounts = {account.platform: account for account in stored}
        return json_response(
            {
                "connections": [
                    _described(platform, accounts.get(name))
                    for name, platform in self._services.platforms.items()
                ]
            }
        )

    async def begin(self, visit: Visit, platform: str) -> ResponseReturnValue:
        found = self._configured(platform)
        redirect_uri = f"{self._base_url()}/connections/{platform}/callback"
        state = self._pending.begin(visit.session.id, platform, redirect_uri)
        return redirect(found.authorize_url(state=state, redirect_uri=redirect_uri))

    async def come_back(self, visit: Visit, platform: str) -> ResponseReturnValue:
        """A person's browser is here, so what goes wrong is shown on the page."""
        try:
            found = self._configured(platform)
            state = request.args.get("state", "")
            redirect_uri = self._pending.take(state, visit.session.id, platform)
            if request.args.get("error"):
                raise CommandRefused("The platform was not given permission.", code="forbidden")
            code = request.args.get("code", "")
            tokens, identity = await found.exchange_code(code=code, redirect_uri=redirect_uri)
            await self._save(visit.user_id, platform, tokens, identity)
        except StreampaiError as error:
            where = "GET /connections/<platform>/callback"
            self._services.telemetry.emit(
                RequestRefused(user_id=visit.user_id, code=error.code, where=where)
            )
            return redirect("/?" + urlencode({"connection_error": error.code}))
        return redirect("/?" + urlencode({"connected": platform}))

    async def begin_device(self, visit: Visit, platform: str) -> ResponseReturnValue:
        code = await self._configured(platform).start_device_code()
        now = trio.current_time()
        self._devices[visit.user_id, platform] = _Device(
            code, until=now + code.expires_in, next_poll=now + code.interval
        )
        return json_response(
            {
                "user_code": code.user_code,
                "verification_uri": code.verification_uri,
                "interval": code.interval,
                "expires_in": code.expires_in,
            }
        )

    async def ask_device(self, visit: Visit, platform: str) -> ResponseReturnValue:
        key = visit.user_id, platform
        device = self._devices.get(key)
        now = trio.current_time()
        if device is None or device.until < now:
            self._devices.pop(key, None)
            raise CommandRefused("No code is waiting, or it has expired.", code="not_found")
        # Platforms slow down or refuse whoever asks more often than told, or twice at once.
        if device.asking or now < device.next_poll:
            return json_response({"status": "pending"})
        device.asking = True
        try:
            answer = await self._configured(platform).poll_device_code(device.code)
        except StreampaiError as error:
            if not error.retryable:
                self._devices.pop(key, None)
            raise
        finally:
            device.asking = False
            device.next_poll = trio.current_time() + device.code.interval
        if answer is None:
            return json_response({"status": "pending"})
        self._devices.pop(key, None)
        tokens, identity = answer
        await self._save(visit.user_id, platform, tokens, identity)
        return json_response({"status": "connected", "account": identity.display_name})

    async def disconnect(self, visit: Visit, platform: str) -> ResponseReturnValue:
        found = self._known(platform)
        accounts = self._services.storage.accounts
        account = await accounts.get(visit.user_id, platform)
        if account is None:
            raise CommandRefused(code="platform_not_connected")
        await accounts.delete(visit.user_id, platform)
        await self._tell_manager(visit.user_id, platform)
        # Forgotten here comes first: the platform may be out of reach, and tokens
        # that are not kept cannot be used.
        try:
            await found.revoke(account.tokens)
        except StreampaiError:
            return json_response({"revoked": False})
        return json_response({"revoked": True})

    async def _save(self, user_id: int, platform: str, tokens: Tokens, identity: Identity) -> None:
        await self._services.storage.accounts.save(user_id, platform, identity, tokens)
        await self._tell_manager(user_id, platform)

    async def _tell_manager(self, user_id: int, platform: str) -> None:
        user = await self._services.manager.ensure_user(user_id)
        await user.account_changed(platform)

    def _known(self, platform: str) -> Platform:
        if (found := self._services.platforms.get(platform)) is None:
            raise CommandRefused(code="unknown_platform")
        return found

    def _configured(self, platform: str) -> Platform:
        found = self._known(platform)
        if not found.configured():
            raise CommandRefused(
                f"{found.title} needs its application's id and secret in the settings.",
                code="not_supported",
            )
        return found

    def _base_url(self) -> str:
        # Without a setting the browser's own way of reaching us is used, so that the
        # cookie, which belongs to that host, comes back with it.
        return self._services.settings.web.base_url or request.host_url.rstrip("/")


def _described(platform: Platform, account: "StoredAccount | None") -> dict[str, object]:
    return {
        "platform": platform.name,
        "title": platform.title,
        "configured": platform.configured(),
        "connected": account is not None,
        "account": "" if account is None else account.identity.display_name,
        "login": "" if account is None else account.identity.login,
        "relogin": account is not None and account.relogin,
        "reason": "" if account is None else account.reason,
        "scopes": list(platform.scopes),
    }
