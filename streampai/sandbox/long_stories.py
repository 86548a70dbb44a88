"""Stories that go on for a while. Their parameters are checked before the first event."""

import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio

from .cloudflare_models import LiveInput
from .cloudflare_state import CloudflareState
from .short_stories import ShortStories
from .story_parameters import Parameters, ScenarioError, count_of, seconds_of
from .twitch_acts import TwitchActs
from .twitch_models import Channel

# A story whose parameters have been checked: nothing is left that could be refused.
Telling = Callable[[], Awaitable[None]]


class LongStories:
    """``table`` has every one by name; each raises ScenarioError or returns what tells it."""

    def __init__(
        self,
        cloudflare: CloudflareState,
        acts: TwitchActs,
        short: ShortStories,
        rng: random.Random,
        *,
        pace: float,
    ) -> None:
        self._cloudflare = cloudflare
        self._acts = acts
        self._short = short
        self._rng = rng
        self._pace = pace
        self.table: Mapping[str, Callable[[Channel, Parameters], Telling]] = {
            "chat": self._chat,
            "chat_storm": self._chat_storm,
            "encoder_drop": self._encoder_drop,
            "show": self._show,
            "life": self._life,
        }

    def _chat(self, channel: Channel, given: Parameters) -> Telling:
        """``count`` messages, one every ``interval`` seconds; ``{n}`` in ``text`` is its number."""
        count, interval = count_of(given, "count", 1, 1_000_000), seconds_of(given, "interval", 0.0)
        template = str(given.get("text", ""))

        async def tell() -> None:
            for index in range(count):
                text = template.replace("{n}", str(index + 1)) or self._short.line(channel)
                self._acts.say(channel, self._short.somebody(given), text)
                await trio.sleep(interval)

        return tell

    def _chat_storm(self, channel: Channel, given: Parameters) -> Telling:
        """``rate`` messages a second for ``seconds``."""
        rate, seconds = seconds_of(given, "rate", 100.0), seconds_of(given, "seconds", 5.0)

        async def tell() -> None:
            start, sent = trio.current_time(), 0
            while (elapsed := trio.current_time() - start) < seconds:
                for _ in range(int(elapsed * rate) - sent):
                    sent += 1
                    self._acts.say(
                        channel, self._short.somebody(given), f"{self._short.line(channel)} {sent}"
                    )
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
        live, seconds = self._input(channel, given), seconds_of(given, "seconds", 10.0)

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
        live, seconds = self._input(channel, given), seconds_of(given, "seconds", 120.0)
        rate = seconds_of(given, "rate", 1.0)

        async def tell() -> None:
            self._cloudflare.connect_encoder(live)
            with trio.move_on_after(seconds):
                await self._act_out(channel, rate)
            self._cloudflare.disconnect_encoder(live)

        return tell

    def _life(self, channel: Channel, given: Parameters) -> Telling:
        """Something happens now and then, as long as the channel is live, until stopped."""
        rate = seconds_of(given, "rate", 0.5)
        return partial(self._act_out, channel, rate, only_live=True)

    async def _act_out(self, channel: Channel, rate: float, *, only_live: bool = False) -> None:
        while True:
            await trio.sleep(self._rng.expovariate(max(rate, 0.01)) / self._pace)
            if only_live and not channel.live:
                continue
            channel.viewers = max(1, channel.viewers + self._rng.randint(-3, 4))
            self._short.something(channel)
