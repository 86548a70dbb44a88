"""What we want to hear of a channel, and the asking for it.

The list of what is wanted is the truth: each session is asked for all of it
anew, never for what an earlier one managed to get.
"""

from collections.abc import Mapping, Sequence

import attrs
import trio

from ...errors import (
    PlatformRefused,
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
    StreampaiError,
)
from .client import TwitchClient

# Enough to be done well within the ten seconds that Twitch grants to a session
# without subscriptions, and few enough not to crowd out other users' calls.
AT_ONCE = 4
# Waits before asking again after Twitch failed to answer.
RETRY_AFTER = (0.5, 1.0)


@attrs.frozen
class Wanted:
    """A subscription type. Every one of ``about`` is a field of the condition that is our user."""

    type: str
    version: str = "1"
    about: tuple[str, ...] = ("broadcaster_user_id",)

    def condition(self, broadcaster: str) -> Mapping[str, str]:
        return dict.fromkeys(self.about, broadcaster)


_CHAT = ("broadcaster_user_id", "user_id")
_MODERATOR = ("broadcaster_user_id", "moderator_user_id")

# In order of importance; the first is a must.
WANTED: tuple[Wanted, ...] = (
    Wanted("channel.chat.message", about=_CHAT),
    Wanted("stream.online"),
    Wanted("stream.offline"),
    Wanted("channel.follow", "2", _MODERATOR),
    Wanted("channel.subscribe"),
    Wanted("channel.subscription.message"),
    Wanted("channel.subscription.gift"),
    Wanted("channel.bits.use"),
    Wanted("channel.raid", about=("to_broadcaster_user_id",)),
    Wanted("channel.chat.message_delete", about=_CHAT),
    Wanted("channel.chat.clear", about=_CHAT),
    Wanted("channel.chat.clear_user_messages", about=_CHAT),
    Wanted("channel.chat.notification", about=_CHAT),
    Wanted("channel.channel_points_custom_reward_redemption.add"),
    Wanted("channel.ban"),
    Wanted("channel.update", "2"),
    Wanted("channel.subscription.end"),
    Wanted("channel.poll.begin"),
    Wanted("channel.poll.progress"),
    Wanted("channel.poll.end"),
    Wanted("channel.prediction.begin"),
    Wanted("channel.prediction.progress"),
    Wanted("channel.prediction.lock"),
    Wanted("channel.prediction.end"),
    Wanted("channel.hype_train.begin", "2"),
    Wanted("channel.hype_train.progress", "2"),
    Wanted("channel.hype_train.end", "2"),
    Wanted("channel.ad_break.begin"),
)
MUST = WANTED[0]

# The OAuth scopes that the above need.
SCOPES: tuple[str, ...] = (
    "user:read:chat",
    "moderator:read:followers",
    "channel:read:subscriptions",
    "bits:read",
    "channel:read:redemptions",
    "channel:moderate",
    "channel:read:polls",
    "channel:read:predictions",
    "channel:read:hype_train",
    "channel:read:ads",
)


@attrs.define
class Outcome:
    """What became of asking. ``failed`` may work later, ``refused`` will not."""

    granted: list[Wanted] = attrs.field(factory=list)
    refused: dict[Wanted, StreampaiError] = attrs.field(factory=dict)
    failed: dict[Wanted, StreampaiError] = attrs.field(factory=dict)

    def problem(self) -> StreampaiError | None:
        """Why the session is useless; None when it is worth keeping."""
        if MUST in self.failed:
            return self.failed[MUST]
        if self.granted:
            return None
        for error in self.failed.values():
            return error
        words = {error.message for error in self.refused.values()}
        return PlatformRefused("Twitch accepts no subscription: " + "; ".join(sorted(words))[:300])


async def subscribe(
    client: TwitchClient, *, broadcaster: str, session_id: str, wanted: Sequence[Wanted]
) -> Outcome:
    """Ask for all of ``wanted``, the first ones first. Each may fail alone.

    Raises only ReloginNeeded.
    """
    asking = _Asking(client, broadcaster, session_id, list(wanted))
    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(asking.work, nursery.cancel_scope, name="eventsub/subscribe")
    if asking.relogin is not None:
        raise asking.relogin
    return asking.outcome


class _Asking:
    def __init__(
        self, client: TwitchClient, broadcaster: str, session_id: str, wanted: list[Wanted]
    ) -> None:
        self._client = client
        self._broadcaster = broadcaster
        self._session_id = session_id
        self._waiting = wanted[::-1]
        self._cleaning = trio.Lock()
        self._cleaned = False
        self.outcome = Outcome()
        self.relogin: ReloginNeeded | None = None

    async def work(self, everybody: trio.CancelScope) -> None:
        while self._waiting:
            wanted = self._waiting.pop()
            try:
                await self._ask_patiently(wanted)
            except ReloginNeeded as exc:
                self.relogin = exc
                everybody.cancel()
                return
            except PlatformRefused as exc:
                self.outcome.refused[wanted] = exc
            except StreampaiError as exc:
                self.outcome.failed[wanted] = exc
            else:
                self.outcome.granted.append(wanted)

    async def _ask_patiently(self, wanted: Wanted) -> None:
        """Asking twice does no harm: Twitch answers that the subscription exists."""
        for wait in RETRY_AFTER:
            try:
                return await self._ask(wanted)
            except PlatformUnavailable:
                await trio.sleep(wait)
            except RateLimited as exc:
                if not exc.details.get("quota"):
                    # The bucket now waits until Twitch's is full again; so will we.
                    continue
                await self._clean_up()
        return await self._ask(wanted)

    async def _ask(self, wanted: Wanted) -> None:
        await self._client.create_subscription(
            type=wanted.type,
            version=wanted.version,
            condition=wanted.condition(self._broadcaster),
            session_id=self._session_id,
        )

    async def _clean_up(self) -> None:
        """Delete what dead sessions of ours left behind: it counts against the quota."""
        async with self._cleaning:
            if self._cleaned:
                return
            self._cleaned = True
            for subscription in await self._client.subscriptions():
                if subscription.status != "enabled":
                    await self._client.delete_subscription(subscription.id)
