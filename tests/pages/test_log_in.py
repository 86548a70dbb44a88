"""The log-in page."""

import pytest
from playwright.sync_api import expect

from .conftest import Enter

pytestmark = pytest.mark.browser


def test_wrong_words_are_told_and_right_ones_lead_to_the_stream(enter: Enter) -> None:
    room = enter(lambda world: setattr(world, "signed_in", False))
    expect(room.page).to_have_url(room.harness.url + "/login")
    room("username").fill("demo")
    room("password").fill("wrong")
    room.page.keyboard.press("Enter")
    expect(room("login-error")).to_contain_text("The name or the password is wrong.")
    expect(room("login-error")).to_contain_text("invalid_credentials")
    expect(room("password")).to_be_focused()
    room.page.keyboard.type("demo-demo")
    room.page.keyboard.press("Enter")
    expect(room("state")).to_have_text("Offline")


def test_afterwards_only_a_path_of_this_site_is_opened(enter: Enter) -> None:
    room = enter(path="/login?next=//evil.example/x")
    room("username").fill("demo")
    room("password").fill("demo-demo")
    room("login").click()
    expect(room("state")).to_be_visible()
    assert room.page.url == room.harness.url + "/"


def test_log_out_leads_back(enter: Enter) -> None:
    room = enter()
    room("log-out").click()
    expect(room("login")).to_be_visible()
