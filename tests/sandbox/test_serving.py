import socket
from typing import Any

import httpx
import pytest
import trio

from streampai.sandbox import Sandbox, open_sandbox, run_sandbox
from streampai.sandbox.agenda import Agenda
from streampai.settings import load_settings

from .callers import CloudflareCaller, open_socket


async def test_three_ports_lie_side_by_side() -> None:
    base = 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        base = probe.getsockname()[1]
    async with open_sandbox(base_port=base) as sandbox:
        assert sandbox.urls["control"] == f"http://127.0.0.1:{base}"
        assert sandbox.urls["cloudflare"] == f"http://127.0.0.1:{base + 1}/client/v4"
        assert sandbox.urls["twitch_api"] == f"http://127.0.0.1:{base + 2}/helix"
        assert sandbox.urls["twitch_ingest"] == f"rtmp://127.0.0.1:{base + 2}/app"


async def test_a_taken_port_is_an_os_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            async with open_sandbox(base_port=taken.getsockname()[1]):
                pass


async def test_the_ports_are_free_again_afterwards() -> None:
    ports = []
    async with (
        open_sandbox(base_port=0) as sandbox,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
        open_socket(sandbox),
    ):
        await http.get(sandbox.urls["control"])
        ports = [httpx.URL(sandbox.urls[n]).port for n in ("control", "cloudflare", "twitch")]
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port or 0))


async def test_leaving_does_not_wait_for_clients() -> None:
    with trio.fail_after(5):
        async with open_sandbox(base_port=0) as sandbox:
            port = httpx.URL(sandbox.urls["control"]).port or 0
            idle = await trio.open_tcp_stream("127.0.0.1", port)
            await idle.send_all(b"GET /state HTTP/1.1\r\nHost: x\r\n\r\n")
            await idle.receive_some(100)
            began = trio.current_time()
        assert trio.current_time() - began < 2
        await trio.aclose_forcefully(idle)


async def test_a_daemons_settings_are_complete(sandbox: Sandbox) -> None:
    settings = load_settings(sandbox.settings_environment())
    assert settings.cloudflare.url == sandbox.urls["cloudflare"]
    assert settings.twitch.eventsub_url == sandbox.urls["twitch_eventsub"]
    assert settings.twitch.client_secret.reveal() == sandbox.options.client_secret
    assert settings.cloudflare.input_poll_interval == 1.0


async def test_shutdown_ends_it() -> None:
    async with (
        trio.open_nursery() as nursery,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        sandbox: Sandbox = await nursery.start(_run)
        with trio.fail_after(5):
            answer = await http.post(f"{sandbox.urls['control']}/shutdown")
            assert answer.status_code == 200


async def test_it_ends_when_nobody_asks_any_more() -> None:
    async with (
        httpx.AsyncClient(verify=False, trust_env=False) as http,
        trio.open_nursery() as nursery,
    ):
        sandbox: Sandbox = await nursery.start(_run, 0.3)
        began = trio.current_time()
        for _ in range(4):
            await http.get(sandbox.urls["control"])
            await trio.sleep(0.15)
        # An open socket counts as being asked.
        async with open_socket(sandbox):
            await trio.sleep(0.5)
        assert trio.current_time() - began > 1
        with trio.fail_after(3):
            while nursery.child_tasks:  # noqa: ASYNC110
                await trio.sleep(0.01)


async def _run(idle: float | None = None, *, task_status: Any) -> None:
    await run_sandbox(base_port=0, exit_when_idle=idle, task_status=task_status)


async def test_two_sandboxes_know_nothing_of_each_other() -> None:
    async with (
        open_sandbox(base_port=0) as one,
        open_sandbox(base_port=0) as two,
        httpx.AsyncClient(verify=False, trust_env=False) as http,
    ):
        await CloudflareCaller(one, http).new_input()
        assert len(one.cloudflare.inputs) == 1 and not two.cloudflare.inputs


async def test_a_body_beyond_all_reason_is_refused(
    sandbox: Sandbox, cloudflare: CloudflareCaller
) -> None:
    answer = await cloudflare.call("POST", "/live_inputs", content=b"x" * 1_100_000)
    assert answer.status_code == 413


async def test_the_agenda_keeps_order_and_forgets_what_was_cancelled(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    agenda, done = Agenda(), []
    nursery.start_soon(agenda.run)
    agenda.after(2, lambda: done.append("later"))
    agenda.after(1, lambda: done.append("sooner"))
    agenda.after(1.5, lambda: done.append("never")).cancel()
    agenda.after(0, lambda: done.append("now"))
    assert done == ["now"]
    await trio.sleep(3)
    assert done == ["now", "sooner", "later"]
    agenda.after(1000, lambda: done.append("far"))
    agenda.advance(1001)
    await trio.testing.wait_all_tasks_blocked()
    assert done[-1] == "far"
