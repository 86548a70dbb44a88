"""What errors, handles and reports say: these words end in logs and in people's faces."""

import pytest

from streampai.runtime import (
    IGNORE,
    AlreadyPresent,
    AlreadyRegistered,
    AlreadyStarted,
    CallsItself,
    CallTimeout,
    ChildSpec,
    DynamicSupervisor,
    InvalidSpec,
    MailboxClosed,
    MaxChildren,
    NotFound,
    NotOwner,
    NotRunning,
    Restart,
    Restarting,
    Running,
    Shutdown,
    StartFailed,
    SupervisorFailed,
    current_child,
    open_room,
)

from .actor import Actor, Boom, running, supervisor_of


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotRunning("web"), "web is not running"),
        (CallTimeout("web", "Ping", 2.50), "web did not answer Ping within 2.5 s"),
        (CallsItself("web"), "web waits for itself"),
        (AlreadyRegistered(("a", 1), None), "('a', 1) is already registered"),
        (NotOwner("a"), "'a' belongs to somebody else or to nobody"),
        (MailboxClosed("slow"), "slow"),
        (AlreadyStarted("a", None), "child 'a' is already started"),
        (AlreadyPresent("a"), "child 'a' is already present"),
        (NotFound(3), "child 3 is not here"),
        (Running("a"), "child 'a' is running"),
        (Restarting("a"), "child 'a' is being restarted"),
        (StartFailed("a", Boom("why")), "child 'a' could not start: Boom('why')"),
        (MaxChildren(7), "there are 7 children already"),
        (InvalidSpec("shutdown", -1, "seconds"), "shutdown=-1: expected seconds"),
        (SupervisorFailed("top", "a", None), "top: a failed too often"),
        (Shutdown("done"), "done"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_what_is_the_matter(error, words):
    assert str(error) == words


def test_errors_carry_what_they_are_about():
    cause, owner = Boom(), object()
    assert (NotRunning("web", cause).name, NotRunning("web", cause).cause) == ("web", cause)
    assert NotRunning("web").cause is None
    assert CallsItself("web").name == "web"
    assert (AlreadyRegistered(1, owner).key, AlreadyRegistered(1, owner).owner) == (1, owner)
    assert (AlreadyStarted("a", owner).id, AlreadyStarted("a", owner).child) == ("a", owner)
    assert MaxChildren(7).limit == 7
    wrong = InvalidSpec("field", "value", "expected")
    assert (wrong.field, wrong.value, wrong.expected) == ("field", "value", "expected")
    failed = StartFailed("a", cause)
    assert failed.id == "a" and failed.cause is failed.__cause__ is cause
    assert (Shutdown().info, Shutdown().restart) == (None, False)
    assert (Shutdown("x", restart=True).info, Shutdown(restart=True).restart) == ("x", True)


async def test_a_handle_shows_its_name_generation_and_state(autojump_clock):
    a = Actor(("user", 1))
    a.linger = 10
    supervisor = supervisor_of(a.spec(shutdown=1, name="somebody"))
    async with open_room(), running(supervisor):
        child = supervisor.child(("user", 1))
        assert repr(child) == "<Child somebody #1 running>"
        await supervisor.terminate_child(("user", 1))
        assert repr(child) == "<Child somebody #1 abandoned>"
        successor = await supervisor.restart_child(("user", 1))
        assert repr(successor) == "<Child somebody #2 running>"
    shown = []

    async def start(*, task_status):
        shown.append(repr(current_child()))
        task_status.started()

    supervisor = DynamicSupervisor(name="dyn")
    async with running(supervisor):
        child = await supervisor.start_child(
            ChildSpec(id="a", start=start, restart=Restart.TEMPORARY)
        )
        await child.wait()
        assert shown == ["<Child a #1 starting>"]
        assert repr(child) == "<Child a #1 normal>"


def test_ignore_shows_its_name():
    assert repr(IGNORE) == "IGNORE"
