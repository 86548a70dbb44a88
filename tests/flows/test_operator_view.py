"""What an operator sees of a running show: ``GET /api/tree``, drawn by ``streampai tree``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streampai import names
from streampai.cli.tree_picture import picture
from streampai.platforms.twitch.account import TwitchAccount
from streampai.runtime import Budget
from streampai.telemetry.events import SupervisorReported
from streampai.telemetry.task_node import TaskNode

from ..faults.stage import crash, open_show, server, watching
from ..house import House


async def look(house: House) -> list[TaskNode]:
    key = house.app.settings.web.admin_key.reveal()
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{house.url}/api/tree", headers={"X-API-Key": key})
    assert answer.status_code == 200
    return [TaskNode.from_dict(node) for node in answer.json()["tree"]]


def every(nodes: list[TaskNode] | tuple[TaskNode, ...]) -> Iterator[TaskNode]:
    for node in nodes:
        yield node
        yield from every(node.children)


def find(nodes: list[TaskNode], name: str) -> TaskNode:
    (found,) = [node for node in every(nodes) if node.name == name]
    return found


async def test_no_task_of_ours_shows_the_name_of_a_function(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, _):
        seen = [node.name for node in every(await look(house))]
        assert [name for name in seen if name.startswith("streampai.")] == []


async def test_a_show_is_seen_as_its_supervisors_see_it(tmp_path: Path) -> None:
    async with open_show(tmp_path) as (house, browser):
        user = browser.user_id
        nodes = await look(house)
        manager = find(nodes, names.task_name(names.user_stream_manager(user)))
        assert manager.child is not None
        assert (manager.child.state, manager.child.depth) == ("running", 0)
        children = find([manager], f"{manager.name}/children")
        assert children.supervisor is not None
        assert [node.name for node in children.children] == [
            f"cloudflare_input/{user}",
            f"cloudflare_output/{user}",
            f"platform_monitors/{user}",
            f"stream_state/{user}",
            f"token_refreshers/{user}",
        ]
        for name in (f"platform_monitor/{user}/twitch", f"token_refresher/{user}/twitch"):
            node = find([children], name)
            assert node.child is not None and node.child.state == "running"
        find([manager], f"{manager.name}/disconnect_clock")
        assert max(map(len, picture(nodes).splitlines())) <= 100


async def test_a_monitor_past_its_budget_shows_which_budget_bit_and_when_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug that stays")

    async with open_show(
        tmp_path, STREAMPAI_MONITOR_RESTARTS="1", STREAMPAI_MONITOR_RESTART_DELAY="600000"
    ) as (house, browser):
        name = names.task_name(names.platform_monitor(browser.user_id, "twitch"))
        monkeypatch.setattr(TwitchAccount, "source", broken)
        with watching(house, SupervisorReported, lambda e: e.child == name) as watch:
            house.sandbox.eventsub.cut("demo")
            delayed = await watch.until(lambda event: event.what == "delayed")
        assert delayed.supervisor == f"platform_monitors/{browser.user_id}"
        assert delayed.delay == 600
        assert "a bug that stays" in delayed.reason
        nodes = await look(house)
        child = find(nodes, name).child
        assert child is not None and child.budget is not None
        assert (child.state, child.restarts, child.delays) == ("restarting", 1, 1)
        assert (child.budget.allowed, child.budget.seconds) == (1, 60)
        assert child.next_start is not None and 500 < child.next_start <= 600
        told = picture(nodes)
        assert "! used up its budget; next start in " in told
        assert "RuntimeError: a bug" in told
        # Nobody else's budget was touched.
        children = find(nodes, f"user_stream_manager/{browser.user_id}/children").supervisor
        assert children is not None and children.budget.spent == 0


async def test_a_tree_whose_parts_crash_past_their_budget_is_started_anew_and_says_why(
    tmp_path: Path,
) -> None:
    async with open_show(tmp_path, STREAMPAI_USER_TASK_RESTARTS="1") as (house, browser):
        user = browser.user_id
        state = names.task_name(names.stream_state(user))
        manager = names.task_name(names.user_stream_manager(user))
        await crash(house, names.stream_state(user))
        part = find(await look(house), state).child
        assert part is not None
        assert (part.state, part.restarts) == ("running", 1)
        children = find(await look(house), f"{manager}/children").supervisor
        assert children is not None
        assert (children.restarts, children.budget.spent, children.budget.allowed) == (1, 1, 1)
        with watching(house, SupervisorReported) as watch:
            server(house, names.stream_state(user)).cast_nowait(object())
            bit = await watch.until(lambda event: event.what == "limit_reached")
            assert (bit.supervisor, bit.child) == (manager, state)
            await watch.until(lambda event: event.child == manager and event.what == "started")
        node = find(await look(house), manager).child
        assert node is not None
        assert (node.state, node.restarts) == ("running", 1)
        assert f"{manager}: {state} failed too often" in node.fault


async def test_how_often_a_users_tree_may_fail_is_a_setting(tmp_path: Path) -> None:
    async with open_show(
        tmp_path, STREAMPAI_USER_RESTARTS="0", STREAMPAI_USER_RESTART_DELAY="100"
    ) as (house, browser):
        key = names.user_stream_manager(browser.user_id)
        child = names.task_name(key)
        with watching(house, SupervisorReported, lambda e: e.child == child) as watch:
            server(house, key).cast_nowait(object())
            delayed = await watch.until(lambda event: event.what == "delayed")
            assert (delayed.supervisor, delayed.delay) == ("livestream_manager", 0.1)
            await watch.until(lambda event: event.what == "started")
        node = find(await look(house), child).child
        assert node is not None
        assert (node.restarts, node.delays) == (1, 1)


async def test_budgets_are_as_the_settings_say(tmp_path: Path) -> None:
    async with open_show(
        tmp_path,
        STREAMPAI_USER_RESTARTS="11",
        STREAMPAI_USER_RESTART_WINDOW="21000",
        STREAMPAI_USER_TASK_RESTARTS="12",
        STREAMPAI_USER_TASK_RESTART_WINDOW="22000",
        STREAMPAI_MONITOR_RESTARTS="13",
        STREAMPAI_MONITOR_RESTART_WINDOW="23000",
        STREAMPAI_REFRESHER_RESTARTS="14",
        STREAMPAI_REFRESHER_RESTART_WINDOW="24000",
    ) as (house, browser):
        nodes = await look(house)
        user = browser.user_id
        budgets = {
            name: Budget(spent=0, allowed=allowed, seconds=seconds)
            for name, allowed, seconds in (
                ("livestream_manager/users", 11, 21),
                (f"user_stream_manager/{user}/children", 12, 22),
                (f"platform_monitors/{user}/platforms", 13, 23),
                (f"token_refreshers/{user}/accounts", 14, 24),
            )
        }
        for name, budget in budgets.items():
            supervisor = find(nodes, name).supervisor
            assert supervisor is not None and supervisor.budget == budget, name
