"""The control port: the page for people, JSON over HTTP for scripts and tests.

GET    /                      the page
GET    /state?last=N          the books
POST   /encoder               {user, connected, protocol?}
POST   /scenarios/{name}      {user?, …}
DELETE /scenarios             stop what is being told; /scenarios/{number} for one
POST   /faults                see fault_setting; DELETE heals everything
GET    /holds/{name}?wait=S   wait until a held call has come; POST lets it go on
POST   /kill-sockets          {user?, code?}
POST   /sockets               {user?, action: reconnect | silence | speak}
POST   /tokens                {user, action: expire | revoke}
POST   /device                {user_code, login}
POST   /limits                {block: seconds}
POST   /tick                  {seconds}: what is due within them happens now
DELETE /inputs/{who}          a live input vanishes behind the client's back
POST   /shutdown
"""

from collections.abc import Callable
from typing import Any

import orjson
import trio
from quart import Response, request
from quart_trio import QuartTrio

from .fault_setting import apply_faults
from .sandbox import Sandbox
from .story_parameters import ScenarioError
from .twitch_pages import STATIC

PROTOCOLS = ("rtmp", "srt", "webrtc")
LONGEST_WAIT = 60.0


class ControlError(ValueError):
    """A request that makes no sense; says why."""


class ControlService:
    """The HTTP face of a :class:`Sandbox`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def app(self) -> QuartTrio:
        app = QuartTrio(
            "streampai.sandbox.control", static_folder=str(STATIC), static_url_path="/static"
        )
        app.before_request(_refuse_foreign_pages)
        app.register_error_handler(ControlError, _as_bad_request)
        app.register_error_handler(ScenarioError, _as_bad_request)

        def route(path: str, method: str, handler: Callable[..., Any]) -> None:
            app.add_url_rule(
                path, f"{method} {path}", handler, methods=[method], provide_automatic_options=False
            )

        route("/", "GET", self._page)
        route("/state", "GET", self._state)
        route("/encoder", "POST", self._encoder)
        route("/scenarios/<name>", "POST", self._play)
        route("/scenarios", "DELETE", self._stop)
        route("/scenarios/<int:number>", "DELETE", self._stop)
        route("/faults", "POST", self._set_faults)
        route("/faults", "DELETE", self._heal)
        route("/holds/<path:name>", "GET", self._await_hold)
        route("/holds/<path:name>", "POST", self._release)
        route("/kill-sockets", "POST", self._kill_sockets)
        route("/sockets", "POST", self._sockets)
        route("/revocations", "POST", self._revoke)
        route("/tokens", "POST", self._tokens)
        route("/device", "POST", self._device)
        route("/limits", "POST", self._limits)
        route("/tick", "POST", self._tick)
        route("/inputs/<who>", "DELETE", self._delete_input)
        route("/shutdown", "POST", self._shutdown)
        return app

    async def _page(self) -> Response:
        html = await trio.Path(STATIC / "control.html").read_text("utf-8")
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        return Response(html, headers=headers, content_type="text/html; charset=utf-8")

    async def _state(self) -> Response:
        last = request.args.get("last", type=int)
        return _json(self._sandbox.state() if last is None else self._sandbox.state(max(1, last)))

    async def _encoder(self) -> Response:
        body = await _body()
        who, connected = _text(body, "user"), body.get("connected", True)
        protocol = _text(body, "protocol", "rtmp")
        if protocol not in PROTOCOLS or not isinstance(connected, bool):
            raise ControlError(f"connected is a boolean, protocol one of {', '.join(PROTOCOLS)}")
        live = self._sandbox.cloudflare.find(who)
        if live is None:
            return _json({"error": f"no live input of {who or 'nobody'}"}, 404)
        if not connected:
            self._sandbox.cloudflare.disconnect_encoder(live)
        elif not self._sandbox.cloudflare.connect_encoder(live, protocol):
            return _json({"error": "the live input is disabled"}, 409)
        return _json({"uid": live.uid, "connected": live.encoder is not None})

    async def _play(self, name: str) -> Response:
        return _json(self._sandbox.scenarios.play(name, await _body()))

    async def _stop(self, number: int | None = None) -> Response:
        return _json({"stopped": self._sandbox.scenarios.stop(number)})

    async def _set_faults(self) -> Response:
        try:
            apply_faults(self._sandbox, await _body())
        except (ValueError, TypeError) as exc:
            raise ControlError(str(exc)) from None
        return _json(self._sandbox.state(1)["faults"])

    async def _heal(self) -> Response:
        self._sandbox.heal()
        return _json(self._sandbox.state(1)["faults"])

    async def _await_hold(self, name: str) -> Response:
        hold = self._sandbox.hold(name)
        if hold is None:
            return _json({"error": "no such hold"}, 404)
        wait = min(max(0.0, request.args.get("wait", 0.0, type=float)), LONGEST_WAIT)
        with trio.move_on_after(wait):
            await hold.reached.wait()
        return _json({"name": name, "reached": hold.reached.is_set()})

    async def _release(self, name: str) -> Response:
        hold = self._sandbox.hold(name)
        if hold is None:
            return _json({"error": "no such hold"}, 404)
        hold.release()
        return _json({"name": name, "reached": hold.reached.is_set()})

    async def _kill_sockets(self) -> Response:
        body = await _body()
        code = body.get("code", 0)
        if not isinstance(code, int) or not (code == 0 or 1000 <= code <= 4999):
            raise ControlError("code must be a WebSocket close code, or 0 for none")
        return _json({"cut": self._sandbox.eventsub.cut(_text(body, "user"), code=code)})

    async def _sockets(self) -> Response:
        body = await _body()
        eventsub, user = self._sandbox.eventsub, _text(body, "user")
        match body.get("action"):
            case "reconnect":
                count = eventsub.reconnect(user)
            case "silence":
                count = eventsub.silence(user)
            case "speak":
                count = eventsub.silence(user, silent=False)
            case _:
                raise ControlError("action must be reconnect, silence or speak")
        return _json({"sockets": count})

    async def _revoke(self) -> Response:
        body = await _body()
        status = _text(body, "status", "user_removed")
        user, kind = _text(body, "user"), _text(body, "type")
        return _json({"revoked": self._sandbox.eventsub.revoke_some(user, kind, status)})

    async def _tokens(self) -> Response:
        body = await _body()
        twitch = self._sandbox.twitch
        login = _text(body, "user")
        user = twitch.user(login) if login else None
        match body.get("action"):
            case "expire":
                return _json({"tokens": twitch.expire_tokens(user)})
            case "revoke" if user is not None:
                return _json({"grants": twitch.revoke_grants(user)})
        raise ControlError("action must be expire, or revoke with a user")

    async def _device(self) -> Response:
        body = await _body()
        code, login = _text(body, "user_code"), _text(body, "login")
        found = [d for d in self._sandbox.twitch.devices.values() if d.user_code == code]
        if not found or not login:
            return _json({"error": "no such code, or no login"}, 404)
        found[0].user = self._sandbox.twitch.user(login)
        return _json({"login": login})

    async def _limits(self) -> Response:
        self._sandbox.limit.block(_seconds(await _body(), "block"))
        return _json({})

    async def _tick(self) -> Response:
        self._sandbox.agenda.advance(_seconds(await _body(), "seconds"))
        return _json({})

    async def _delete_input(self, who: str) -> Response:
        live = self._sandbox.cloudflare.find(who)
        if live is None:
            return _json({"error": f"no live input of {who}"}, 404)
        self._sandbox.cloudflare.delete_input(live)
        return _json({"deleted": live.uid})

    async def _shutdown(self) -> Response:
        # Not before this answer is out.
        self._sandbox.agenda.after(0.05, self._sandbox.shutdown.set)
        return _json({})


async def _refuse_foreign_pages() -> Response | None:
    """A page of another origin in somebody's browser may not play with this port."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        return _json({"error": "this page is of another origin"}, 403)
    return None


async def _as_bad_request(error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


async def _body() -> dict[str, Any]:
    raw = await request.get_data(as_text=False)
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        raise ControlError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise ControlError("the body must be an object")
    return body


def _text(body: dict[str, Any], name: str, default: str = "") -> str:
    value = body.get(name)
    return default if value is None else str(value)


def _seconds(body: dict[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e8:
        raise ControlError(f"{name} must be a number of seconds")
    return float(value)


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, content_type="application/json")
