"""Registry and DuplicateRegistry against lists of what has been registered by whom."""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from streampai.runtime import AlreadyRegistered, DuplicateRegistry, NotOwner, Registry
from streampai.runtime.child import Outcome, enter_child

from .machine import examples

KEYS = [1, 1.0, True, "1", None, ("a", 1), ("a", True), ("a", (1,)), ("a", (1.0,))]
NOBODY = "nobody"


class Owner:
    """As much of a supervised child as a registry looks at; a whole one needs a running loop."""

    outcome: Outcome | None = None


def alike(a: object, b: object) -> bool:
    """Whether they are the same name; the model's own idea of it."""
    return repr(a) == repr(b)


class Owners(RuleBasedStateMachine):
    """Supervised children who come, do things in their own name, and end."""

    owners = Bundle("owners")

    @rule(target=owners)
    def nobody(self) -> object:
        return NOBODY

    @rule(target=owners)
    def somebody(self) -> object:
        return Owner()

    @rule(owner=owners, how=st.sampled_from(["normal", "abandoned"]))
    def ends(self, owner: Any, how: Any) -> None:
        if owner is not NOBODY and owner.outcome is None:
            owner.outcome = Outcome(how)

    def by(self, owner: Any, do: Callable[..., Any], *arguments: Any) -> Any:
        def enter_and_do() -> Any:
            if owner is not NOBODY:
                enter_child(owner)
            return do(*arguments)

        return copy_context().run(enter_and_do)


def lives(owner: Any) -> bool:
    return owner is NOBODY or owner.outcome is None


class UniqueNames(Owners):
    def __init__(self) -> None:
        super().__init__()
        self.real = Registry()
        # key, value, owner; in the order of their registration
        self.model: list[tuple[object, object, object]] = []
        self.values = 0
        self.told: list[object] = []

    def holder(self, key: object) -> tuple[object, object, object] | None:
        for entry in self.model:
            if alike(entry[0], key) and lives(entry[2]):
                return entry
        return None

    @rule(owner=Owners.owners, key=st.sampled_from(KEYS))
    def register(self, owner: Any, key: object) -> None:
        self.values += 1
        value = self.values
        present = self.holder(key)
        if not lives(owner):
            return
        if present is None:
            self.by(owner, self.real.register, key, value)
            self.model.append((key, value, owner))
        else:
            with pytest.raises(AlreadyRegistered) as caught:
                self.by(owner, self.real.register, key, value)
            assert caught.value.owner is present[1]

    @rule(key=st.sampled_from(KEYS), right=st.booleans())
    def unregister(self, key: object, right: bool) -> None:
        present = self.holder(key)
        if present is not None and right:
            self.model.remove(present)
            self.real.unregister(key, present[1])
        else:
            self.real.unregister(key, object())

    @rule(owner=Owners.owners, key=st.sampled_from(KEYS))
    def update(self, owner: Any, key: object) -> None:
        present = self.holder(key)
        self.values += 1
        value = self.values
        if present is None or present[2] is not owner:
            with pytest.raises(NotOwner):
                self.by(owner, self.real.update, key, lambda old: value)
        else:
            assert self.by(owner, self.real.update, key, lambda old: value) == (value, present[1])
            self.model[self.model.index(present)] = (key, value, owner)

    @invariant()
    def agree(self) -> None:
        living = [entry for entry in self.model if lives(entry[2])]
        for key in KEYS:
            present = self.holder(key)
            assert self.real.lookup(key) == (None if present is None else present[1])
            assert (key in self.real) is (present is not None)
        assert sorted(map(repr, self.real.keys())) == sorted(repr(entry[0]) for entry in living)
        assert len(self.real) == len(living)


class SharedNames(Owners):
    def __init__(self) -> None:
        super().__init__()
        self.real = DuplicateRegistry[int]()
        self.model: list[tuple[object, int, object]] = []

    @rule(owner=Owners.owners, key=st.sampled_from(KEYS), value=st.integers(0, 3))
    def register(self, owner: Any, key: object, value: int) -> None:
        if lives(owner):
            self.by(owner, self.real.register, key, value)
            self.model.append((key, value, owner))

    @rule(owner=Owners.owners, key=st.sampled_from(KEYS), value=st.none() | st.integers(0, 3))
    def unregister(self, owner: Any, key: object, value: int | None) -> None:
        if value is None:
            self.by(owner, self.real.unregister, key)
        else:
            self.by(owner, self.real.unregister, key, lambda other: other == value)
        self.model = [
            entry
            for entry in self.model
            if not (alike(entry[0], key) and entry[2] is owner and value in (None, entry[1]))
        ]

    @invariant()
    def agree(self) -> None:
        living = [entry for entry in self.model if lives(entry[2])]
        for key in KEYS:
            values = [value for other, value, _ in living if alike(other, key)]
            assert self.real.lookup(key) == values
            assert self.real.lookup(key, lambda v: v > 1) == [v for v in values if v > 1]
            heard: list[list[int]] = []
            self.real.dispatch(key, heard.append)
            assert heard == ([values] if values else [])
        assert len(self.real) == len(living)
        assert set(map(repr, self.real.keys())) == {repr(entry[0]) for entry in living}


TestUniqueNames = UniqueNames.TestCase
TestUniqueNames.settings = examples(30)
TestSharedNames = SharedNames.TestCase
TestSharedNames.settings = examples(30)
