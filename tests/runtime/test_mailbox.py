"""The bounded list with one reader."""

import pytest
import trio

from streampai.runtime import Mailbox, MailboxClosed, MailboxFull

from .actor import settle


async def test_what_went_in_comes_out_at_one_go_in_order():
    mailbox = Mailbox[int](10)
    for n in range(5):
        mailbox.put(n)
    assert mailbox.depth == 5
    assert await mailbox.take() == [0, 1, 2, 3, 4]
    assert mailbox.depth == 0


async def test_a_reader_waits_for_the_first_item(nursery):
    mailbox = Mailbox[int](10)
    got = []

    async def read():
        got.append(await mailbox.take())

    nursery.start_soon(read)
    await settle()
    assert not got
    mailbox.put(1)
    mailbox.put(2)
    await settle()
    assert got == [[1, 2]]


async def test_a_full_one_refuses_and_loses_nothing():
    mailbox = Mailbox[int](2)
    mailbox.put(1)
    mailbox.put(2)
    with pytest.raises(MailboxFull):
        mailbox.put(3)
    assert mailbox.full
    assert await mailbox.take() == [1, 2]


async def test_writers_wait_for_room_and_keep_their_order(nursery):
    mailbox = Mailbox[int](2)
    for n in range(7):
        nursery.start_soon(mailbox.send, n)
        await settle()
    got = []
    while len(got) < 7:
        batch = await mailbox.take()
        assert len(batch) <= 2
        got += batch
    assert got == list(range(7))


async def test_nobody_overtakes_a_waiting_writer(nursery):
    mailbox = Mailbox[str](1)
    mailbox.put("first")
    nursery.start_soon(mailbox.send, "second")
    await settle()
    assert await mailbox.take() == ["first"]
    with pytest.raises(MailboxFull):
        mailbox.put("third")
    assert await mailbox.take() == ["second"]


async def test_a_cancelled_writer_has_put_nothing_in(nursery):
    mailbox = Mailbox[str](1)
    mailbox.put("first")
    with trio.CancelScope() as scope:
        nursery.start_soon(mailbox.send, "second")
        await settle()
        scope.cancel()
        await mailbox.send("never")
    assert scope.cancelled_caught
    assert await mailbox.take() == ["first"]
    assert await mailbox.take() == ["second"]
    assert mailbox.depth == 0
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.send("never")
    assert mailbox.depth == 0


async def test_a_writer_cancelled_while_it_waits_is_forgotten(nursery):
    mailbox = Mailbox[str](1)
    mailbox.put("first")
    scope = trio.CancelScope()

    async def write():
        with scope:
            await mailbox.send("never")

    nursery.start_soon(write)
    await settle()
    scope.cancel()
    await settle()
    assert await mailbox.take() == ["first"]
    assert mailbox.depth == 0


async def test_a_cancelled_reader_takes_nothing_out(nursery):
    mailbox = Mailbox[str](2)
    scope = trio.CancelScope()

    async def read():
        with scope:
            await mailbox.take()

    nursery.start_soon(read)
    await settle()
    scope.cancel()
    mailbox.put("kept")
    await settle()
    # The reader had been woken and left all the same, or was cancelled: never both lost.
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.take()
    assert scope.cancelled_caught
    assert await mailbox.take() == ["kept"]


async def test_a_closed_one_gives_out_what_is_in_and_then_its_reason(nursery):
    mailbox = Mailbox[int](3)
    mailbox.put(1)
    mailbox.close("slow")
    mailbox.close("later reasons do not count")
    assert mailbox.closed
    with pytest.raises(MailboxClosed) as caught:
        mailbox.put(2)
    assert caught.value.reason == "slow"
    assert await mailbox.take() == [1]
    with pytest.raises(MailboxClosed, match="slow"):
        await mailbox.take()
    with pytest.raises(MailboxClosed):
        await mailbox.send(3)


async def test_closing_wakes_the_reader_and_the_writers(nursery):
    empty, full = Mailbox[int](1), Mailbox[int](1)
    full.put(0)
    ended = []

    async def expect(wait, *args):
        with pytest.raises(MailboxClosed):
            await wait(*args)
        ended.append(wait)

    nursery.start_soon(expect, empty.take)
    nursery.start_soon(expect, full.send, 1)
    nursery.start_soon(expect, full.send, 2)
    await settle()
    empty.close("over")
    full.close("over")
    await settle()
    assert len(ended) == 3
    assert await full.take() == [0]


async def test_only_one_task_may_take(nursery):
    mailbox = Mailbox[int](1)
    nursery.start_soon(mailbox.take)
    await settle()
    with pytest.raises(trio.BusyResourceError):
        await mailbox.take()
    mailbox.put(1)


async def test_sending_and_taking_are_checkpoints():
    mailbox = Mailbox[int](10)
    with trio.testing.assert_checkpoints():
        await mailbox.send(1)
    with trio.testing.assert_checkpoints():
        await mailbox.take()


def test_a_mailbox_without_room_makes_no_sense():
    with pytest.raises(ValueError):
        Mailbox(0)
