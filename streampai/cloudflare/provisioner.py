"""Gives a user the one live input, and keeps its credentials stored.

Making an input takes two stores to agree, Cloudflare's and ours. It survives a
kill at any of its points (see :mod:`.intents`) because an input carries our marks
in its ``meta``: before one is made, those that exist are listed and adopted.
"""

import uuid
from typing import Protocol

import trio

from ..errors import CloudflareRefused, CloudflareUnavailable, RateLimited
from .client import CloudflareClient
from .intents import ABANDONED, CREATE_INPUT, DONE, FAILED, ROTATE_KEY, IntentLog
from .limiter import Lane
from .models import LiveInput


class InputStore(Protocol):
    """Where one user's input is kept. Durable when it returns; may raise StorageUnavailable."""

    async def get(self) -> LiveInput | None: ...

    async def save(self, live_input: LiveInput) -> None: ...


class InputProvisioner:
    """One per user, owned by the input monitor.

    Its methods raise CloudflareUnavailable, CloudflareRefused, RateLimited and
    StorageUnavailable; calling them again goes on where they stopped, and so does a
    new one after a kill. They exclude each other.
    """

    def __init__(
        self,
        *,
        user_id: int,
        name: str,
        client: CloudflareClient,
        store: InputStore,
        intents: IntentLog,
    ) -> None:
        self.live_input: LiveInput | None = None
        self._user_id = user_id
        self._name = name
        self._client = client
        self._store = store
        self._intents = intents
        self._gone_uid = ""
        self._lock = trio.Lock()

    @property
    def gone(self) -> bool:
        """Cloudflare was certain that the input does not exist, and there is no other yet."""
        return self.live_input is None and bool(self._gone_uid)

    def forget(self, uid: str) -> None:
        """The input is gone for certain; ``ensure`` will find or make another."""
        if self.live_input is not None and self.live_input.uid == uid:
            self.live_input = None
        self._gone_uid = uid

    async def ensure(self) -> LiveInput:
        """The user's input: the stored one, else an existing one with our marks, else a new one."""
        async with self._lock:
            if self.live_input is not None:
                return self.live_input
            begun = await self._intents.open()
            creates = [
                (intent.id, str(intent.details["attempt"]))
                for intent in begun
                if intent.kind == CREATE_INPUT
            ]
            live_input = await self._store.get()
            if live_input is None or live_input.uid == self._gone_uid:
                live_input = await self._client.find_input(self._user_id)
                if live_input is None:
                    creates = creates or [await self._begin_create()]
                    live_input = await self._create(*creates[0])
                # Effect point 4: the input exists and its answer has come.
                await self._store.save(live_input)
            for intent_id, _ in creates:
                await self._intents.finish(intent_id, DONE, {"input": live_input.uid})
            for intent in begun:
                if intent.kind == ROTATE_KEY:
                    # The first poll compares the key with the stored one: nothing to undo.
                    await self._intents.finish(intent.id, ABANDONED, {})
            self.live_input = live_input
            return live_input

    async def _begin_create(self) -> tuple[int, str]:
        # Effect point 1: nothing yet; 2 when this has returned.
        attempt = uuid.uuid4().hex
        details = {"name": self._name, "attempt": attempt}
        return await self._intents.begin(CREATE_INPUT, str(self._user_id), details), attempt

    async def _create(self, intent_id: int, attempt: str) -> LiveInput:
        try:
            # Effect point 3 lies inside.
            return await self._client.create_input(
                user_id=self._user_id, name=self._name, idempotency_key=attempt
            )
        except CloudflareUnavailable:
            # It may exist all the same. If it is not to be seen yet the intent stays
            # open, and the next try sends the same attempt after looking again.
            found = await self._client.find_input(self._user_id)
            if found is None:
                raise
            return found
        except CloudflareRefused as error:
            await self._intents.finish(intent_id, FAILED, {"code": error.code})
            raise

    async def update(self, current: LiveInput) -> None:
        """Cloudflare's present view of the input: credentials that changed there are stored."""
        async with self._lock:
            known = self.live_input
            if known is None or known.uid != current.uid or not current.stream_key:
                return
            if (known.stream_key, known.ingest_url) != (current.stream_key, current.ingest_url):
                await self._store.save(current)
            self.live_input = current

    async def rotate(self) -> LiveInput:
        """New credentials, because somebody asked for them. The input stays the same.

        Raises CloudflareRefused ``input_missing`` when there is no input whose key
        could be changed.
        """
        async with self._lock:
            known = self.live_input
            if known is None:
                raise CloudflareRefused(code="input_missing", status=404, cloudflare_code=None)
            intent_id = await self._intents.begin(ROTATE_KEY, known.uid, {"input": known.uid})
            try:
                fresh = await self._client.rotate_keys(known.uid)
            except CloudflareUnavailable:
                fresh, _, _ = await self._client.get_input(known.uid, lane=Lane.START)
                if not fresh.stream_key or fresh.stream_key == known.stream_key:
                    await self._intents.finish(intent_id, FAILED, {"answer": "lost"})
                    raise
            except (CloudflareRefused, RateLimited) as error:
                await self._intents.finish(intent_id, FAILED, {"code": error.code})
                raise
            await self._store.save(fresh)
            self.live_input = fresh
            await self._intents.finish(intent_id, DONE, {"input": fresh.uid})
            return fresh
