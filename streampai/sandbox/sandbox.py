"""Everything a sandbox knows, in one handle: what tests look at and turn, what ``control`` serves."""

import os
import random
from typing import Any

import attrs
import trio

from .activity import Activity
from .agenda import Agenda
from .books import CallBook
from .cloudflare_limit import RequestLimit
from .cloudflare_state import CloudflareState
from .eventsub import EventSub
from .faults import Hold, ServiceFaults
from .helix import limit_headers
from .long_stories import LongStories
from .options import SandboxOptions
from .scenario import Scenarios
from .short_stories import ShortStories
from .twitch_acts import TwitchActs
from .twitch_occasions import TwitchOccasions
from .twitch_state import TwitchState
from .twitch_support import TwitchSupport

LAST_BY_DEFAULT = 20_000


@attrs.frozen(kw_only=True, eq=False)
class Sandbox:
    """Everything a test may look at and turn. All of it is plain calls.

    ``urls`` names every base URL; ``faults`` has a :class:`ServiceFaults` for
    ``cloudflare``, ``helix`` and ``oauth``.
    """

    urls: dict[str, str]
    options: SandboxOptions
    agenda: Agenda
    activity: Activity
    cloudflare: CloudflareState
    limit: RequestLimit
    twitch: TwitchState
    eventsub: EventSub
    acts: TwitchActs
    support: TwitchSupport
    scenarios: Scenarios
    faults: dict[str, ServiceFaults]
    calls: dict[str, CallBook]
    shutdown: trio.Event

    def settings_environment(self) -> dict[str, str]:
        """The settings with which a daemon meets this sandbox instead of the real services."""
        return {
            "STREAMPAI_CLOUDFLARE_URL": self.urls["cloudflare"],
            "STREAMPAI_CLOUDFLARE_ACCOUNT": self.options.account,
            "STREAMPAI_CLOUDFLARE_TOKEN": self.options.api_token,
            "STREAMPAI_TWITCH_CLIENT_ID": self.options.client_id,
            "STREAMPAI_TWITCH_CLIENT_SECRET": self.options.client_secret,
            "STREAMPAI_TWITCH_API_URL": self.urls["twitch_api"],
            "STREAMPAI_TWITCH_AUTH_URL": self.urls["twitch_auth"],
            "STREAMPAI_TWITCH_EVENTSUB_URL": self.urls["twitch_eventsub"],
            "STREAMPAI_TWITCH_INGEST_URL": self.urls["twitch_ingest"],
            "CLOUDFLARE_INPUT_POLL_INTERVAL": "1000",
        }

    def connect_encoder(self, who: str, protocol: str = "rtmp") -> bool:
        """``who``: input uid, streamer's name or user id. False when there is no such input
        or it refuses publishers."""
        live = self.cloudflare.find(who)
        return live is not None and self.cloudflare.connect_encoder(live, protocol)

    def disconnect_encoder(self, who: str) -> bool:
        live = self.cloudflare.find(who)
        if live is None:
            return False
        self.cloudflare.disconnect_encoder(live)
        return True

    def heal(self) -> None:
        """No more faults of any kind, and every knob where it was at the start."""
        for faults in self.faults.values():
            faults.clear()
        self.limit.lift()
        self.eventsub.heal()
        self.cloudflare.heal()
        self.twitch.heal()

    def hold(self, name: str) -> Hold | None:
        """The hold of this name, of whichever service."""
        return next((f.holds[name] for f in self.faults.values() if name in f.holds), None)

    def state(self, last: int = LAST_BY_DEFAULT) -> dict[str, Any]:
        """The books; of long lists the ``last`` entries."""
        return {
            "pid": os.getpid(),
            "urls": self.urls,
            "cloudflare": {
                **self.cloudflare.state(),
                "knobs": attrs.asdict(self.cloudflare.knobs),
                "requests": self.calls["cloudflare"].state(last),
                "blocked": self.limit.blocked,
            },
            "twitch": {
                **self.twitch.state(),
                **self.eventsub.state(last),
                "sent_chat": list(self.twitch.sent_chat)[-last:],
                "knobs": attrs.asdict(self.twitch.knobs),
                "requests": self.calls["twitch"].state(last),
            },
            "faults": {
                **{name: faults.state() for name, faults in self.faults.items()},
                "eventsub": attrs.asdict(self.eventsub.knobs),
            },
            "stories": [
                {"number": s.number, "name": s.name, "user": s.user}
                for s in self.scenarios.running.values()
            ],
        }


def build_sandbox(options: SandboxOptions, seed: int | None) -> Sandbox:
    """A sandbox that nobody can reach yet: no ports, no users. ``seed`` None: another one each time."""
    base = random.SystemRandom().getrandbits(64) if seed is None else seed

    def rng(name: str) -> random.Random:
        """Each part draws from its own numbers, so that one's use does not shift another's."""
        return random.Random(f"{base}/{name}")

    agenda = Agenda()
    cloudflare = CloudflareState(agenda, options, rng("cloudflare"))
    twitch = TwitchState(agenda, options, rng("twitch"))
    eventsub = EventSub(agenda, twitch, options, rng("eventsub"))
    acts = TwitchActs(twitch, eventsub.dispatcher)
    support = TwitchSupport(twitch, acts)
    occasions = TwitchOccasions(eventsub.dispatcher, rng("occasions"))
    numbers = rng("scenarios")
    short = ShortStories(twitch, acts, support, occasions, numbers)
    long = LongStories(cloudflare, acts, short, numbers, pace=options.story_pace)
    return Sandbox(
        urls={},
        options=options,
        agenda=agenda,
        activity=Activity(),
        cloudflare=cloudflare,
        limit=RequestLimit(agenda, quota=options.request_quota, window=options.request_window),
        twitch=twitch,
        eventsub=eventsub,
        acts=acts,
        support=support,
        scenarios=Scenarios(twitch, short, long),
        faults={
            "cloudflare": ServiceFaults(rng("faults/cloudflare")),
            "helix": ServiceFaults(rng("faults/helix"), limit_headers=limit_headers),
            "oauth": ServiceFaults(rng("faults/oauth")),
        },
        calls={
            name: CallBook(agenda, window=options.request_window)
            for name in ("control", "cloudflare", "twitch")
        },
        shutdown=trio.Event(),
    )
