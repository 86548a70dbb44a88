"""Screenshots of every state, for looking at: ``python -m tests.pages.shots FOLDER [NAME ...]``."""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import sync_playwright

from .browser import open_browser
from .harness import open_harness
from .world import World, numbers

SIZES = {"desktop": (1440, 900), "phone": (390, 844), "tablet": (900, 1100)}
EMOTE = "https://static-cdn.jtvnw.net/emoticons/v2/25/default/dark/1.0"
VIEWERS = ["mossfern", "Kestrel_9", "annalise", "tobi", "glazequeen", "Ilse", "rakuraccoon", "pim_v", "driftwood", "Søren"]  # fmt: skip
COLOURS = ["#FF4500", "#1E90FF", "#9ACD32", "#FF69B4", "#00FF7F", "#8A2BE2", "#DAA520", "", "#5F9EA0", "#B22222"]  # fmt: skip
LINES = [
    "that rim is so clean",
    "how many cones is this one fired to?",
    "first time here, hi everyone!",
    "the blue over the iron one please",
    "my cat is watching the wheel like it owes her money",
    "do you sieve your own ash or buy it in? asking because mine keeps clumping in the bucket after two days and I have tried everything short of a blender",
    "LET'S GOOO",
    "just got home, what did I miss",
    "شكراً على البث الجميل",
    "it survived the kiln??",
]


def empty(world: World) -> None:
    """As it stands at first: no encoder."""


def ready(world: World) -> None:
    world.encoder(True)
    world.shows.append(
        {
            "id": "s0",
            "phase": "finished",
            "platforms": ["twitch"],
            "started_at": world.time(-100_000),
            "ended_at": world.time(-90_700),
            "reason": "stopped",
            "summary": {"statistics": {"total": numbers(messages=4_213, chatters=318, follows=41, subscriptions=12, gifted=25, raids=2, raiders=84, support={"USD": 12_450}, units={"bits": 3_200}, viewers_peak=412, viewers_average=287.4)}},
        }
    )  # fmt: skip


def blocked(world: World) -> None:
    world.encoder(True)
    world.change_destination("kick", enabled=True)
    world.change_destination("youtube", relogin=True)
    world.change(metadata={"title": "", "category": ""})


def live(world: World) -> None:
    chance = random.Random(4)
    world.encoder(True)
    world.change(simulated=True)
    world.sandbox_url = "http://127.0.0.1:8090/"
    world.go_live(ago=4_512)
    world.happen("platform_stream_started", "twitch", ago=4_500)
    for i in range(50):
        at = 400 - i * 8
        who = chance.randrange(len(VIEWERS))
        platform = chance.choice(["twitch", "twitch", "youtube"])
        author = {"colour": COLOURS[who], "roles": ["moderator"] if who == 2 else ["vip"] if who == 4 else []}  # fmt: skip
        if i == 12:
            world.happen("follow_received", "twitch", author={"id": "f", "name": "wildclay"}, ago=at)  # fmt: skip
        if i == 20:
            world.happen("subscription_received", "twitch", kind="gift", author={"id": "g", "name": "Kestrel_9"}, count=5, gift_id="g1", tier="1000", ago=at)  # fmt: skip
            for name in ("mossfern", "tobi", "Ilse", "pim_v", "driftwood"):
                world.happen("subscription_received", "twitch", kind="gift_received", gift_id="g1", author={"id": "g", "name": "Kestrel_9"}, recipient={"id": name, "name": name}, ago=at)  # fmt: skip
        if i == 30:
            world.happen("monitor_status_changed", "youtube", status="waiting", reason="The connection was closed.", ago=at)  # fmt: skip
            world.happen("monitor_status_changed", "youtube", status="connected", missed_from=world.time(-at), missed_until=world.time(-at + 41), ago=at - 4)  # fmt: skip
        if i == 38:
            world.happen("support_received", "twitch", author={"id": "s", "name": "glazequeen"}, unit="bits", amount=500, money={"minor_units": 500, "currency": "USD"}, text="for the next bag of porcelain", ago=at)  # fmt: skip
        if i == 42:
            world.happen("raid_received", "twitch", author={"id": "r", "name": "TheSlowWheel"}, viewers=63, ago=at)  # fmt: skip
        if i == 45:
            world.happen("subscription_received", "twitch", kind="renewal", author={"id": "q", "name": "rakuraccoon"}, months=14, tier="1000", text="fourteen months of mud", ago=at)  # fmt: skip
        reply = {"message_id": "x", "author_name": "annalise", "text": "how many cones is this one fired to?"} if i == 33 else None  # fmt: skip
        extra = {"reply_to": reply} if reply else {}
        message = world.say(VIEWERS[who], chance.choice(LINES), platform, author=author, ago=at, **extra)  # fmt: skip
        if i == 40:
            world.happen("chat_message_deleted", platform, message_id=message["message_id"], ago=at)
    world.say("northern_kiln", "cone 6, electric, with a long soak at the end", author={"roles": ["broadcaster"], "colour": "#20B2AA"})  # fmt: skip
    world.count(
        viewers_now=312, viewers_at=world.time(-7), viewers_peak=331, viewers_average=248.6,
        messages=2_841, chatters=214, follows=18, subscriptions=9, gifted=5, raids=1, raiders=63, redemptions=27,
        support={"USD": 4_999}, units={"bits": 1_700}, messages_per_minute=38,
        platforms={"twitch": numbers(viewers_now=231, messages=2_310), "youtube": numbers(viewers_now=84, messages=531)},
    )  # fmt: skip


