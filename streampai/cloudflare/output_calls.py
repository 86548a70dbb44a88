"""The effects on a user's outputs, each between its intent and its result.

See :mod:`.intents` for the points at which a kill may fall. What is found begun
at the next start is settled by ``settle``: a delete is carried out, a create is
only looked for, because whether it is still wanted is for the stream to say.
"""

from collections.abc import Mapping

import trio

from ..errors import CloudflareRefused, CloudflareUnavailable, RateLimited, StorageUnavailable
from ..telemetry import Telemetry
from ..telemetry.events import OutputCreatedAtCloudflare, OutputDestroyedAtCloudflare
from .client import CloudflareClient
from .intents import (
    ABANDONED,
    CREATE_OUTPUT,
    DELETE_OUTPUT,
    DONE,
    ENABLE_OUTPUT,
    FAILED,
    Intent,
    IntentLog,
)
from .limiter import Lane
from .models import Output, redacted_url
from .places import Destination, place_of

OUTPUT_INTENTS = (CREATE_OUTPUT, ENABLE_OUTPUT, DELETE_OUTPUT)


class OutputCalls:
    """One per user. Methods raise CloudflareUnavailable, CloudflareRefused, RateLimited
    and, with nothing done, StorageUnavailable."""

    def __init__(
        self,
        *,
        user_id: int,
        client: CloudflareClient,
        intents: IntentLog,
        telemetry: Telemetry,
    ) -> None:
        self._user_id = user_id
        self._client = client
        self._intents = intents
        self._telemetry = telemetry
        # Inputs whose marks were seen; one per user, and one more when that was lost.
        self._ours: set[str] = set()
        self.unsettled = True

    async def list_outputs(self, uid: str, *, lane: Lane) -> list[Output]:
        """The input's outputs; none when it is certain that the input is gone."""
        try:
            return await self._client.list_outputs(uid, lane=lane)
        except CloudflareRefused as error:
            if error.code != "input_missing":
                raise
            return []

    async def create(self, uid: str, platform: str, destination: Destination) -> Output:
        """Make an output. After a lost answer it is looked for, never made again."""
        began = trio.current_time()
        url = redacted_url(destination.url, destination.stream_key)
        # Effect point 1: nothing yet.
        intent_id = await self._intents.begin(
            CREATE_OUTPUT, platform, {"input": uid, "platform": platform, "url": url}
        )
        # Effect point 2: the intent is written.
        try:
            # Effect point 3 lies inside.
            output = await self._client.create_output(uid, destination.url, destination.stream_key)
        except CloudflareUnavailable as error:
            found = await self._find(uid, destination)
            if found is None:
                await self._finish(intent_id, FAILED, {"code": error.code})
                raise
            output = found
        except (CloudflareRefused, RateLimited) as error:
            await self._finish(intent_id, FAILED, {"code": error.code})
            raise
        # Effect point 4: the answer has come.
        await self._finish(intent_id, DONE, {"output": output.uid})
        # Effect point 5: the result is written.
        self._telemetry.emit(
            OutputCreatedAtCloudflare(
                user_id=self._user_id, platform=platform, duration=trio.current_time() - began
            )
        )
        return output

    async def enable(self, uid: str, platform: str, output: Output) -> None:
        """Switch an output on that exists and is off."""
        intent_id = await self._intents.begin(
            ENABLE_OUTPUT, platform, {"input": uid, "platform": platform, "output": output.uid}
        )
        try:
            await self._client.set_output_enabled(uid, output.uid, enabled=True)
        except (CloudflareUnavailable, CloudflareRefused, RateLimited) as error:
            await self._finish(intent_id, FAILED, {"code": error.code})
            raise
        await self._finish(intent_id, DONE, {"output": output.uid})

    async def delete(self, uid: str, platform: str, output: Output) -> None:
        """Remove an output, on an input with our marks only (CloudflareRefused otherwise)."""
        began = trio.current_time()
        await self._check_marks(uid)
        # Effect points as in create(); to carry a delete out twice does no harm.
        intent_id = await self._intents.begin(
            DELETE_OUTPUT,
            platform,
            {
                "input": uid,
                "platform": platform,
                "output": output.uid,
                "url": redacted_url(output.url, output.stream_key),
            },
        )
        try:
            await self._client.delete_output(uid, output.uid)
        except (CloudflareUnavailable, CloudflareRefused, RateLimited) as error:
            await self._finish(intent_id, FAILED, {"code": error.code})
            raise
        await self._finish(intent_id, DONE, {"output": output.uid})
        self._telemetry.emit(
            OutputDestroyedAtCloudflare(
                user_id=self._user_id, platform=platform, duration=trio.current_time() - began
            )
        )

    async def settle(self) -> None:
        """Finish what an earlier life, or a store that could not be written, left open."""
        if not self.unsettled:
            return
        begun = [i for i in await self._intents.open() if i.kind in OUTPUT_INTENTS]
        listed: dict[str, list[Output]] = {}
        for intent in begun:
            uid = str(intent.details["input"])
            if uid not in listed:
                listed[uid] = await self.list_outputs(uid, lane=Lane.STOP)
            outcome, output_uid = await self._settle(intent, uid, listed[uid])
            await self._intents.finish(intent.id, outcome, {"output": output_uid})
        self.unsettled = False

    async def _settle(self, intent: Intent, uid: str, outputs: list[Output]) -> tuple[str, str]:
        details: Mapping[str, object] = intent.details
        if intent.kind == CREATE_OUTPUT:
            for output in outputs:
                if redacted_url(output.url, output.stream_key) == details["url"]:
                    return DONE, output.uid
            return ABANDONED, ""
        output_uid = str(details["output"])
        existing = [output for output in outputs if output.uid == output_uid]
        if intent.kind == ENABLE_OUTPUT:
            enabled = any(output.enabled for output in existing)
            return (DONE if enabled else ABANDONED), output_uid
        for _ in existing:
            await self._check_marks(uid)
            await self._client.delete_output(uid, output_uid)
        return DONE, output_uid

    async def _find(self, uid: str, destination: Destination) -> Output | None:
        for output in await self._client.list_outputs(uid):
            if place_of(output) == place_of(destination):
                return output
        return None

    async def _check_marks(self, uid: str) -> None:
        if uid not in self._ours:
            live_input, _, _ = await self._client.get_input(uid, lane=Lane.STOP)
            if not self._client.is_ours(live_input, self._user_id):
                raise CloudflareRefused(
                    "The live input does not carry this installation's mark; nothing on it is deleted.",
                    status=200,
                    cloudflare_code=None,
                )
            self._ours.add(uid)

    async def _finish(self, intent_id: int, outcome: str, result: Mapping[str, object]) -> None:
        try:
            await self._intents.finish(intent_id, outcome, result)
        except StorageUnavailable:
            # The effect has happened and is reported as it is; the row is settled
            # before the next effect, like one that a kill left open.
            self.unsettled = True
