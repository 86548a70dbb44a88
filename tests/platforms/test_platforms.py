"""What must hold for every entry of PLATFORMS."""

import inspect

import httpx
import pytest

from streampai.platforms import PLATFORMS
from streampai.platforms.platform import (
    Account,
    Identity,
    Platform,
    PlatformContext,
    Source,
)
from streampai.runtime import utc_now
from streampai.settings import load_settings
from streampai.telemetry import Telemetry

from .fakes import FakeTokens

ME = Identity(platform_user_id="7001", login="pixel_pia", display_name="Pixel_Pia")


def make(name: str) -> Platform:
    return PLATFORMS[name](
        PlatformContext(
            settings=load_settings({}),
            http=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))),
            telemetry=Telemetry(),
            now=utc_now,
        )
    )


def promised(protocol: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(protocol).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def fulfils(thing: object, protocol: type) -> None:
    for name, signature in promised(protocol).items():
        ours = getattr(thing, name)
        wanted = [p for p in signature.parameters.values() if p.name != "self"]
        given = list(inspect.signature(ours).parameters.values())
        assert [(p.name, p.kind) for p in given] == [(p.name, p.kind) for p in wanted], name
        if inspect.iscoroutinefunction(getattr(protocol, name)):
            assert inspect.iscoroutinefunction(ours), name


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_fulfils_the_contract(name: str) -> None:
    platform = make(name)
    fulfils(platform, Platform)
    account = platform.account(user_id=1, identity=ME, tokens=FakeTokens())
    fulfils(account, Account)
    fulfils(account.source(), Source)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_is_named_as_in_the_table_and_has_sensible_limits(name: str) -> None:
    platform = make(name)
    # The name is part of topics, URLs and ids.
    assert platform.name == name
    assert name.isidentifier() and name.islower()
    assert platform.title
    assert platform.scopes
    assert platform.limits.chat_length > 0
    assert platform.limits.title_length > 0
    assert platform.limits.encoder_timeout > 0


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_without_credentials_is_not_configured(name: str) -> None:
    assert not make(name).configured()


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_log_in_page_carries_our_state_and_no_secret(name: str) -> None:
    url = make(name).authorize_url(state="state-1", redirect_uri="http://localhost/back")
    assert "state-1" in url
    assert "secret" not in url


@pytest.mark.parametrize("name", PLATFORMS)
def test_an_account_keeps_its_identity_and_gives_a_source_each_time(name: str) -> None:
    account = make(name).account(user_id=1, identity=ME, tokens=FakeTokens())
    assert account.identity == ME
    assert account.source() is not account.source()
