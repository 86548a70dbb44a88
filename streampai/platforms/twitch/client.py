"""Helix, Twitch's HTTP interface, in the name of one account.

Knows Twitch's rules of the road: the bucket of 800 points a minute per
application and user, that a 401 may also mean a missing scope, that a 429 may
be a quota that no waiting for the bucket mends, that a 503 of a question is
asked once more. Facts: the Helix reference of February 2026.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ...errors import PlatformRefused, RateLimited, StreampaiError
from ...runtime import TokenBucket
from ...settings import Secret, TwitchSettings
from ..api import Answer, ApiClient, Parameters, http_date
from ..fields import Fields
from ..platform import AccessTokens, Now, SentMessage
from . import models
from .oauth import refusal

# What the reference allows per minute; the bucket refills steadily.
POINTS_PER_MINUTE = 800
# A clock that is wrong must not make us wait for ever, nor not at all.
_LONGEST_WAIT = 120.0
# A quota (sockets, subscriptions, moderation) is freed by time: stale ones count about a minute.
_QUOTA_WAIT = 60.0
# Pages of 100 subscriptions: 300 is the most that one connection may have, and there may be three.
_MOST_PAGES = 10

T = TypeVar("T")


class TwitchClient:
    """``tokens`` are of the user ``broadcaster``, whose own channel all calls are about.

    Every call raises PlatformUnavailable, PlatformRefused, RateLimited or
    ReloginNeeded. A call that changes something is sent once: on
    PlatformUnavailable it may or may not have been carried out.
    """

    def __init__(
        self,
        api: ApiClient,
        settings: TwitchSettings,
        *,
        broadcaster: str,
        tokens: AccessTokens,
        bucket: TokenBucket,
        now: Now,
    ) -> None:
        self._api = api
        self._settings = settings
        self._broadcaster = broadcaster
        self._tokens = tokens
        self._bucket = bucket
        self._now = now
        # By operation: the renewed token that was refused as well. Renewing
        # again for the same call would only use up the fifty live tokens that
        # Twitch allows per log-in.
        self._refused_anew: dict[str, Secret] = {}

    async def me(self) -> models.HelixUser | None:
        """The user whose token this is."""
        answer = await self._ask("users", operation="get_users")
        return answer.read(lambda fields: _first(fields, models.decode_user))

    async def stream(self) -> models.HelixStream | None:
        """The running stream; None while Twitch does not show one, which may lag by minutes."""
        answer = await self._ask("streams", ("user_id", self._broadcaster), operation="get_streams")
        return answer.read(lambda fields: _first(fields, models.decode_stream))

    async def channel(self) -> models.HelixChannel | None:
        answer = await self._ask(
            "channels", ("broadcaster_id", self._broadcaster), operation="get_channel"
        )
        return answer.read(lambda fields: _first(fields, models.decode_channel))

    async def follower_count(self) -> int:
        answer = await self._ask(
            "channels/followers",
            ("broadcaster_id", self._broadcaster),
            ("first", "1"),
            operation="get_followers",
        )
        return answer.read(lambda fields: fields.number("total"))

    async def modify_channel(self, changes: Mapping[str, str]) -> None:
        """``title`` and/or ``game_id`` ("0" clears the category)."""
        await self._call(
            "PATCH",
            "channels",
            [("broadcaster_id", self._broadcaster)],
            operation="modify_channel",
            json=changes,
        )

    async def search_categories(self, words: str) -> list[models.Category]:
        answer = await self._ask(
            "search/categories", ("query", words), ("first", "100"), operation="search_categories"
        )
        return answer.read(
            lambda fields: [models.decode_category(item) for item in fields.children("data")]
        )

    async def stream_key(self) -> Secret:
        """Raises PlatformRefused with Twitch's words when the user must, say, enable 2FA first."""
        answer = await self._ask(
            "streams/key", ("broadcaster_id", self._broadcaster), operation="get_stream_key"
        )
        key = answer.read(lambda fields: _first(fields, lambda item: item.text("stream_key")))
        if not key:
            raise PlatformRefused("Twitch gave no stream key")
        return Secret(key)

    async def send_chat(self, text: str) -> SentMessage:
        """Into the own channel. A 200 is no success yet: the message may have been dropped.

        Raises PlatformRefused with Twitch's reason and ``details["drop_code"]`` then.
        """
        answer = await self._call(
            "POST",
            "chat/messages",
            operation="send_chat",
            json={
                "broadcaster_id": self._broadcaster,
                "sender_id": self._broadcaster,
                "message": text,
            },
        )
        delivery = answer.read(lambda fields: _first(fields, models.decode_delivery))
        if delivery is None or not delivery.is_sent:
            words = delivery.reason if delivery else ""
            raise PlatformRefused(
                words or "Twitch dropped the message without a reason",
                drop_code=delivery.code if delivery else "",
            )
        return SentMessage(message_id=delivery.message_id)

    async def create_subscription(
        self, *, type: str, version: str, condition: Mapping[str, str], session_id: str
    ) -> str:
        """The subscription's id; "" when it existed already and Twitch does not name it.

        A RateLimited with ``details["quota"]`` true asks for cleaning up, not for waiting.
        """
        try:
            answer = await self._call(
                "POST",
                "eventsub/subscriptions",
                operation="create_subscription",
                json={
                    "type": type,
                    "version": version,
                    "condition": condition,
                    "transport": {"method": "websocket", "session_id": session_id},
                },
            )
        except PlatformRefused as exc:
            if exc.details.get("status") == 409:
                return ""
            raise
        created = answer.read(lambda fields: _first(fields, models.decode_subscription))
        return created.id if created else ""

    async def subscriptions(self) -> list[models.Subscription]:
        """All of this user's and application's, also those that ended within the hour."""
        found: list[models.Subscription] = []
        cursor = ""
        for _ in range(_MOST_PAGES):
            page = [("after", cursor)] if cursor else []
            answer = await self._ask(
                "eventsub/subscriptions", *page, operation="list_subscriptions"
            )
            items, cursor = answer.read(models.decode_subscriptions)
            found += items
            if not cursor:
                break
        return found

    async def delete_subscription(self, subscription_id: str) -> None:
        """One that is gone already is well deleted."""
        try:
            await self._call(
                "DELETE",
                "eventsub/subscriptions",
                [("id", subscription_id)],
                operation="delete_subscription",
            )
        except PlatformRefused as exc:
            if exc.details.get("status") != 404:
                raise

    async def _ask(self, path: str, *params: tuple[str, str], operation: str) -> Answer:
        return await self._call("GET", path, params, operation=operation)

    async def _call(
        self,
        method: str,
        path: str,
        params: Parameters = (),
        *,
        operation: str,
        json: Any = None,
    ) -> Answer:
        async def send(token: Secret) -> Answer:
            await self._bucket.acquire()
            answer = await self._api.call(
                method,
                f"{self._settings.api_url}/{path}",
                operation=operation,
                headers={
                    "Authorization": f"Bearer {token.reveal()}",
                    "Client-Id": self._settings.client_id,
                },
                params=params,
                json=json,
            )
            self._heed_limits(answer)
            return answer

        token = await self._tokens.access()
        answer = await send(token)
        if answer.status == 401 and self._may_renew(answer, operation, token):
            token = await self._tokens.renew(token)
            answer = await send(token)
            if answer.status == 401:
                self._refused_anew[operation] = token
        if answer.status == 503 and method == "GET":
            answer = await send(token)
        if not 200 <= answer.status < 300:
            raise self._refusal(answer)
        return answer

    def _may_renew(self, answer: Answer, operation: str, token: Secret) -> bool:
        """Whether the 401 can mean that the token has ended.

        Twitch says 401 as well for a scope that was never given and for a user
        or an application that the token is not of.
        """
        words = answer.reason().lower()
        about_rights = "scope" in words or "match" in words
        return not about_rights and self._refused_anew.get(operation) != token

    def _heed_limits(self, answer: Answer) -> None:
        """The bucket waits until Twitch's is filled again when that one has run dry."""
        if answer.headers.get("Ratelimit-Remaining") == "0":
            self._bucket.penalise(self._until_reset(answer))

    def _until_reset(self, answer: Answer) -> float:
        """Seconds until Ratelimit-Reset (Unix time), by Twitch's own clock where it tells it."""
        text = answer.headers.get("Ratelimit-Reset", "")
        if not (text.isascii() and text.isdigit()):
            return answer.retry_after(self._now()) or _QUOTA_WAIT
        now = http_date(answer.headers.get("Date", "")) or self._now()
        return min(max(float(text) - now.timestamp(), 1.0), _LONGEST_WAIT)

    def _refusal(self, answer: Answer) -> StreampaiError:
        if answer.status != 429:
            return refusal(answer, retry_after=None)
        remaining = answer.headers.get("Ratelimit-Remaining", "0")
        quota = remaining != "0"
        wait = (
            answer.retry_after(self._now()) or _QUOTA_WAIT if quota else self._until_reset(answer)
        )
        return RateLimited(f"Twitch limits us: {answer.reason()}", retry_after=wait, quota=quota)


def _first(fields: Fields, decode: Callable[[Fields], T]) -> T | None:
    """Helix answers with a list even where there is one thing or none."""
    for item in fields.children("data"):
        return decode(item)
    return None
