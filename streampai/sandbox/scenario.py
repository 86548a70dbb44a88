"""Stories played on the sandbox: a show, a raid, a gift bomb, a storm of chat, a lost encoder.

A story is given by name and parameters. The short ones have happened when
``play`` returns; the long ones go on in a task of their own.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import attrs
import trio

from .cloudflare_state import CloudflareState, LiveInput
from .twitch_acts import TwitchActs
from .twitch_occasions import TwitchOccasions
from .twitch_state import Channel, TwitchState, User

# Stories at once; more is a mistake in a script.
MAX_RUNNING = 50
NAMES = [
    "ada",
    "barnaby",
    "cleo",
    "dmitri",
    "edith",
    "fenna",
    "gustav",
    "hana",
    "igor",
    "juno",
    "kofi",
    "lena",
    "mats",
    "nadia",
    "otto",
    "priya",
    "quinn",
    "rosa",
    "sven",
    "tala",
    "uma",
    "viktor",
    "wanda",
    "xavi",
    "yara",
    "zeno",
]
LINES = (
    "hello everyone",
    "Kappa",
    "that was close LUL",
    "what game is this?",
    "@{streamer} love the new overlay",
    "first time here, hi!",
    "gg",
    "PogChamp PogChamp",
    "the sound is a bit low",
    "greetings from Oslo",
    "how long have you been playing?",
    "HeyGuys",
    "<3 <3",
    "clip it",
)

Parameters = Mapping[str, Any]
# A long story whose parameters have been checked: nothing is left that could be refused.
Telling = Callable[[], Awaitable[None]]


class ScenarioError(ValueError):
    """The story cannot be played; says why."""


@attrs.define(eq=False)
class Story:
    number: int
    name: str
    user: str
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class Scenarios:
    """Who asks for ``play`` needs ``run`` to be running: it owns the stories' tasks."""

    def __init__(
        self,
        cloudflare: CloudflareState,
        twitch: TwitchState,
        acts: TwitchActs,
        occasions: TwitchOccasions,
        rng: random.Random,
        *,
        pace: float = 1.0,
    ) -> None:
        self._cloudflare = cloudflare
        self._twitch = twitch
        self._acts = acts
        self._occasions = occasions
        self._rng = rng
        self._pace = pace
        self._nursery: trio.Nursery | None = None
        self._number = 0
        self.running: dict[int, Story] = {}
        self._short: Mapping[str, Callable[[Channel, Parameters], object]] = {
            "follow": self._follow,
            "subscribe": self._subscribe,
            "resubscribe": self._resubscribe,
            "unsubscribe": self._unsubscribe,
            "gift_bomb": self._gift_bomb,
            "cheer": self._cheer,
            "raid": self._raid,
            "redeem": self._redeem,
            "announce": self._announce,
            "notice": self._notice,
            "update": self._update,
            "clear": lambda channel, _: self._acts.clear_chat(channel),
            "ban": self._ban,
            "delete_message": self._delete_message,
            "hype_train": self._hype_train,
            "poll": self._poll,
            "prediction": self._prediction,
            "ad_break": lambda channel, _: self._acts.ad_break(channel),
        }
        self._long: Mapping[str, Callable[[Channel, Parameters], Telling]] = {
            "chat": self._chat,
            "chat_storm": self._chat_storm,
            "encoder_drop": self._encoder_drop,
            "show": self._show,
            "life": self._life,
        }

    @property
    def names(self) -> list[str]:
        return [*self._short, *self._long]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The owner of the long stories' tasks; cancelling it ends them."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def play(self, name: str, parameters: Parameters | None = None) -> dict[str, Any]:
        """Play a story. ``user`` is a Twitch login; left out, the only one that is connected.

        Raises ScenarioError for an unknown story, user or parameter.
        """
        given = dict(parameters or {})
        channel = self._channel(str(given.get("user") or ""))
        if name in self._short:
            result = self._short[name](channel, given)
            return {"story": name, "user": channel.owner.login, "result": result}
        if name not in self._long:
            raise ScenarioError(f"no such scenario; there are {', '.join(self.names)}")
        if self._nursery is None or len(self.running) >= MAX_RUNNING:
            raise ScenarioError("too many scenarios at once")
        telling = self._long[name](channel, given)
        self._number += 1
        story = Story(self._number, name, channel.owner.login)
        self.running[story.number] = story
        self._nursery.start_soon(self._tell, story, telling, name=f"sandbox/story/{name}")
        return {"story": name, "user": channel.owner.login, "number": story.number}

    def stop(self, number: int | None = None) -> int:
        """End one running story, or all."""
        chosen = [s for s in self.running.values() if number in (None, s.number)]
        for story in chosen:
            story.scope.cancel()
        return len(chosen)

    async def _tell(self, story: Story, telling: Telling) -> None:
        try:
            with story.scope:
                await telling()
        finally:
            del self.running[story.number]

    def _channel(self, login: str) -> Channel:
        if login:
            return self._twitch.channel(self._twitch.user(login))
        connected = self._twitch.authorised()
        if len(connected) != 1:
            raise ScenarioError("name a user: not exactly one has connected")
        return self._twitch.channel(connected[0])

    def _somebody(self, given: Parameters) -> User:
        return self._twitch.user(str(given.get("from") or self._rng.choice(NAMES)))

    def _line(self, channel: Channel) -> str:
        return self._rng.choice(LINES).format(streamer=channel.owner.login)

    # Short stories

    def _follow(self, channel: Channel, given: Parameters) -> None:
        for index in range(_count(given, "count", 1, 10_000)):
            follower = self._somebody(given)
            if "from" not in given:
                follower = self._twitch.user(f"{follower.login}_{len(channel.followers) + index}")
            self._acts.follow(channel, follower)

    def _subscribe(self, channel: Channel, given: Parameters) -> None:
        self._acts.subscribe(channel, self._somebody(given), _tier(given))

    def _resubscribe(self, channel: Channel, given: Parameters) -> None:
        months, text = _count(given, "months", 3, 1_000), str(given.get("text", ""))
        self._acts.resubscribe(channel, self._somebody(given), months, _tier(given), text)

    def _gift_bomb(self, channel: Channel, given: Parameters) -> str:
        gifter = None if given.get("anonymous") else self._somebody(given)
        count = _count(given, "count", 5, 1_000)
        start = len(channel.subscribers)
        recipients = [self._twitch.user(f"lucky_{start + i}") for i in range(count)]
        return self._acts.gift_bomb(channel, gifter, recipients, _tier(given))

    def _cheer(self, channel: Channel, given: Parameters) -> None:
        bits, text = _count(given, "bits", 100, 1_000_000), str(given.get("text", "well played"))
        self._acts.cheer(channel, self._somebody(given), bits, text)

    def _raid(self, channel: Channel, given: Parameters) -> None:
        viewers = _count(given, "viewers", 120, 1_000_000)
        self._acts.raid(channel, self._somebody(given), viewers)

    def _redeem(self, channel: Channel, given: Parameters) -> str:
        title, text = str(given.get("title", "Hydrate")), str(given.get("text", ""))
        cost = _count(given, "cost", 100, 1_000_000)
        return self._acts.redeem(channel, self._somebody(given), title, cost, text)

    def _announce(self, channel: Channel, given: Parameters) -> None:
        text = str(given.get("text", "Back in five minutes"))
        self._acts.announce(channel, channel.owner, text)

    def _unsubscribe(self, channel: Channel, given: Parameters) -> None:
        self._acts.end_subscription(channel, self._somebody(given))

    def _notice(self, channel: Channel, given: Parameters) -> None:
        """Any kind of chat notice, also ones that Twitch has yet to think of."""
        kind, detail = str(given.get("notice_type", "watch_streak")), given.get("detail", {})
        if not isinstance(detail, dict):
            raise ScenarioError("detail must be an object")
        text = str(given.get("text", ""))
        self._acts.notice(channel, self._somebody(given), kind, detail, text)

    def _update(self, channel: Channel, given: Parameters) -> None:
        title, category = given.get("title"), given.get("category_id")
        self._acts.update_channel(channel, title=title, category_id=category)

    def _ban(self, channel: Channel, given: Parameters) -> None:
        self._acts.ban(channel, self._somebody(given), _count(given, "seconds", 0, 1_209_600))

    def _delete_message(self, channel: Channel, given: Parameters) -> None:
        message_id = str(given.get("message_id", ""))
        author = self._acts.author_of(channel, message_id)
        if author is None:
            raise ScenarioError("no such message")
        self._acts.delete_message(channel, author, message_id)

    def _hype_train(self, channel: Channel, given: Parameters) -> str:
        total = _count(given, "total", 900, 1_000_000)
        return self._occasions.hype_train(channel, self._somebody(given), total)

    def _poll(self, channel: Channel, given: Parameters) -> str:
        title = str(given.get("title", "What next?"))
        return self._occasions.poll(channel, title, ["Another round", "Something else"])

    def _prediction(self, channel: Channel, given: Parameters) -> str:
        title = str(given.get("title", "Will it work?"))
        return self._occasions.prediction(channel, title, ["Yes", "No"])

    # Long stories

    def _chat(self, channel: Channel, given: Parameters) -> Telling:
        """``count`` messages, one every ``interval`` seconds; ``{n}`` in ``text`` is its number."""
        count, interval = _count(given, "count", 1, 1_000_000), _seconds(given, "interval", 0.0)
        template = str(given.get("text", ""))

        async def tell() -> None:
            for index in range(count):
                text = template.replace("{n}", str(index + 1)) or self._line(channel)
                self._acts.say(channel, self._somebody(given), text)
                await trio.sleep(interval)

        return tell

    def _chat_storm(self, channel: Channel, given: Parameters) -> Telling:
        """``rate`` messages a second for ``seconds``."""
        rate, seconds = _seconds(given, "rate", 100.0), _seconds(given, "seconds", 5.0)

        async def tell() -> None:
            start, sent = trio.current_time(), 0
            while (elapsed := trio.current_time() - start) < seconds:
                for _ in range(int(elapsed * rate) - sent):
                    sent += 1
                    self._acts.say(channel, self._somebody(given), f"{self._line(channel)} {sent}")
                await trio.sleep(max(0.005, 1 / max(rate, 1.0)))

        return tell

    def _input(self, channel: Channel, given: Parameters) -> LiveInput:
        who = str(given.get("input") or channel.owner.login)
        live = self._cloudflare.find(who)
        if live is None and len(self._cloudflare.inputs) == 1:
            live = next(iter(self._cloudflare.inputs.values()))
        if live is None:
            raise ScenarioError(f"no live input of {who}")
        return live

    def _encoder_drop(self, channel: Channel, given: Parameters) -> Telling:
        """The encoder is gone for ``seconds``, then back."""
        live, seconds = self._input(channel, given), _seconds(given, "seconds", 10.0)

        async def tell() -> None:
            protocol = live.encoder.protocol if live.encoder else "rtmp"
            self._cloudflare.disconnect_encoder(live)
            await trio.sleep(seconds)
            self._cloudflare.connect_encoder(live, protocol)

        return tell

    def _show(self, channel: Channel, given: Parameters) -> Telling:
        """A whole show of ``seconds``: the encoder comes, things happen ``rate`` times a second, it ends.

        The streamer's own part, Start Stream, is left to the streamer.
        """
        live, seconds = self._input(channel, given), _seconds(given, "seconds", 120.0)
        rate = _seconds(given, "rate", 1.0)

        async def tell() -> None:
            self._cloudflare.connect_encoder(live)
            with trio.move_on_after(seconds):
                await self._act_out(channel, rate)
            self._cloudflare.disconnect_encoder(live)

        return tell

    def _life(self, channel: Channel, given: Parameters) -> Telling:
        """Something happens now and then, as long as the channel is live, until stopped."""
        rate = _seconds(given, "rate", 0.5)
        return partial(self._act_out, channel, rate, only_live=True)

    async def _act_out(self, channel: Channel, rate: float, *, only_live: bool = False) -> None:
        while True:
            await trio.sleep(self._rng.expovariate(max(rate, 0.01)) / self._pace)
            if only_live and not channel.live:
                continue
            channel.viewers = max(1, channel.viewers + self._rng.randint(-3, 4))
            self._something(channel)

    def _something(self, channel: Channel) -> None:
        chosen = self._rng.random()
        if chosen < 0.86:
            self._acts.say(channel, self._somebody({}), self._line(channel))
        elif chosen < 0.92:
            self._follow(channel, {})
        elif chosen < 0.94:
            self._cheer(channel, {"bits": self._rng.choice((50, 100, 500))})
        elif chosen < 0.96:
            self._subscribe(channel, {})
        elif chosen < 0.98:
            self._redeem(channel, {"text": "stay hydrated"})
        elif chosen < 0.99:
            self._gift_bomb(channel, {"count": 3})
        else:
            self._raid(channel, {"viewers": self._rng.randint(5, 80)})


def _count(given: Parameters, name: str, default: int, most: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ScenarioError(f"{name} must be a whole number up to {most:,}")
    return value


def _seconds(given: Parameters, name: str, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ScenarioError(f"{name} must be a number from 0")
    return float(value)


def _tier(given: Parameters) -> str:
    tier = str(given.get("tier", "1000"))
    if tier not in ("1000", "2000", "3000"):
        raise ScenarioError("tier must be 1000, 2000 or 3000")
    return tier
