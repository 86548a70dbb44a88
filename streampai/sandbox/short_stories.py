"""Stories that have happened when they are told: one act each."""

import random
from collections.abc import Callable, Mapping

from .story_parameters import Parameters, ScenarioError, count_of, tier_of
from .twitch_acts import TwitchActs
from .twitch_models import Channel, User
from .twitch_occasions import TwitchOccasions
from .twitch_state import TwitchState
from .twitch_support import TwitchSupport

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

ShortStory = Callable[[Channel, Parameters], object]


class ShortStories:
    """``table`` has every one by name; each raises ScenarioError for nonsense."""

    def __init__(
        self,
        twitch: TwitchState,
        acts: TwitchActs,
        support: TwitchSupport,
        occasions: TwitchOccasions,
        rng: random.Random,
    ) -> None:
        self._twitch = twitch
        self._acts = acts
        self._support = support
        self._occasions = occasions
        self._rng = rng
        self.table: Mapping[str, ShortStory] = {
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

    def somebody(self, given: Parameters) -> User:
        return self._twitch.user(str(given.get("from") or self._rng.choice(NAMES)))

    def line(self, channel: Channel) -> str:
        return self._rng.choice(LINES).format(streamer=channel.owner.login)

    def _follow(self, channel: Channel, given: Parameters) -> None:
        for index in range(count_of(given, "count", 1, 10_000)):
            follower = self.somebody(given)
            if "from" not in given:
                follower = self._twitch.user(f"{follower.login}_{len(channel.followers) + index}")
            self._support.follow(channel, follower)

    def _subscribe(self, channel: Channel, given: Parameters) -> None:
        self._support.subscribe(channel, self.somebody(given), tier_of(given))

    def _resubscribe(self, channel: Channel, given: Parameters) -> None:
        months, text = count_of(given, "months", 3, 1_000), str(given.get("text", ""))
        self._support.resubscribe(channel, self.somebody(given), months, tier_of(given), text)

    def _gift_bomb(self, channel: Channel, given: Parameters) -> str:
        gifter = None if given.get("anonymous") else self.somebody(given)
        count = count_of(given, "count", 5, 1_000)
        start = len(channel.subscribers)
        recipients = [self._twitch.user(f"lucky_{start + i}") for i in range(count)]
        return self._support.gift_bomb(channel, gifter, recipients, tier_of(given))

    def _cheer(self, channel: Channel, given: Parameters) -> None:
        bits, text = count_of(given, "bits", 100, 1_000_000), str(given.get("text", "well played"))
        self._support.cheer(channel, self.somebody(given), bits, text)

    def _raid(self, channel: Channel, given: Parameters) -> None:
        viewers = count_of(given, "viewers", 120, 1_000_000)
        self._support.raid(channel, self.somebody(given), viewers)

    def _redeem(self, channel: Channel, given: Parameters) -> str:
        title, text = str(given.get("title", "Hydrate")), str(given.get("text", ""))
        cost = count_of(given, "cost", 100, 1_000_000)
        return self._support.redeem(channel, self.somebody(given), title, cost, text)

    def _announce(self, channel: Channel, given: Parameters) -> None:
        text = str(given.get("text", "Back in five minutes"))
        self._acts.announce(channel, channel.owner, text)

    def _unsubscribe(self, channel: Channel, given: Parameters) -> None:
        self._support.end_subscription(channel, self.somebody(given))

    def _notice(self, channel: Channel, given: Parameters) -> None:
        """Any kind of chat notice, also ones that Twitch has yet to think of."""
        kind, detail = str(given.get("notice_type", "watch_streak")), given.get("detail", {})
        if not isinstance(detail, dict):
            raise ScenarioError("detail must be an object")
        text = str(given.get("text", ""))
        self._acts.notice(channel, self.somebody(given), kind, detail, text)

    def _update(self, channel: Channel, given: Parameters) -> None:
        title, category = given.get("title"), given.get("category_id")
        self._acts.update_channel(channel, title=title, category_id=category)

    def _ban(self, channel: Channel, given: Parameters) -> None:
        self._acts.ban(channel, self.somebody(given), count_of(given, "seconds", 0, 1_209_600))

    def _delete_message(self, channel: Channel, given: Parameters) -> None:
        message_id = str(given.get("message_id", ""))
        author = self._acts.author_of(channel, message_id)
        if author is None:
            raise ScenarioError("no such message")
        self._acts.delete_message(channel, author, message_id)

    def _hype_train(self, channel: Channel, given: Parameters) -> str:
        total = count_of(given, "total", 900, 1_000_000)
        return self._occasions.hype_train(channel, self.somebody(given), total)

    def _poll(self, channel: Channel, given: Parameters) -> str:
        title = str(given.get("title", "What next?"))
        return self._occasions.poll(channel, title, ["Another round", "Something else"])

    def _prediction(self, channel: Channel, given: Parameters) -> str:
        title = str(given.get("title", "Will it work?"))
        return self._occasions.prediction(channel, title, ["Yes", "No"])

    def something(self, channel: Channel) -> None:
        chosen = self._rng.random()
        if chosen < 0.86:
            self._acts.say(channel, self.somebody({}), self.line(channel))
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
