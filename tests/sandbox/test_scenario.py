import pytest
import trio

from streampai.sandbox import Sandbox, SandboxOptions, ScenarioError, open_sandbox

from .callers import CloudflareCaller, TwitchCaller, until


def _kinds(sandbox: Sandbox) -> list[str]:
    return [d.kind for d in sandbox.eventsub.deliveries.get("demo", ())]


async def test_the_only_connected_user_need_not_be_named(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    assert sandbox.scenarios.play("follow")["user"] == "demo"
    await twitch.log_in("ada")
    with pytest.raises(ScenarioError, match="name a user"):
        sandbox.scenarios.play("follow")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("unheard_of", {}),
        ("gift_bomb", {"count": -1}),
        ("cheer", {"bits": "many"}),
        ("subscribe", {"tier": "4000"}),
        ("delete_message", {"message_id": "no"}),
    ],
)
async def test_nonsense_is_refused(
    sandbox: Sandbox, twitch: TwitchCaller, name: str, parameters: dict[str, object]
) -> None:
    with pytest.raises(ScenarioError):
        sandbox.scenarios.play(name, parameters)


async def test_every_short_story_makes_events(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    long = {"chat", "chat_storm", "encoder_drop", "show", "life"}
    for name in sandbox.scenarios.names:
        if name in long or name == "delete_message":
            continue
        before = len(_kinds(sandbox))
        sandbox.scenarios.play(name)
        assert len(_kinds(sandbox)) > before, name


async def test_chat_is_as_much_as_was_asked(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sandbox.scenarios.play("chat", {"count": 25, "text": "message {n}"})
    await until(lambda: not sandbox.scenarios.running)
    assert _kinds(sandbox) == ["channel.chat.message"] * 25


async def test_a_storm_keeps_its_rate(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    sandbox.scenarios.play("chat_storm", {"rate": 1000, "seconds": 0.3})
    await until(lambda: not sandbox.scenarios.running)
    assert 200 <= len(_kinds(sandbox)) <= 310


async def test_a_dropped_encoder_comes_back(
    sandbox: Sandbox, cloudflare: CloudflareCaller, twitch: TwitchCaller
) -> None:
    uid = await cloudflare.new_input()
    sandbox.connect_encoder(uid, "srt")
    live = sandbox.cloudflare.inputs[uid]
    sandbox.scenarios.play("encoder_drop", {"seconds": 0.1})
    await until(lambda: live.encoder is None)
    await until(lambda: live.encoder is not None)
    assert live.encoder is not None and live.encoder.protocol == "srt"


async def test_an_encoder_that_is_not_there_cannot_drop(
    sandbox: Sandbox, twitch: TwitchCaller
) -> None:
    with pytest.raises(ScenarioError, match="no live input"):
        sandbox.scenarios.play("encoder_drop", {})


async def test_a_show_begins_and_ends_with_the_encoder(
    cloudflare: CloudflareCaller, twitch: TwitchCaller, sandbox: Sandbox
) -> None:
    uid = await cloudflare.new_input()
    channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
    await cloudflare.new_output(uid, sandbox.urls["twitch_ingest"], channel.stream_key)
    sandbox.scenarios.play("show", {"seconds": 0.3, "rate": 200})
    await until(lambda: channel.live)
    await until(lambda: not sandbox.scenarios.running)
    assert not channel.live
    kinds = _kinds(sandbox)
    assert kinds[0] == "stream.online" and kinds[-1] == "stream.offline" and len(kinds) > 10


async def test_background_life_waits_for_the_channel_and_stops_when_told(
    twitch: TwitchCaller, sandbox: Sandbox
) -> None:
    number = sandbox.scenarios.play("life", {"rate": 500})["number"]
    await trio.sleep(0.05)
    assert _kinds(sandbox) == []
    channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
    sandbox.twitch.begin_push(channel.stream_key, "here")
    await until(lambda: len(_kinds(sandbox)) > 5)
    assert sandbox.scenarios.stop(number) == 1
    await until(lambda: not sandbox.scenarios.running)


async def test_stories_at_once_are_limited(sandbox: Sandbox, twitch: TwitchCaller) -> None:
    for _ in range(50):
        sandbox.scenarios.play("life")
    with pytest.raises(ScenarioError, match="too many"):
        sandbox.scenarios.play("life")
    assert sandbox.scenarios.stop() == 50


async def test_the_same_seed_tells_the_same_story() -> None:
    stories = []
    for _ in range(2):
        async with open_sandbox(base_port=0, seed=5, options=SandboxOptions()) as sandbox:
            said: list[str] = []
            channel = sandbox.twitch.channel(sandbox.twitch.user("demo"))
            for _ in range(20):
                sandbox.scenarios.play("follow", {"user": "demo"})
            said.extend(sandbox.twitch.users[i].login for i in channel.followers)
            stories.append(said)
    assert stories[0] == stories[1]
