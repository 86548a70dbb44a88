"""The edge to a platform's HTTP interface, shared by the platforms.

One ``ApiClient`` per platform and daemon. It bounds how many calls are under
way, how long each may take and how large an answer may be, tells telemetry of
every call, and turns what httpx raises into our errors. What a status means is
the platform's own ``client`` to say.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import attrs
import httpx
import orjson
import trio

from ..errors import BadRequest, PlatformUnavailable
from ..telemetry import Telemetry
from ..telemetry.events import ApiCallFinished
from .fields import Fields, read_object

T = TypeVar("T")

# The largest answer we ask for is a page of a hundred subscriptions, some 60 KiB.
MAX_ANSWER = 2 * 1024 * 1024
# Calls under way at once. Kept by ourselves: httpx loses pool slots when a
# request is cancelled while it waits for one, and in the end has none left.
MAX_CALLS = 20
# A platform's sentence goes to the page and the log; a proxy's error page must not.
MAX_REASON = 200

Parameters = Sequence[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Answer:
    """What a service said, whole. Its repr shows no body, which may hold tokens."""

    service: str
    status: int
    headers: httpx.Headers = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)

    def read(self, decode: Callable[[Fields], T]) -> T:
        """The JSON object in the body as ``decode`` reads it.

        Raises PlatformUnavailable when there is none or it lacks what is needed.
        """
        try:
            return decode(read_object(f"the answer of {self.service}", self.body))
        except BadRequest as exc:
            raise PlatformUnavailable(exc.message, status=self.status) from exc

    def reason(self) -> str:
        """The service's own words for an error: its ``message``, else the status."""
        try:
            message = read_object("answer", self.body).text("message", "")
        except BadRequest:
            message = ""
        return message[:MAX_REASON] or f"status {self.status}"

    def retry_after(self, now: datetime) -> float | None:
        """Seconds of the Retry-After header, which is a number or an HTTP date (RFC 9110 10.2.3)."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text)
        moment = http_date(text)
        return max(0.0, (moment - now).total_seconds()) if moment else None


def http_date(text: str) -> datetime | None:
    """The moment of an HTTP date such as that of a Date header; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class ApiClient:
    """Calls of one service. ``timeout`` seconds for one call, from when its turn has come."""

    def __init__(
        self, http: httpx.AsyncClient, *, service: str, timeout: float, telemetry: Telemetry
    ) -> None:
        self._http = http
        self._service = service
        self._timeout = timeout
        self._telemetry = telemetry
        self._limiter = trio.CapacityLimiter(MAX_CALLS)

    async def call(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        headers: Mapping[str, str] | None = None,
        params: Parameters = (),
        form: Mapping[str, str] | None = None,
        json: object = None,
    ) -> Answer:
        """One request and its whole answer, whatever its status.

        ``operation`` is its name in telemetry. Raises PlatformUnavailable when
        no answer came in time or it broke off; then the request may or may not
        have been carried out. Cancelling drops the connection.
        """
        with trio.move_on_after(self._timeout) as patience:
            await self._limiter.acquire()
        if patience.cancelled_caught:
            raise PlatformUnavailable(f"too many calls to {self._service} are under way")
        started = trio.current_time()
        status = 0
        try:
            with trio.fail_after(self._timeout):
                answer = await self._send(method, url, headers, params, form, json)
            status = answer.status
        except trio.TooSlowError as exc:
            raise PlatformUnavailable(
                f"{self._service} did not answer within {self._timeout:g} s"
            ) from exc
        except httpx.RequestError as exc:
            # Not str(exc): it may quote the URL.
            raise PlatformUnavailable(
                f"{self._service} cannot be reached ({type(exc).__name__})"
            ) from exc
        finally:
            self._limiter.release()
            self._telemetry.emit(
                ApiCallFinished(
                    service=self._service,
                    operation=operation,
                    status=status,
                    duration=trio.current_time() - started,
                )
            )
        return answer

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Parameters,
        form: Mapping[str, str] | None,
        json: object,
    ) -> Answer:
        all_headers = dict(headers or {})
        content = None
        if json is not None:
            content = orjson.dumps(json)
            all_headers["Content-Type"] = "application/json"
        # httpx's timeouts are off: they are per read, ours is for the whole call.
        async with self._http.stream(
            method,
            url,
            params=list(params) or None,
            headers=all_headers,
            data=form,
            content=content,
            timeout=None,
        ) as response:
            body = bytearray()
            # Leaving the loop half-way would leave httpx's iterators to the
            # garbage collector; a cancellation unwinds them.
            with trio.CancelScope() as reading:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        reading.cancel()
        if len(body) > MAX_ANSWER:
            raise PlatformUnavailable(f"{self._service} gave an answer without end")
        return Answer(
            service=self._service,
            status=response.status_code,
            headers=response.headers,
            body=bytes(body),
        )
