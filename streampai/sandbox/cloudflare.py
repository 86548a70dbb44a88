"""Cloudflare Stream's API on one port: envelope, credentials, rate limit, live inputs, outputs.

Faithful to what is published and to what is met in the wild; where the two
differ a knob chooses. Pages of facts: the API reference of Stream Live and of
rate limits as of 2026.
"""

from collections.abc import Callable, Mapping
from typing import Any

from quart import Response, g, request
from quart_trio import QuartTrio

from .cloudflare_envelope import (
    ApiError,
    answer,
    as_envelope,
    body_object,
    checked_id,
    success,
    unroutable,
    wrong_method,
)
from .cloudflare_inputs import BadSetting, input_item, list_item, read_settings, with_defaults
from .cloudflare_limit import RequestLimit
from .cloudflare_models import MAX_OUTPUTS, LiveInput, Output
from .cloudflare_state import CloudflareState
from .cloudflare_videos import VideoCalls
from .options import SandboxOptions

BASE = "/client/v4"
# Idempotency keys remembered; the service forgets them after a day.
REMEMBERED_KEYS = 1_000


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
        app.register_error_handler(ApiError, as_envelope)
        app.register_error_handler(404, unroutable)
        app.register_error_handler(405, wrong_method)

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
        route(f"{inputs}/<uid>/outputs", "POST", self._create_output)
        route(f"{inputs}/<uid>/outputs", "GET", self._list_outputs)
        route(f"{inputs}/<uid>/outputs/<output_uid>", "PUT", self._enable_output)
        route(f"{inputs}/<uid>/outputs/<output_uid>", "DELETE", self._delete_output)
        VideoCalls(self._state, self._input).add_to(route, stream)
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
        live = self._state.inputs.get(checked_id(uid))
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
            return success(input_item(self._input(uid), self._state.knobs))
        body = body_object(raw)
        live = self._state.create_input(_meta(body) or {}, with_defaults(_settings(body)))
        if key:
            self._created[key] = (raw, live.uid)
            if len(self._created) > REMEMBERED_KEYS:
                del self._created[next(iter(self._created))]
        return success(input_item(live, self._state.knobs))

    async def _list_inputs(self, account: str) -> Response:
        items = [list_item(live) for live in self._state.inputs.values()]
        if self._state.knobs.list_as_array:
            return success(items)
        return success({"liveInputs": items, "range": len(items), "total": len(items)})

    async def _get_input(self, account: str, uid: str) -> Response:
        return success(input_item(self._input(uid), self._state.knobs))

    async def _update_input(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        body = body_object(await request.get_data())
        self._state.update_input(live, _meta(body), _settings(body))
        return success(input_item(live, self._state.knobs))

    async def _rotate_keys(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        self._state.rotate_keys(live)
        return success(input_item(live, self._state.knobs))

    async def _delete_input(self, account: str, uid: str) -> Response:
        self._state.delete_input(self._input(uid))
        return answer(b"")

    # Outputs

    def _output(self, uid: str, output_uid: str) -> tuple[LiveInput, Output]:
        live = self._input(uid)
        output = live.outputs.get(checked_id(output_uid))
        if output is None:
            raise ApiError(404, 10003, "not found")
        return live, output

    async def _create_output(self, account: str, uid: str) -> Response:
        live = self._input(uid)
        body = body_object(await request.get_data())
        url, key, enabled = body.get("url"), body.get("streamKey"), body.get("enabled", True)
        if not isinstance(url, str) or not url.startswith(("rtmp://", "rtmps://", "srt://")):
            raise ApiError(400, 10005, "url must be an RTMP, RTMPS or SRT URL")
        if not isinstance(key, str) or not key or not isinstance(enabled, bool):
            raise ApiError(400, 10005, "streamKey is required, enabled is a boolean")
        if len(live.outputs) >= MAX_OUTPUTS:
            raise ApiError(400, 10005, f"at most {MAX_OUTPUTS} outputs per live input")
        return success(self._state.create_output(live, url, key, enabled).item())

    async def _list_outputs(self, account: str, uid: str) -> Response:
        return success([output.item() for output in self._input(uid).outputs.values()])

    async def _enable_output(self, account: str, uid: str, output_uid: str) -> Response:
        live, output = self._output(uid, output_uid)
        body = body_object(await request.get_data())
        if not isinstance(body.get("enabled"), bool):
            raise ApiError(400, 10005, "enabled must be a boolean")
        self._state.enable_output(live, output, body["enabled"])
        return success(output.item())

    async def _delete_output(self, account: str, uid: str, output_uid: str) -> Response:
        self._state.delete_output(*self._output(uid, output_uid))
        return answer(b"{}")


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
