"""The calls of Cloudflare Stream Live that we use, each a method.

Every method raises CloudflareUnavailable, CloudflareRefused and RateLimited as
:mod:`.transport` explains them, and after CloudflareUnavailable, or when cancelled,
a method that changes something may or may not have done so.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

import httpx

from ..errors import CloudflareRefused, CloudflareUnavailable
from ..settings import CloudflareSettings, Secret
from ..telemetry import Telemetry
from .envelope import UnreadableAnswer
from .limiter import Lane, RequestBudget
from .models import (
    META_INSTANCE,
    META_USER,
    ListedInput,
    LiveInput,
    Output,
    StatusItem,
    parse_input,
    parse_inputs,
    parse_output,
    parse_outputs,
)
from .transport import NOT_ROUTED, Answer, ApiTransport

T = TypeVar("T")
# An input without a date of birth is the last to be adopted.
_NEVER = datetime.max.replace(tzinfo=UTC)


class CloudflareClient:
    """One per daemon, over one shared ``httpx.AsyncClient``.

    ``timeout`` is in seconds and bounds one exchange, and also the wait for a token.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: CloudflareSettings,
        *,
        timeout: float,
        telemetry: Telemetry,
        now: Callable[[], datetime],
    ) -> None:
        self._instance = settings.instance
        self._api = ApiTransport(http, settings, timeout=timeout, telemetry=telemetry, now=now)

    @property
    def budget(self) -> RequestBudget:
        """What all calls share; the input monitors plan their polls with it."""
        return self._api.budget

    # Live inputs

    async def create_input(
        self, *, user_id: int, name: str, idempotency_key: str = ""
    ) -> LiveInput:
        """Make an input marked as this installation's and this user's.

        Cloudflare carries out requests with the same ``idempotency_key`` once.
        """
        meta = {"name": name, META_INSTANCE: self._instance, META_USER: str(user_id)}
        answer = await self._api.call(
            "create_input",
            "POST",
            "/live_inputs",
            lane=Lane.START,
            json={"meta": meta, "recording": {"mode": "off"}},
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
        )
        return _read(answer, "create_input", parse_input)[0]

    async def our_inputs(self) -> list[ListedInput]:
        """Every input of the account that is marked as this installation's, oldest first."""
        answer = await self._api.call("list_inputs", "GET", "/live_inputs", lane=Lane.START)
        inputs = _read(answer, "list_inputs", parse_inputs)
        ours = [item for item in inputs if item.instance == self._instance]
        return sorted(ours, key=lambda item: (item.created or _NEVER, item.uid))

    async def find_input(self, user_id: int) -> LiveInput | None:
        """The oldest input marked as this user's, with its credentials; None when there is none."""
        for item in await self.our_inputs():
            if item.owner == str(user_id):
                try:
                    live_input, _, _ = await self.get_input(item.uid, lane=Lane.START)
                except CloudflareRefused as error:
                    if error.code != "input_missing":
                        raise
                else:
                    return live_input
        return None

    async def get_input(
        self, uid: str, *, lane: Lane
    ) -> tuple[LiveInput, StatusItem | None, datetime | None]:
        """The input, its current status item and the answer's Date.

        Raises CloudflareRefused ``input_missing`` when it is certain that it is gone.
        """
        answer = await self._api.call("get_input", "GET", _input(uid), lane=lane, of_input=True)
        live_input, item = _read(answer, "get_input", parse_input)
        return live_input, item, answer.date

    async def rotate_keys(self, uid: str) -> LiveInput:
        """New credentials; whoever sends with the old ones is cut off. Raises ``input_missing`` too."""
        path = f"{_input(uid)}/rotate_keys"
        answer = await self._api.call("rotate_keys", "POST", path, lane=Lane.START, of_input=True)
        return _read(answer, "rotate_keys", parse_input)[0]

    async def delete_input(self, uid: str) -> None:
        """Remove the input, its outputs and its key for ever; one that is gone already is no error."""
        await self._delete("delete_input", _input(uid))

    def is_ours(self, live_input: LiveInput, user_id: int) -> bool:
        """Does the input carry this installation's and this user's marks?"""
        return (live_input.instance, live_input.owner) == (self._instance, str(user_id))

    # Outputs

    async def create_output(self, uid: str, destination_url: str, stream_key: Secret) -> Output:
        """Send the input on to a destination. Cloudflare refuses no doubles: look before."""
        answer = await self._api.call(
            "create_output",
            "POST",
            f"{_input(uid)}/outputs",
            lane=Lane.START,
            json={"url": destination_url, "streamKey": stream_key.reveal(), "enabled": True},
            secrets=(stream_key,),
            of_input=True,
        )
        return _read(answer, "create_output", parse_output)

    async def list_outputs(self, uid: str, *, lane: Lane = Lane.START) -> list[Output]:
        path = f"{_input(uid)}/outputs"
        answer = await self._api.call("list_outputs", "GET", path, lane=lane, of_input=True)
        return _read(answer, "list_outputs", parse_outputs)

    async def set_output_enabled(self, uid: str, output_uid: str, *, enabled: bool) -> None:
        await self._api.call(
            "set_output_enabled",
            "PUT",
            _output(uid, output_uid),
            lane=Lane.START if enabled else Lane.STOP,
            json={"enabled": enabled},
        )

    async def delete_output(self, uid: str, output_uid: str) -> None:
        """End an output; the push stops within 30 s. One that is gone already is no error."""
        await self._delete("delete_output", _output(uid, output_uid))

    async def _delete(self, operation: str, path: str) -> None:
        try:
            await self._api.call(operation, "DELETE", path, lane=Lane.STOP)
        except CloudflareRefused as error:
            gone = error.details["status"] == 404
            if not gone or error.details["cloudflare_code"] == NOT_ROUTED:
                raise


def _input(uid: str) -> str:
    return f"/live_inputs/{quote(uid, safe='')}"


def _output(uid: str, output_uid: str) -> str:
    return f"{_input(uid)}/outputs/{quote(output_uid, safe='')}"


def _read(answer: Answer, operation: str, parse: Callable[[object], T]) -> T:
    try:
        return parse(answer.envelope.result)
    except UnreadableAnswer as exc:
        raise CloudflareUnavailable(
            f"Cloudflare's answer cannot be read: {exc}.", operation=operation
        ) from exc
