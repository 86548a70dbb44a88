"""What the runtime raises, so that callers can tell the causes apart."""

from collections.abc import Hashable


class NotRunning(Exception):
    """Who was asked is not there, or ended before it answered.

    ``name`` says who; ``cause`` holds what it ended with, when that was an
    error. Whether the request had an effect is unknown if it ended meanwhile.
    """

    def __init__(self, name: str, cause: BaseException | None = None) -> None:
        self.name = name
        self.cause = cause
        super().__init__(f"{name} is not running")


class CallTimeout(Exception):
    """No answer in time. The request may still be carried out; its answer is thrown away."""

    def __init__(self, name: str, request: str, timeout: float) -> None:
        self.name = name
        self.request = request
        self.timeout = timeout
        super().__init__(f"{name} did not answer {request} within {timeout:g} s")


class CallsItself(Exception):
    """A task asked itself and would have waited for ever. A mistake in the caller."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"{name} waits for itself")


class AlreadyRegistered(Exception):
    """The key has another owner, which keeps it; the caller has gained nothing."""

    def __init__(self, key: Hashable, owner: object) -> None:
        self.key = key
        self.owner = owner
        super().__init__(f"{key!r} is already registered")


class MailboxFull(Exception):
    """There is no room now. What is full, and what then happens, is the reader's choice."""


class MailboxClosed(Exception):
    """Nothing more goes in, or comes out. ``reason`` is what was given to ``close``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ChildError(Exception):
    """The base of what a supervisor answers when it cannot do what it was asked to."""


class _NamedChildError(ChildError):
    words = ""

    def __init__(self, id: Hashable) -> None:
        self.id = id
        super().__init__(f"child {id!r} {self.words}")


class AlreadyStarted(_NamedChildError):
    """A child of that id runs or is starting; ``child`` is its handle."""

    words = "is already started"

    def __init__(self, id: Hashable, child: object) -> None:
        self.child = child
        super().__init__(id)


class AlreadyPresent(_NamedChildError):
    """A child of that id is known and does not run: restart or delete it."""

    words = "is already present"


class NotFound(_NamedChildError):
    """The supervisor knows no such child, or the handle belongs to an earlier one."""

    words = "is not here"


class Running(_NamedChildError):
    """The child runs; stop it first."""

    words = "is running"


class Restarting(_NamedChildError):
    """The supervisor is about to start the child again, or trying to."""

    words = "is being restarted"


class StartFailed(_NamedChildError):
    """The child ended before it said that it had started. ``cause`` is what it raised.

    Of nested supervisors each adds its own: the causes lead from the child
    that was asked for to the one that failed.
    """

    words = "could not start"

    def __init__(self, id: Hashable, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(id)
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"{super().__str__()}: {self.cause!r}"


class MaxChildren(ChildError):
    """The supervisor has as many children as it may have, counting those being restarted."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"there are {limit} children already")


class InvalidSpec(ChildError):
    """A child's or a supervisor's description is wrong: which field, its value, what it must be."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        super().__init__(f"{field}={value!r}: expected {expected}")


class SupervisorFailed(Exception):
    """A child failed more often than is allowed, so its supervisor gave up.

    ``name`` is the supervisor's, ``child`` the child's, ``cause`` the last failure.
    """

    def __init__(self, name: str, child: str, cause: BaseException | None) -> None:
        self.name = name
        self.child = child
        self.cause = cause
        super().__init__(f"{name}: {child} failed too often")
        self.__cause__ = cause


class NotOwner(Exception):
    """The key is free, or was taken in another child's task: only the owner may do that."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        super().__init__(f"{key!r} belongs to somebody else or to nobody")


class Shutdown(Exception):
    """Raised by a child to end in an orderly manner and to say why (``info``).

    With ``restart`` it asks to be started again, as after a crash but without
    having failed; a temporary child asks in vain.
    """

    def __init__(self, info: object = None, *, restart: bool = False) -> None:
        self.info = info
        self.restart = restart
        super().__init__(info)
