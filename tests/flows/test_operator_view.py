"""What an operator sees of a running show: ``GET /api/tree``, drawn by ``streampai tree``."""

from collections.abc import Iterator
from pathlib import Path

import httpx

from streampai import names
from streampai.cli.tree_picture import picture
from streampai.telemetry.task_node import TaskNode

from ..faults.stage import open_show
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
