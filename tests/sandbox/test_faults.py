import random

import httpx
import pytest
import trio

from streampai.sandbox import Sandbox
from streampai.sandbox.faults import Chances, ServiceFaults

from .callers import CloudflareCaller, until


async def test_only_the_named_call_fails(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    sandbox.faults["cloudflare"].on_call("status", method="GET", path="*/live_inputs", nth=2)
    await cloudflare.new_input()
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200
    failed = await cloudflare.call("GET", "/live_inputs")
    assert failed.status_code == 500 and not failed.json()["success"]
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200


async def test_a_fault_may_last_for_several_calls_or_for_ever(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    faults = sandbox.faults["cloudflare"]
    faults.on_call("status", times=2, status=503)
    seen = [(await cloudflare.call("GET", "/live_inputs")).status_code for _ in range(3)]
    assert seen == [503, 503, 200]
    faults.on_call("status", times=0, status=502)
    seen = [(await cloudflare.call("GET", "/live_inputs")).status_code for _ in range(3)]
    assert seen == [502, 502, 502]
    faults.clear()
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_cut_connection_gives_no_answer_with_or_without_effect(
    sandbox: Sandbox, cloudflare: CloudflareCaller, after_effect: bool
) -> None:
    sandbox.faults["cloudflare"].on_call("cut", method="POST", after_effect=after_effect)
    with pytest.raises(httpx.RemoteProtocolError):
        await cloudflare.new_input()
    assert len(sandbox.cloudflare.inputs) == after_effect
    call = sandbox.calls["cloudflare"].calls()[0]
    assert call.status == 0
    assert call.fault == ("cut after effect" if after_effect else "cut")


async def test_an_error_may_hide_an_effect(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    sandbox.faults["cloudflare"].on_call("status", after_effect=True, status=502)
    assert (await cloudflare.call("POST", "/live_inputs", json={})).status_code == 502
    assert len(sandbox.cloudflare.inputs) == 1


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_held_call_waits_at_its_point_until_released(
    sandbox: Sandbox, cloudflare: CloudflareCaller, after_effect: bool
) -> None:
    faults = sandbox.faults["cloudflare"]
    faults.on_call("hold", method="POST", after_effect=after_effect, name="here")
    hold = faults.holds["here"]
    answers: list[httpx.Response] = []
    async with trio.open_nursery() as nursery:

        async def create() -> None:
            answers.append(await cloudflare.call("POST", "/live_inputs", json={}))

        nursery.start_soon(create)
        with trio.fail_after(5):
            await hold.reached.wait()
        assert len(sandbox.cloudflare.inputs) == after_effect
        assert not answers
        hold.release()
    assert answers[0].status_code == 200
    assert len(sandbox.cloudflare.inputs) == 1


async def test_a_client_that_dies_while_held_before_the_effect_leaves_none(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    faults = sandbox.faults["cloudflare"]
    faults.on_call("hold", method="POST", name="here")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cloudflare.new_input)
            await faults.holds["here"].reached.wait()
            scope.cancel()
    # The control port is busy with nobody: the sandbox has noticed the leaver.
    await until(lambda: sandbox.activity.open == 0)
    faults.holds["here"].release()
    await cloudflare.result("GET", "/live_inputs")
    assert not sandbox.cloudflare.inputs


async def test_a_hold_ends_by_itself(sandbox: Sandbox, cloudflare: CloudflareCaller) -> None:
    sandbox.faults["cloudflare"].on_call("hold", seconds=0.05)
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200


async def test_bodies_may_be_html_or_empty_or_a_failure_with_200(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    faults = sandbox.faults["cloudflare"]
    faults.on_call("html", status=502)
    faults.on_call("empty", nth=2, status=200)
    faults.on_call("failure", nth=3)
    html = await cloudflare.call("GET", "/live_inputs")
    assert html.status_code == 502 and html.headers["content-type"] == "text/html"
    assert (await cloudflare.call("GET", "/live_inputs")).content == b""
    failure = await cloudflare.call("GET", "/live_inputs")
    assert failure.status_code == 200 and failure.json()["success"] is False


async def test_a_stalled_call_ends_without_an_answer(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    sandbox.faults["cloudflare"].on_call("stall", seconds=0.1)
    with pytest.raises(httpx.RemoteProtocolError):
        await cloudflare.call("GET", "/live_inputs")


async def test_a_slow_call_is_answered_in_the_end(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    sandbox.faults["cloudflare"].on_call("slow", seconds=0.2)
    began = trio.current_time()
    assert (await cloudflare.call("GET", "/live_inputs")).status_code == 200
    assert trio.current_time() - began >= 0.2


async def test_headers_can_be_added_to_an_error(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    headers = (("Retry-After", "9"),)
    sandbox.faults["cloudflare"].on_call("status", status=429, headers=headers)
    assert (await cloudflare.call("GET", "/live_inputs")).headers["retry-after"] == "9"


@pytest.mark.parametrize(
    ("chance", "action", "after_effect"),
    [
        ("cut", "cut", False),
        ("cut_after_effect", "cut", True),
        ("error", "status", False),
        ("error_after_effect", "status", True),
        ("html", "html", False),
        ("failure", "failure", False),
        ("unauthorized", "status", False),
        ("rate_limited", "status", False),
        ("stall", "stall", False),
        ("slow", "slow", False),
    ],
)
def test_chances_strike_as_often_as_they_say(chance: str, action: str, after_effect: bool) -> None:
    faults = ServiceFaults(random.Random(3))
    faults.chances = Chances(**{chance: 0.25})
    struck = [faults.decide("GET", "/") for _ in range(1000)]
    hits = [fault for fault in struck if fault is not None]
    assert 200 < len(hits) < 300
    assert {(f.action, f.after_effect) for f in hits} == {(action, after_effect)}


def test_the_same_seed_strikes_the_same_calls() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = ServiceFaults(random.Random(seed))
        faults.chances = Chances(error=0.5)
        return [faults.decide("GET", "/") is not None for _ in range(50)]

    assert strikes(1) == strikes(1) != strikes(2)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="action must be one of"):
        ServiceFaults(random.Random()).on_call("explode")
