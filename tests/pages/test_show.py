"""From an absent encoder to the summary: what the streamer does and sees."""

import pytest
from playwright.sync_api import expect

from .conftest import Enter
from .world import World

pytestmark = pytest.mark.browser


def ready(world: World) -> None:
    world.encoder(True)


def live(world: World) -> None:
    world.encoder(True)
    world.go_live(ago=65)


def test_the_page_says_why_start_is_not_possible_and_what_to_do(enter: Enter) -> None:
    room = enter(lambda world: world.change_destination("kick", enabled=True))
    expect(room("state")).to_have_text("Offline")
    expect(room("input-state")).to_have_attribute("data-state", "disconnected")
    expect(room.page.get_by_text("The encoder is not in.")).to_be_visible()
    expect(room("check-encoder")).to_have_attribute("data-state", "missing")
    expect(room("check-accounts")).to_contain_text("Connect Kick")
    expect(room("start")).to_be_disabled()
    expect(room("connect-kick")).to_have_attribute("href", "/connections/kick/login")
    room.do(ready)
    expect(room("state")).to_have_text("Ready")
    expect(room("check-encoder")).to_have_attribute("data-state", "ok")
    expect(room("start")).to_be_disabled()
    room("toggle-kick").click()
    expect(room("toggle-kick")).to_have_attribute("aria-checked", "false")
    expect(room("start")).to_be_enabled()
    method, body = room.commands()[-1]
    assert (method, body["platform"], body["enabled"]) == ("set_destination", "kick", False)


def test_a_show_is_started_and_stopped_by_keyboard_alone(enter: Enter) -> None:
    room = enter(ready)
    room("start").focus()
    room.page.keyboard.press("Enter")
    expect(room("start")).to_contain_text("Starting")
    expect(room("state")).to_have_text("Live")
    expect(room("lamp-twitch-video")).to_have_attribute("data-state", "ok")
    room("stop").focus()
    room.page.keyboard.down("Enter")
    expect(room("stop")).to_contain_text("Keep holding")
    room.page.wait_for_timeout(1_400)  # the hold itself is what is tested
    room.page.keyboard.up("Enter")
    expect(room("state")).to_have_text("Ready")
    expect(room("summary")).to_be_visible()
    assert [method for method, _ in room.commands()] == ["start_stream", "stop_stream"]


def test_a_short_press_asks_first_and_escape_means_no(enter: Enter) -> None:
    room = enter(live)
    room("stop").focus()
    room.page.keyboard.press("Space")
    expect(room("stop-dialog")).to_be_visible()
    room.page.keyboard.press("Escape")
    expect(room("stop-dialog")).not_to_be_visible()
    assert room.commands() == []
    room("stop").click()
    room("stop-dialog-yes").click()
    expect(room("state")).to_have_text("Ready")
    assert [method for method, _ in room.commands()] == ["stop_stream"]


def test_when_all_destinations_fail_the_reasons_stand_at_the_button(enter: Enter) -> None:
    def refusing(world: World) -> None:
        world.encoder(True)
        world.failing.update(twitch="Key refused.", youtube="Not enabled.")

    room = enter(refusing)
    room("start").click()
    expect(room("start-error")).to_contain_text("all_platforms_failed")
    expect(room("start-error")).to_contain_text("Not enabled.")
    expect(room("start")).to_be_enabled()


def test_a_broken_destination_says_why_and_can_be_retried(enter: Enter) -> None:
    def half(world: World) -> None:
        world.failing["youtube"] = "Not enabled on this channel."
        live(world)

    room = enter(half)
    expect(room("problem-youtube")).to_contain_text("Not enabled on this channel.")
    expect(room("problem-youtube")).to_contain_text("platform_refused")
    room("retry-youtube").click()
    expect(room("problem-youtube")).not_to_be_visible()
    expect(room("lamp-youtube-video")).to_have_attribute("data-state", "ok")


def test_dropping_a_destination_that_is_on_air_is_confirmed(enter: Enter) -> None:
    room = enter(live)
    room("toggle-youtube").click()
    expect(room("drop-youtube")).to_be_visible()
    assert room.commands() == []
    room("drop-youtube-yes").click()
    expect(room("toggle-youtube")).to_have_attribute("aria-checked", "false")


