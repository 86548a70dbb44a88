"""That a seed decides in which order tasks run (X7); see conftest for what runs under them."""

import random
from pathlib import Path

import pytest
import trio
from trio._core import _run

from .conftest import UNSEEDED, is_seeded, seeds_of


def order_of_tasks(seed: int) -> list[int]:
    order: list[int] = []

    async def task(n: int) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            order.append(n)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(task, n)

    _run._r.seed(seed)
    trio.run(main)
    return order


@pytest.mark.row("X7")
def test_the_same_seed_gives_the_same_order_and_others_give_others(monkeypatch):
    monkeypatch.setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    orders = [order_of_tasks(seed) for seed in range(5)]
    assert [order_of_tasks(seed) for seed in range(5)] == orders
    assert len(set(map(tuple, orders))) == 5
    # Not merely one pass forwards and one backwards, as without a seed.
    first = orders[0][:6]
    assert sorted(first) == list(range(6)) and first not in (list(range(6)), [5, 4, 3, 2, 1, 0])


@pytest.mark.row("X7")
async def test_each_suite_runs_under_seeds_that_are_recorded_in_its_ids(request):
    seeds = seeds_of(request.config)
    assert request.node.callspec.id in [f"seed{seed}" for seed in seeds]
    # Nothing has drawn from it between the seeding and the start of the loop but Trio itself.
    assert _run._r.getstate() != random.Random().getstate()
    assert _run._ALLOW_DETERMINISTIC_SCHEDULING


@pytest.mark.row("X7")
def test_only_suites_that_exist_are_left_out():
    async def asynchronous():
        pass

    names = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert names >= UNSEEDED
    assert {name for name in names if not is_seeded(name, asynchronous)} == UNSEEDED
    assert not is_seeded("test_registry", lambda: None)
