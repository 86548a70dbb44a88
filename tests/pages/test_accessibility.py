"""axe-core finds nothing, in light and in dark; the page is usable at each width."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from . import shots
from .conftest import Enter, Room
from .world import World

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
RUN = """async () => (await axe.run()).violations.map(({id, nodes}) =>
  `${id}: ${nodes.map(({target, failureSummary}) => `${target} ${failureSummary}`).join(' | ')}`)"""


@functools.cache
def axe() -> str:
    return AXE.read_text()


def violations(room: Room) -> list[str]:
    """What axe says in light and in dark; colours in transition are not judged."""
    room.page.evaluate(axe())
    found: list[str] = []
    for scheme in ("light", "dark"):
        room.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found += [f"{scheme}: {each}" for each in room.page.evaluate(RUN)]
    return found


def unconnected(world: World) -> None:
    """No encoder, and nothing that could be sent to as it is."""
    shots.blocked(world)
    world.encoder(False)


def worst(world: World) -> None:
    """Live with the encoder gone, a failed output, a waiting chat and an interruption."""
    shots.broken(world)
    world.lose_encoder(ago=64)


@pytest.mark.parametrize("prepare", [unconnected, worst, shots.ended])
def test_axe_finds_no_violation_in_light_and_dark(
    enter: Enter, prepare: Callable[[World], None]
) -> None:
    assert violations(enter(prepare)) == []


def test_axe_finds_no_violation_on_the_log_in_page(enter: Enter) -> None:
    room = enter(path="/login")
    room("login").click()
    expect(room("login-error")).to_contain_text("Type your name")
    assert violations(room) == []


@pytest.mark.parametrize("prepare", [unconnected, worst])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    enter: Enter, prepare: Callable[[World], None]
) -> None:
    room = enter(prepare, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for pane in ("show", "numbers", "feed"):
        if room(f"pane-{pane}").is_visible():
            room(f"pane-{pane}").click()
        assert room.page.evaluate("document.documentElement.scrollWidth") == 390
        # Stopping is where the stream is, and nowhere twice.
        assert room("stop").is_visible() == (pane == "show" and prepare is worst)


def test_a_screen_reader_hears_changes_of_state_and_not_the_chat(enter: Enter) -> None:
    room = enter(lambda world: world.encoder(True))
    said = room.page.locator("[role=status].sr-only")
    expect(said).to_be_empty()
    room.do(lambda world: world.go_live())
    expect(said).to_have_text("You are live.")
    room.do(lambda world: world.say("a", "hello"))
    expect(room("feed").get_by_text("hello")).to_be_visible()
    expect(said).to_have_text("You are live.")
    live = room.page.locator(
        ".feed-body [aria-live], .feed-body [role=log], .feed-body [role=status]"
    )
    expect(live).to_have_count(0)


def test_no_animation_is_asked_of_those_who_want_none(enter: Enter) -> None:
    room = enter(reduced_motion="reduce")
    quick = "getComputedStyle(document.querySelector('.switch')).transitionDuration"
    assert room.page.evaluate(quick) == "0s"
