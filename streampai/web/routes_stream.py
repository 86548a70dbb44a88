"""The stream: its state, and the commands, which are the RPC methods as REST.

Every command is answered with 202 once it is accepted for good; its outcome is
an event on ``stream_lifecycle:{user}``. A body may carry ``id``: sent twice
with the same id a command acts once.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from quart.typing import ResponseReturnValue

from ..commands import decode_command
from ..errors import CommandRefused
from . import bodies
from .app import json_response
from .login import Visit
from .route import Route
from .services import WebServices

_ACCEPTED = {202: "`accepted`: the command's id.", 409: "Refused as things stand; `code` says why."}
_DESTINATION = "/api/stream/destinations/<platform>"


class StreamRoutes:
    def __init__(self, services: WebServices) -> None:
        self._manager = services.manager

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path="/api/stream",
                handler=self.state,
                summary="The state of the stream: the snapshot that is also published on"
                " user_stream:{user}.",
            ),
            self._command("POST", "/api/stream/start", "start_stream", "Start the stream."),
            self._command("POST", "/api/stream/stop", "stop_stream", "End the stream."),
            Route(
                method="GET",
                path=_DESTINATION,
                handler=self.destination,
                summary="One destination of the snapshot.",
            ),
            self._command(
                "PUT",
                _DESTINATION,
                "set_destination",
                "Choose a platform for the show, or drop it; while streaming at once.",
            ),
            Route(
                method="DELETE",
                path=_DESTINATION,
                handler=self.drop_destination,
                summary="Drop a platform from the show.",
                answers=_ACCEPTED,
            ),
            self._command(
                "POST",
                f"{_DESTINATION}/retry",
                "retry_destination",
                "Try a failed destination again.",
            ),
            self._command("POST", "/api/chat", "send_chat", "Write to the platforms' chats."),
            self._command(
                "PATCH", "/api/stream/metadata", "edit_metadata", "Change title and category."
            ),
            Route(
                method="GET",
                path="/api/stream/key",
                handler=self.key,
                summary="Where the encoder sends to, with the secret stream key.",
                answers={200: "`ingest_url` and `stream_key`.", 409: "`input_missing`."},
            ),
            self._command(
                "POST", "/api/stream/key/rotate", "rotate_key", "Replace the stream key."
            ),
        )

    def _command(self, method: str, path: str, command: str, summary: str) -> Route:
        return Route(
            method=method,
            path=path,
            handler=self._submitter(command),
            summary=summary,
            answers=_ACCEPTED,
            command=command,
        )

    def _submitter(self, method: str) -> Callable[..., Awaitable[ResponseReturnValue]]:
        async def submit(visit: Visit, **path: str) -> ResponseReturnValue:
            return await self._submit(visit, method, {**await bodies.read_json(), **path})

        return submit

    async def _submit(self, visit: Visit, method: str, data: dict[str, Any]) -> ResponseReturnValue:
        data.setdefault("id", uuid.uuid4().hex)
        command = decode_command(method, data)
        user = await self._manager.ensure_user(visit.user_id)
        await user.submit(command)
        return json_response({"accepted": command.id}, 202)

    async def state(self, visit: Visit) -> ResponseReturnValue:
        user = await self._manager.ensure_user(visit.user_id)
        return json_response(orjson.Fragment(user.snapshot()))

    async def destination(self, visit: Visit, platform: str) -> ResponseReturnValue:
        user = await self._manager.ensure_user(visit.user_id)
        for destination in orjson.loads(user.snapshot())["destinations"]:
            if destination["platform"] == platform:
                return json_response(destination)
        raise CommandRefused(code="unknown_platform")

    async def drop_destination(self, visit: Visit, platform: str) -> ResponseReturnValue:
        return await self._submit(
            visit, "set_destination", {"platform": platform, "enabled": False}
        )

    async def key(self, visit: Visit) -> ResponseReturnValue:
        user = await self._manager.ensure_user(visit.user_id)
        ingest_url, stream_key = await user.stream_key()
        return json_response({"ingest_url": ingest_url, "stream_key": stream_key.reveal()})
