"""What goes out to the platforms during a show: chat messages and metadata.

Each goes to several platforms at once and answers with a receipt per platform;
one platform's refusal touches no other. Sending chat has an intent before and
a result after: after a crash a message whose fate is unknown is never sent a
second time.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import trio

from ..commands import EditMetadata, SendChat
from ..errors import CommandRefused, StreampaiError
from ..platforms.platform import Limits
from ..storage import Storage
from .accounts import UserAccounts
from .durably import durably

Receipts = dict[str, dict[str, Any]]

SEND_CHAT = "send_chat"


class Outgoing:
    def __init__(
        self,
        *,
        user_id: int,
        accounts: UserAccounts,
        storage: Storage,
        limits: Callable[[str], Limits],
    ) -> None:
        self._user_id = user_id
        self._accounts = accounts
        self._storage = storage
        self._limits = limits

    async def abandon_unfinished(self) -> None:
        """Close the intents of a former life: whether those messages went out is not known."""
        intents = self._storage.intents
        for intent in await intents.open_for(self._user_id):
            if intent.kind == SEND_CHAT:
                await intents.finish(intent.id, "abandoned", {})

    def check_chat(self, command: SendChat) -> None:
        """Raises CommandRefused when nothing could be sent as asked."""
        if not command.text.strip():
            raise CommandRefused("There is no text to send.", code="bad_request")
        for platform in self._targets(command.platforms):
            limit = self._limits(platform).chat_length
            if len(command.text) > limit:
                raise CommandRefused(code="text_too_long", platform=platform, limit=limit)

    def check_metadata(self, command: EditMetadata) -> None:
        if command.title is None and command.category is None:
            raise CommandRefused("There is nothing to change.", code="bad_request")
        if command.title is not None and not command.title.strip():
            raise CommandRefused("A title cannot be empty.", code="bad_request")
        for platform in self._targets(command.platforms):
            limit = self._limits(platform).title_length
            if command.title is not None and len(command.title) > limit:
                raise CommandRefused(code="text_too_long", platform=platform, limit=limit)

    async def send_chat(self, command: SendChat) -> Receipts:
        async def send(platform: str) -> dict[str, Any]:
            intents = self._storage.intents
            intent = await intents.begin(
                self._user_id, SEND_CHAT, f"{command.id}:{platform}", {"platform": platform}
            )
            try:
                sent = await self._accounts.get(platform).send_chat(command.text)
            except StreampaiError as exc:
                failure = {"code": exc.code}
                await durably(lambda: intents.finish(intent, "failed", failure))
                raise
            # It is out: a store that refuses must not make it look as if it were not.
            await durably(lambda: intents.finish(intent, "done", {"message_id": sent.message_id}))
            return {"message_id": sent.message_id}

        return await self._to_each(self._targets(command.platforms), send)

    async def edit_metadata(self, command: EditMetadata) -> Receipts:
        async def edit(platform: str) -> dict[str, Any]:
            await self._accounts.get(platform).edit_metadata(
                title=command.title, category=command.category
            )
            return {}

        return await self._to_each(self._targets(command.platforms), edit)

    def _targets(self, platforms: Collection[str]) -> Collection[str]:
        connected = self._accounts.stored
        for platform in platforms:
            if platform not in connected:
                raise CommandRefused(code="platform_not_connected", platform=platform)
        if not connected:
            raise CommandRefused(code="platform_not_connected")
        return platforms or connected.keys()

    async def _to_each(
        self, platforms: Collection[str], act: Callable[[str], Awaitable[dict[str, Any]]]
    ) -> Receipts:
        receipts: Receipts = {}

        async def one(platform: str) -> None:
            try:
                receipts[platform] = {"ok": True, **await act(platform)}
            except StreampaiError as exc:
                receipts[platform] = {"ok": False, "error": exc.as_dict()}

        async with trio.open_nursery() as nursery:
            for platform in list(platforms):
                nursery.start_soon(one, platform, name=f"outgoing/{self._user_id}/{platform}")
        if not any(receipt["ok"] for receipt in receipts.values()):
            raise CommandRefused(
                code="platform_refused", platforms={p: r["error"] for p, r in receipts.items()}
            )
        return receipts
