"""One call of Cloudflare's API: its token, its tries, its answer judged.

It translates every trouble into the errors of :mod:`streampai.errors`:

* CloudflareUnavailable: no connection, no answer in time, 5xx, an unreadable answer;
  a request that changes something may or may not have been carried out.
* CloudflareRefused: an answer that says no, with ``status``, ``cloudflare_code`` and
  ``ray`` (the request id that Cloudflare's support asks for) in its details.
* RateLimited: a 429, which also blocks everybody else, or a token that does not come.

Reads, deletes and toggles are tried again a few times. A POST never is: after a
lost answer the caller looks first.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import trio

from ..errors import CloudflareRefused, CloudflareUnavailable, RateLimited
from ..runtime import Backoff
from ..settings import CloudflareSettings, Secret
from ..telemetry import Telemetry
from ..telemetry.events import ApiCallFinished
from .envelope import Envelope, UnreadableAnswer, parse_envelope
from .limiter import WINDOW, Lane, RequestBudget

# Requests under way at once, polls and commands apart so that polls which hang do not
# hold a Stop back. Both together stay below httpx's pool of 100: tasks cancelled while
# they wait for that pool leak its places, so nobody may ever wait there.
POLL_SLOTS = 16
COMMAND_SLOTS = 16
COMMAND_ATTEMPTS = 3
# A poll comes again anyway; one more try keeps a stale keep-alive connection off the page.
POLL_ATTEMPTS = 2
RETRY_BASE = 0.2
RETRY_CAP = 2.0
# Cloudflare's code for a path that leads nowhere: a fault of ours, not a missing object.
NOT_ROUTED = 7003
LONGEST_MESSAGE = 300


@attrs.frozen(kw_only=True)
class Answer:
    """``date`` is the answer's Date header, None when it has none that can be read."""

    envelope: Envelope
    date: datetime | None


