import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from streampai.runtime import MailboxClosed, MailboxFull
from streampai.web.outbox import Outbox


async def test_replies_and_pushes_come_out_in_the_order_they_went_in() -> None:
    outbox = Outbox(100)
    outbox.reply(b"1")
    outbox.push(b"2")
    outbox.reply(b"3")
    assert await outbox.take() == [b"1", b"2", b"3"]


async def test_pushes_beyond_the_limit_are_refused_also_while_others_are_being_written() -> None:
    outbox = Outbox(10)
    outbox.push(b"x" * 6)
    await outbox.take()
    with pytest.raises(MailboxFull):
        outbox.push(b"x" * 5)
    outbox.push(b"x" * 4)
    assert outbox.waiting == 10


async def test_what_was_taken_counts_as_written_at_the_next_take() -> None:
    outbox = Outbox(10)
    outbox.push(b"x" * 10)
    await outbox.take()
    with trio.move_on_after(0):
        await outbox.take()
    assert outbox.waiting == 0


async def test_one_push_larger_than_the_limit_is_let_through() -> None:
    outbox = Outbox(10)
    outbox.push(b"x" * 11)
    with pytest.raises(MailboxFull):
        outbox.push(b"x")


async def test_replies_are_not_held_against_a_slow_reader_but_wait_for_room(
    nursery: trio.Nursery,
) -> None:
    outbox = Outbox(10)
    outbox.reply(b"x" * 50)
    outbox.push(b"x")
    let_in = False

    async def wait_for_room() -> None:
        nonlocal let_in
        await outbox.room()
        let_in = True

    nursery.start_soon(wait_for_room)
    await wait_all_tasks_blocked()
    await outbox.take()
    await wait_all_tasks_blocked()
    assert not let_in
    with trio.move_on_after(0):
        await outbox.take()
    await wait_all_tasks_blocked()
    assert let_in


async def test_closing_lets_out_what_is_in_unless_it_is_dropped() -> None:
    outbox = Outbox(10)
    outbox.push(b"x")
    outbox.close(drop=False)
    assert await outbox.take() == [b"x"]
    with pytest.raises(MailboxClosed):
        await outbox.take()
    outbox = Outbox(10)
    outbox.push(b"x")
    outbox.close(drop=True)
    with pytest.raises(MailboxClosed):
        await outbox.take()
    with pytest.raises(MailboxClosed):
        outbox.push(b"x")


async def test_closing_wakes_who_waits_for_room(nursery: trio.Nursery) -> None:
    outbox = Outbox(10)
    outbox.reply(b"x" * 50)
    nursery.start_soon(outbox.room)
    await wait_all_tasks_blocked()
    outbox.close(drop=True)