def curve() -> str:
    """A script that leaves an hour of viewer counts in the tab's memory, as an earlier look would have."""
    chance = random.Random(9)
    now = time.time() * 1000
    points = [[now - (60 - i) * 74_000, round(180 + i * 2.2 + chance.random() * 30 - (40 if 30 < i < 36 else 0))] for i in range(60)]  # fmt: skip
    kept = json.dumps({"session": "show-1", "points": points})
    return f"sessionStorage.setItem('viewers', {json.dumps(kept)})"


def live_quiet(world: World) -> None:
    world.encoder(True)
    world.go_live(ago=12)


def clock(world: World) -> None:
    live(world)
    world.change(simulated=False)
    world.lose_encoder(ago=64)


def broken(world: World) -> None:
    world.failing["youtube"] = "Live streaming is not enabled on this channel yet; it takes 24 hours after asking."  # fmt: skip
    live(world)
    world.change(simulated=False, interrupted="A part of your stream crashed and is back since 2 s; nothing was lost.")  # fmt: skip
    world.change_destination("twitch", monitor="waiting", monitor_reason="The chat connection was refused.", retry_at=world.time(21), breaker="open")  # fmt: skip


def ended(world: World) -> None:
    live(world)
    world.change(simulated=False)
    world.end()


SCENES: dict[str, Callable[[World], None]] = {
    "empty": empty, "ready": ready, "blocked": blocked, "live": live, "live_quiet": live_quiet, "clock": clock, "broken": broken, "ended": ended,
}  # fmt: skip


def shoot(folder: Path, chosen: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, open_browser(playwright) as browser:
        for name, prepare in SCENES.items():
            if chosen and name not in chosen:
                continue
            with open_harness() as harness:
                harness.do(prepare)
                for size, (width, height) in SIZES.items():
                    for scheme in ("light", "dark"):
                        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # fmt: skip
                        page = context.new_page()
                        page.on(
                            "console",
                            lambda message, name=name: print(name, message.type, message.text),
                        )
                        page.on("pageerror", lambda error, name=name: print(name, "error", error))
                        if name != "live_quiet":
                            page.add_init_script(curve())
                        page.goto(harness.url)
                        page.wait_for_selector("[data-testid=link][data-state=connected]")
                        page.wait_for_timeout(400)
                        page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=size == "phone")  # fmt: skip
                        if name == "empty":
                            page.goto(harness.url + "/login")
                            page.wait_for_selector("[data-testid=login]")
                            page.screenshot(path=folder / f"login-{size}-{scheme}.png")
                        context.close()


if __name__ == "__main__":
    shoot(Path(sys.argv[1]), sys.argv[2:])