def test_the_disconnect_clock_shows_our_limit_and_each_platforms_own(enter: Enter) -> None:
    # The browser's clock is an hour behind the server's: the clock must not care.
    world = World(skew=3_600)
    room = enter(live, world=world)
    room.do(lambda world: world.lose_encoder(ago=70))
    left = room("clock-left").inner_text().split(":")
    assert 220 <= int(left[0]) * 60 + int(left[1]) <= 231
    expect(room("clock-twitch")).to_contain_text("about 90 s")
    expect(room("clock-youtube")).to_contain_text("has probably ended")
    expect(room("lamp-twitch-video")).to_have_attribute("data-state", "busy")
    room.do(lambda world: (world.encoder(True), world.change(grace_ends_at=None)))
    expect(room("clock")).not_to_be_visible()


def test_the_stream_key_is_shown_only_on_demand(enter: Enter) -> None:
    room = enter()
    expect(room("stream-key")).not_to_contain_text("canary")
    assert "canary" not in room.page.content()
    room("show-key").click()
    expect(room("stream-key")).to_have_text("8f3d-live-canary-key")
    room("show-key").click()
    expect(room("stream-key")).not_to_contain_text("canary")
    room("rotate-key").click()
    room("rotate-dialog-yes").click()
    expect(room("rotate-key")).to_contain_text("New key")
    assert [method for method, _ in room.commands()] == ["rotate_key"]


def test_an_unknown_input_is_never_shown_as_offline(enter: Enter) -> None:
    room = enter(live)
    room.do(
        lambda world: world.change(input={"state": "unknown", "reason": "It answers with errors."})
    )
    expect(room("input-state")).to_have_text("Unknown")
    expect(room.page.get_by_text("next check in")).to_be_visible()
    expect(room("state")).to_have_text("Live")
    expect(room("clock")).not_to_be_visible()


def test_a_draft_survives_the_start_of_the_show(enter: Enter) -> None:
    room = enter(ready)
    room("title").fill("Half a thought")
    room("start").click()
    expect(room("state")).to_have_text("Live")
    expect(room("title")).to_have_value("Half a thought")
    assert room.page.evaluate("document.activeElement.id") == "room"


def test_the_way_back_from_a_platforms_log_in_is_told_once(enter: Enter) -> None:
    room = enter(path="/?connection_error=platform_refused")
    expect(room("toast")).to_contain_text("platform_refused")
    assert room.page.url == room.harness.url + "/"


def test_title_and_category_are_changed_with_a_receipt_and_limits(enter: Enter) -> None:
    room = enter(ready)
    room("title").fill("x" * 101)
    expect(room.page.get_by_text("Too long for YouTube")).to_be_visible()
    expect(room("save-metadata")).to_be_disabled()
    room("title").fill("Throwing bowls")
    room("save-metadata").click()
    expect(room("metadata-status")).to_contain_text("Changed on Twitch and YouTube.")
    assert room.commands()[-1][1]["title"] == "Throwing bowls"


def test_enter_sends_a_message_to_the_chosen_chats_and_it_is_shown_once(enter: Enter) -> None:
    room = enter(live)
    room("target-youtube").click()
    room("composer").fill("y" * 501)
    expect(room("composer-status")).to_contain_text("too long for Twitch")
    room("composer").fill("hello all")
    room("composer").press("Enter")
    expect(room("composer-status")).to_contain_text("Delivered to Twitch")
    expect(room("composer")).to_have_value("")
    expect(room("feed").get_by_text("hello all")).to_have_count(1)
    method, body = room.commands()[-1]
    assert (method, body["platforms"], body["text"]) == ("send_chat", ["twitch"], "hello all")
    room("target-youtube").click()
    room("composer").fill("to both")
    room("composer").press("Enter")
    expect(room("composer-status")).to_contain_text("Delivered to Twitch and YouTube")
    room.do(lambda world: world.say("a", "after it"))
    expect(room("feed").get_by_text("after it")).to_be_visible()
    expect(room("feed").get_by_text("to both")).to_have_count(1)
    expect(room("feed").get_by_title("Delivered to Twitch and YouTube")).to_have_count(1)


def test_simulated_platforms_and_interruptions_are_said_plainly(enter: Enter) -> None:
    def simulated(world: World) -> None:
        world.sandbox_url = "http://127.0.0.1:8090/"
        world.change(simulated=True, interrupted="The chat of Twitch is being restarted.")

    room = enter(simulated)
    expect(room("banner-simulated")).to_contain_text("Simulated platforms")
    expect(room("banner-simulated").get_by_role("link")).to_have_attribute(
        "href", "http://127.0.0.1:8090/"
    )
    expect(room("banner-interrupted")).to_contain_text("is being restarted")
    room.do(lambda world: world.change(interrupted=""))
    expect(room("banner-interrupted")).not_to_be_visible()
