"""Commands are worked off in order, as far as the browser takes the answers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.web.conversation import COMMAND_BURST, Conversation
from streampai.web.outbox import Outbox
from streampai.web.wire import ProtocolViolation, Request

from .site import quick_settings


class FakeBrowser:
    def __init__(self) -> None:
        self.client = "c"
        self.user_id = 1
        self.token = None
        self.closing = False
        self.outbox = Outbox(10_000)
        self.subscriptions: Any = None
        self.refusals: list[str] = []

    async def log_in(self) -> bool:
        self.subscriptions = self
        return True

    def presence(self, request: Request) -> dict[str, Any]:
        return {"n": request.id}

    def refused(self, code: str, where: str) -> None:
        self.refusals.append(code)


@pytest.fixture
def browser() -> FakeBrowser:
    return FakeBrowser()


@pytest.fixture
def conversation(browser: FakeBrowser, tmp_path: Path) -> Conversation:
    services = SimpleNamespace(settings=quick_settings(tmp_path))
    return Conversation(cast(Any, services), cast(Any, browser))


def presence(number: int) -> Request:
    return Request(number, "presence", {})


async def answered(browser: FakeBrowser) -> list[int]:
    await wait_all_tasks_blocked()
    return [orjson.loads(message)["id"] for message in await browser.outbox.take()]


async def test_what_was_said_before_the_start_is_answered_after_it(
    browser: FakeBrowser, conversation: Conversation, nursery: trio.Nursery
) -> None:
    assert conversation.hear(Request(1, "connect", {}))
    assert conversation.hear(presence(2))
    conversation.start(nursery)
    assert await answered(browser) == [1, 2]
    assert conversation.hear(presence(3))
    assert await answered(browser) == [3]


async def test_commands_wait_while_the_answers_are_not_taken(
    browser: FakeBrowser, conversation: Conversation, nursery: trio.Nursery
) -> None:
    browser.outbox.reply(orjson.dumps({"id": 0, "x": "x" * 6_000}))
    conversation.start(nursery)
    conversation.hear(Request(1, "connect", {}))
    assert await answered(browser) == [0]
    # The next take says that the first is written.
    assert [orjson.loads(message)["id"] for message in await browser.outbox.take()] == [1]


async def test_a_burst_is_heard_and_no_more(
    browser: FakeBrowser, conversation: Conversation
) -> None:
    conversation.hear(Request(1, "connect", {}))
    heard = [conversation.hear(presence(number)) for number in range(2, COMMAND_BURST + 2)]
    assert heard == [True] * (COMMAND_BURST - 1) + [False]


@pytest.mark.parametrize("first", ["subscribe", "rpc", "send"])
async def test_connect_must_be_first(conversation: Conversation, first: str) -> None:
    with pytest.raises(ProtocolViolation):
        conversation.hear(Request(1, first, {}))


async def test_connect_must_be_said_once(conversation: Conversation) -> None:
    conversation.hear(Request(1, "connect", {}))
    with pytest.raises(ProtocolViolation):
        conversation.hear(Request(2, "connect", {}))


async def test_after_a_stop_nothing_is_answered(
    browser: FakeBrowser, conversation: Conversation, nursery: trio.Nursery
) -> None:
    conversation.start(nursery)
    conversation.hear(Request(1, "connect", {}))
    conversation.stop()
    await wait_all_tasks_blocked()
    assert browser.outbox.waiting == 0