class ApiTransport:
    """One per daemon, under the client. ``timeout`` bounds one exchange, and each wait before it."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: CloudflareSettings,
        *,
        timeout: float,
        telemetry: Telemetry,
        now: Callable[[], datetime],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._http = http
        self._base = f"{settings.url}/accounts/{quote(settings.account, safe='')}/stream"
        self._token = settings.token
        self._timeout = timeout
        self._telemetry = telemetry
        self._now = now
        self._rng = rng
        self._poll_slots = trio.CapacityLimiter(POLL_SLOTS)
        self._command_slots = trio.CapacityLimiter(COMMAND_SLOTS)
        self.budget = RequestBudget(settings.requests_per_window, telemetry=telemetry)

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        lane: Lane,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[Secret] = (),
        of_input: bool = False,
    ) -> Answer:
        """``of_input``: the path's only object is a live input, so that a 404 is about it."""
        attempts = 1
        if method != "POST":
            attempts = POLL_ATTEMPTS if lane > Lane.CONFIRM else COMMAND_ATTEMPTS
        request = self._http.build_request(
            method,
            self._base + path,
            json=json,
            headers={"Authorization": f"Bearer {self._token.reveal()}", **(headers or {})},
            # The exchange as a whole has a deadline; httpx's are for each of its phases.
            timeout=None,
        )
        backoff = Backoff(RETRY_BASE, RETRY_CAP, rng=self._rng)
        give_up = trio.current_time() + self._timeout
        while True:
            attempts -= 1
            try:
                response = await self._exchange(operation, request, lane)
                return self._judge(operation, response, secrets=secrets, of_input=of_input)
            except CloudflareUnavailable:
                if not attempts or trio.current_time() >= give_up:
                    raise
            await trio.sleep(backoff.next())

    async def _exchange(self, operation: str, request: httpx.Request, lane: Lane) -> httpx.Response:
        slots = self._poll_slots if lane > Lane.CONFIRM else self._command_slots
        with trio.move_on_after(self._timeout) as patience:
            await slots.acquire()
        if patience.cancelled_caught:
            raise CloudflareUnavailable("Cloudflare answers too slowly; requests pile up.")
        try:
            # The token comes last: from it to the wire nothing waits, so that the budget
            # counts requests when Cloudflare does.
            await self.budget.acquire(lane, patience=self._timeout)
            return await self._send(operation, request)
        finally:
            slots.release()

    async def _send(self, operation: str, request: httpx.Request) -> httpx.Response:
        status = 0
        began = trio.current_time()
        try:
            with trio.fail_after(self._timeout):
                response = await self._http.send(request)
            status = response.status_code
        except trio.TooSlowError:
            raise CloudflareUnavailable(
                f"Cloudflare did not answer within {self._timeout:g} s.", operation=operation
            ) from None
        except httpx.RequestError as exc:
            raise CloudflareUnavailable(
                f"Cloudflare cannot be reached ({type(exc).__name__}).", operation=operation
            ) from exc
        finally:
            self._telemetry.emit(
                ApiCallFinished(
                    service="cloudflare",
                    operation=operation,
                    status=status,
                    duration=trio.current_time() - began,
                )
            )
        return response

    def _judge(
        self,
        operation: str,
        response: httpx.Response,
        *,
        secrets: Sequence[Secret],
        of_input: bool,
    ) -> Answer:
        status = response.status_code
        details: dict[str, Any] = {
            "operation": operation,
            "status": status,
            "ray": response.headers.get("cf-ray", ""),
        }
        self._learn_limits(response.headers)
        if status == 429:
            self.budget.block(self._block_length(response.headers))
            raise RateLimited(
                "Cloudflare's request limit is used up; everything waits for it.",
                retry_after=round(self.budget.blocked_for, 1),
                **details,
            )
        if status >= 500 or 300 <= status < 400:
            raise CloudflareUnavailable(f"Cloudflare answered {status}.", **details)
        envelope: Envelope | None
        try:
            envelope = parse_envelope(response.content)
        except UnreadableAnswer as exc:
            envelope = None
            if status < 300:
                # Deletes and toggles tell nothing but that they were done.
                if response.request.method not in ("DELETE", "PUT"):
                    raise CloudflareUnavailable(
                        f"Cloudflare's answer cannot be read: {exc}.", **details
                    ) from exc
                envelope = Envelope(success=True, result=None)
        if envelope is not None and envelope.success and status < 300:
            return Answer(envelope=envelope, date=_http_date(response.headers.get("date", "")))
        raise self._refusal(status, envelope, details, secrets=secrets, of_input=of_input)

    def _refusal(
        self,
        status: int,
        envelope: Envelope | None,
        details: Mapping[str, Any],
        *,
        secrets: Sequence[Secret],
        of_input: bool,
    ) -> CloudflareRefused:
        code = None if envelope is None else envelope.code
        framed = envelope is not None and envelope.framed
        if of_input and status == 404 and framed and code != NOT_ROUTED:
            # Only the API itself knows; a 404 of something in between proves nothing.
            return CloudflareRefused(code="input_missing", cloudflare_code=code, **details)
        if status in (401, 403):
            message = f"Cloudflare does not accept the API token (status {status})."
        else:
            said = self._without_secrets("" if envelope is None else envelope.message, secrets)
            message = f"Cloudflare refused the request (status {status})" + (
                f": {said}" if said else "."
            )
        return CloudflareRefused(message, cloudflare_code=code, **details)

    def _without_secrets(self, text: str, secrets: Sequence[Secret]) -> str:
        """Cloudflare may quote what it was sent."""
        for secret in (self._token, *secrets):
            if secret:
                text = text.replace(secret.reveal(), "…")
        return text[:LONGEST_MESSAGE]

    # The service's own words on its limits

    def _block_length(self, headers: httpx.Headers) -> float:
        """Seconds that a 429 tells to wait, the whole window if it does not, and a little more."""
        told = headers.get("retry-after", "")
        if re.fullmatch(r"[0-9]{1,6}", told):
            seconds = float(told)
        elif (until := _http_date(told)) is not None:
            seconds = max(0.0, (until - self._now()).total_seconds())
        else:
            seconds = float(_limit_field(headers.get("ratelimit", ""), "t") or WINDOW)
        return seconds + self._rng() * min(5.0, 1.0 + seconds / 10)

    def _learn_limits(self, headers: httpx.Headers) -> None:
        remaining = _limit_field(headers.get("ratelimit", ""), "r")
        resets_in = _limit_field(headers.get("ratelimit", ""), "t")
        quota = _limit_field(headers.get("ratelimit-policy", ""), "q")
        if remaining is not None and resets_in is not None and quota is not None:
            self.budget.learn(remaining=remaining, quota=quota, resets_in=resets_in)


def _limit_field(header: str, name: str) -> int | None:
    """A number of a header such as ``"default";r=12;t=143``; None when it is not there."""
    match = re.search(rf";\s*{name}=([0-9]{{1,9}})", header)
    return None if match is None else int(match[1])


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else None
