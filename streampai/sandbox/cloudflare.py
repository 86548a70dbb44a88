"""Cloudflare Stream's API on one port: envelope, credentials, rate limit, live inputs, outputs.

Faithful to what is published and to what is met in the wild; where the two
differ a knob chooses. Pages of facts: the API reference of Stream Live and of
rate limits as of 2026.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from quart import Response, g, request
from quart_trio import QuartTrio

from .agenda import Agenda
from .cloudflare_inputs import (
    BadSetting,
    input_item,
    list_item,
    read_settings,
    with_defaults,
)
from .cloudflare_state import MAX_OUTPUTS, CloudflareState, LiveInput, Output
from .options import SandboxOptions

BASE = "/client/v4"
# Idempotency keys remembered; the service forgets them after a day.
REMEMBERED_KEYS = 1_000


class ApiError(Exception):
    """An answer that is an error, in the v4 envelope."""

    def __init__(
        self, status: int, code: int, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def error_body(status: int, code: int | None = None, message: str = "") -> bytes:
    """The envelope of a failure. Status 200 is the failure that looks like a success."""
    known = {401: 10000, 403: 10000, 404: 10003, 429: 10500}
    code = known.get(status, 10001) if code is None else code
    error = {"code": code, "message": message or f"simulated failure ({status})"}
    return orjson.dumps({"result": None, "success": False, "errors": [error], "messages": []})


def _answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status, headers=dict(headers or {}), content_type="application/json")


def _success(result: object) -> Response:
    return _answer(orjson.dumps({"result": result, "success": True, "errors": [], "messages": []}))


class RequestLimit:
    """1,200 requests in five minutes; whoever goes over is shut out for a whole window."""

    def __init__(self, agenda: Agenda, *, quota: int, window: float) -> None:
        self._agenda = agenda
        self.quota = quota
        self.window = window
        self.blocked = 0
        self._opened = agenda.now()
        self._used = 0
        self._blocked_until = -math.inf

    def block(self, seconds: float) -> None:
        """Shut everybody out from now on, as if the quota had been used up."""
        self._blocked_until = self._agenda.now() + seconds

    def lift(self) -> None:
        self._blocked_until = -math.inf
        self._used = 0

    def spend(self) -> tuple[bool, dict[str, str]]:
        """Whether the request may pass, and the headers that say how things stand."""
        now = self._agenda.now()
        if now >= self._opened + self.window:
            self._opened, self._used = now, 0
        self._used += 1
        if self._used > self.quota and now >= self._blocked_until:
            self._blocked_until = now + self.window
        passes = now >= self._blocked_until
        until = self._opened + self.window if passes else self._blocked_until
        left, wait = max(0, self.quota - self._used), math.ceil(until - now - 1e-6)
        headers = {
            "Ratelimit": f'"default";r={left if passes else 0};t={wait}',
            "Ratelimit-Policy": f'"default";q={self.quota};w={math.ceil(self.window)}',
        }
        if not passes:
            self.blocked += 1
            headers["Retry-After"] = str(wait)
        return passes, headers


class CloudflareService:
    """The HTTP face of a :class:`CloudflareState`."""

    def __init__(
        self, state: CloudflareState, limit: RequestLimit, options: SandboxOptions
    ) -> None:
        self._state = state
        self._limit = limit
        self._options = options
        self._created: dict[str, tuple[str | bytes, str]] = {}

    def app(self) -> QuartTrio:
        app = QuartTrio("streampai.sandbox.cloudflare", static_folder=None)
        app.before_request(self._admit)
        app.after_request(self._state_limits)
        app.register_error_handler(ApiError, _as_envelope)
        app.register_error_handler(404, _unroutable)
        app.register_error_handler(405, _wrong_method)

        def route(path: str, method: str, handler: Callable[..., Any]) -> None:
            app.add_url_rule(
                path, f"{method} {path}", handler, methods=[method], provide_automatic_options=False
            )

        stream = f"{BASE}/accounts/<account>/stream"
        inputs = f"{stream}/live_inputs"
        route(inputs, "POST", self._create_input)
        route(inputs, "GET", self._list_inputs)
        route(f"{inputs}/<uid>", "GET", self._get_input)
        route(f"{inputs}/<uid>", "PUT", self._update_input)
        route(f"{inputs}/<uid>", "DELETE", self._delete_input)
        route(f"{inputs}/<uid>/rotate_keys", "POST", self._rotate_keys)
        route(f"{inputs}/<uid>/videos", "GET", self._input_videos)
        route(f"{inputs}/<uid>/outputs", "POST", self._create_output)
        route(f"{inputs}/<uid>/outputs", "GET", self._list_outputs)
        route(f"{inputs}/<uid>/outputs/<output_uid>", "PUT", self._enable_output)
        route(f"{inputs}/<uid>/outputs/<output_uid>", "DELETE", self._delete_output)
        route(stream, "GET", self._list_videos)
        route(f"{stream}/storage-usage", "GET", self._storage_usage)
        route(f"{stream}/<uid>", "GET", self._get_video)
        route(f"{stream}/<uid>", "DELETE", self._delete_video)
        route("/<uid>/lifecycle", "GET", self._lifecycle)
        route("/<uid>/views", "GET", self._views)
        return app

    # Admission

    async def _admit(self) -> None:
        if not request.path.startswith(BASE):
            return
        self._check_credentials()
        passes, headers = self._limit.spend()
        if not passes:
            message = "more requests than the limit of this window"
            raise ApiError(429, 10500, message, self._shown(headers))
        # Kept for the answer, which after_request completes.
        g.limit_headers = self._shown(headers)

    def _shown(self, headers: dict[str, str]) -> dict[str, str]:
        shown = self._state.knobs.ratelimit_headers
        return {k: v for k, v in headers.items() if shown or k == "Retry-After"}

    async def _state_limits(self, response: Response) -> Response:
        response.headers["cf-ray"] = f"{self._state.new_id()[:16]}-SBX"
        for key, value in g.get("limit_headers", {}).items():
            response.headers[key] = value
        return response

    def _check_credentials(self) -> None:
        header = request.headers.get("Authorization")
        options = self._options
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise ApiError(400, 6003, "invalid request headers")
            good = token.strip() == options.api_token
        elif "X-Auth-Key" in request.headers:
            given = (request.headers.get("X-Auth-Email"), request.headers["X-Auth-Key"])
            good = given == (options.api_email, options.api_key)
        else:
            raise ApiError(401, 10000, "no credentials")
        account = (request.view_args or {}).get("account", options.account)
        if not good or account != options.account:
            raise ApiError(403, 10000, "authentication error")

    # Live inputs

    def _input(self, uid: str) -> LiveInput:
        live = self._state.inputs.get(_checked_id(uid))
        if live is None:
            raise ApiError(404, 10003, "not found")
        return live

    async def _create_input(self, account: str) -> Response:
        raw = await request.get_data()
        key = request.headers.get("Idempotency-Key", "")
        if key and key in self._created:
            earlier, uid = self._created[key]
            if earlier != raw:
                raise ApiError(400, 10005, "this idempotency key came with another body")
            return _success(input_item(self._input(uid), self._state.knobs))
        body = _object(raw)
        live = self._state.create_input(_meta(body) or {}, with_defaults(_settings(body)))
        if key:
            self._created[key] = (raw, live.uid)
            if len(self._created) > REMEMBERED_KEYS:
                del self._created[next(iter(self._created))]
        return _success(input_item(live, self._state.knobs))

    async def _list_inputs(self, account: str) -> Response:
        items = [list_item(live) for live in self._state.inputs.values()]
        if self._state.knobs.list_as_array:
            return _success(items)
        return _success({"liveInputs": items, "range": len(items), "total": len(items)})

    async def _get_input(self, account: str, uid: str) -> Response:
        return _success(input_item(self._input(uid), self._state.knobs))

    async def _update_input(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        body = _object(await request.get_data())
        self._state.update_input(live, _meta(body), _settings(body))
        return _success(input_item(live, self._state.knobs))

    async def _rotate_keys(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        self._state.rotate_keys(live)
        return _success(input_item(live, self._state.knobs))

    async def _delete_input(self, account: str, uid: str) -> Response:
        self._state.delete_input(self._input(uid))
        return _answer(b"")

    # Outputs

    def _output(self, uid: str, output_uid: str) -> tuple[LiveInput, Output]:
        live = self._input(uid)
        output = live.outputs.get(_checked_id(output_uid))
        if output is None:
            raise ApiError(404, 10003, "not found")
        return live, output

    async def _create_output(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        body = _object(await request.get_data())
        url, key, enabled = body.get("url"), body.get("streamKey"), body.get("enabled", True)
        if not isinstance(url, str) or not url.startswith(("rtmp://", "rtmps://", "srt://")):
            raise ApiError(400, 10005, "url must be an RTMP, RTMPS or SRT URL")
        if not isinstance(key, str) or not key or not isinstance(enabled, bool):
            raise ApiError(400, 10005, "streamKey is required, enabled is a boolean")
        if len(live.outputs) >= MAX_OUTPUTS:
            raise ApiError(400, 10005, f"at most {MAX_OUTPUTS} outputs per live input")
        return _success(self._state.create_output(live, url, key, enabled).item())

    async def _list_outputs(self, account: str, uid: str) -> Response:
        return _success([output.item() for output in self._input(uid).outputs.values()])

    async def _enable_output(self, account: str, uid: str, output_uid: str) -> Response:
        live, output = self._output(uid, output_uid)
        body = _object(await request.get_data())
        if not isinstance(body.get("enabled"), bool):
            raise ApiError(400, 10005, "enabled must be a boolean")
        self._state.enable_output(live, output, body["enabled"])
        return _success(output.item())

    async def _delete_output(self, account: str, uid: str, output_uid: str) -> Response:
        self._state.delete_output(*self._output(uid, output_uid))
        return _answer(b"{}")

    # Videos

    async def _input_videos(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        return _success([v for v in self._state.videos.values() if v["liveInput"] == live.uid])

    async def _list_videos(self, account: str) -> Response:
        args = request.args
        found = list(self._state.videos.values())
        if status := args.get("status"):
            found = [v for v in found if v["status"]["state"] == status]
        if args.get("type") == "live":
            found = [v for v in found if v["liveInput"]]
        if uid := args.get("live_input_id"):
            found = [v for v in found if v["liveInput"] == uid]
        if creator := args.get("creator"):
            found = [v for v in found if v["creator"] == creator]
        if args.get("asc") != "true":
            found.reverse()
        try:
            limit = min(int(args.get("limit", "1000")), 1000)
        except ValueError:
            raise ApiError(400, 10005, "limit must be a number") from None
        return _success(found[:limit])

    async def _storage_usage(self, account: str) -> Response:
        finished = [v for v in self._state.videos.values() if v["duration"] > 0]
        minutes = sum(v["duration"] for v in finished) / 60
        usage = {"totalStorageMinutes": minutes, "totalStorageMinutesLimit": 1000}
        return _success({**usage, "videoCount": len(finished)})

    def _video(self, uid: str) -> dict[str, Any]:
        video = self._state.videos.get(_checked_id(uid))
        if video is None:
            raise ApiError(404, 10003, "not found")
        return video

    async def _get_video(self, account: str, uid: str) -> Response:
        return _success(self._video(uid))

    async def _delete_video(self, account: str, uid: str) -> Response:
        if self._video(uid)["duration"] == -1:
            raise ApiError(409, 10046, "this video is live")
        del self._state.videos[uid]
        return _answer(b"")

    # The customer's own host; not part of the API's budget

    async def _lifecycle(self, uid: str) -> Response:
        live = self._input(uid)
        shown = {"isInput": True, "videoUID": self._state.live_video(live)}
        return _answer(orjson.dumps({**shown, "live": live.encoder is not None}))

    async def _views(self, uid: str) -> Response:
        live = self._input(uid)
        if live.settings["recording"]["hideLiveViewerCount"]:
            return _answer(b"{}")
        return _answer(orjson.dumps({"liveViewers": 3 if self._state.live_video(live) else 0}))


async def _as_envelope(error: ApiError) -> Response:
    return _answer(error_body(error.status, error.code, str(error)), error.status, error.headers)


async def _unroutable(_: Exception) -> Response:
    return _answer(error_body(404, 7003, "could not route to this path"), 404)


async def _wrong_method(_: Exception) -> Response:
    return _answer(error_body(405, 10005, "method not allowed"), 405)


def _checked_id(uid: str) -> str:
    if len(uid) != 32 or not set(uid) <= set("0123456789abcdef"):
        raise ApiError(404, 7003, "could not route to this path: malformed identifier")
    return uid


def _object(raw: str | bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        raise ApiError(400, 10005, "body is not JSON") from None
    if not isinstance(body, dict):
        raise ApiError(400, 10005, "body must be an object")
    return body


def _meta(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    meta = body.get("meta")
    if meta is not None and not isinstance(meta, dict):
        raise ApiError(400, 10005, "meta must be an object")
    return meta


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return read_settings(body)
    except BadSetting as exc:
        raise ApiError(400, exc.code, str(exc)) from None
