"""Each suite runs under several schedules: the order of tasks that are ready is drawn from a seed.

pytest tests/runtime --schedules 1000    # many
pytest tests/runtime --seed 17           # the one that has failed; it is in the test's id
"""

import inspect

import hypothesis
import pytest
from trio._core import _run

# Of these the sockets or the collector decide what happens, or time does alone.
UNSEEDED = {"test_websocket", "test_garbage", "test_token_bucket", "test_scale", "test_storms"}

hypothesis.settings.register_profile("many", max_examples=2000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("runtime")
    group.addoption("--schedules", type=int, default=2, help="how many schedules to run under")
    group.addoption("--seed", type=int, default=None, help="run under this schedule only")


def seeds_of(config: pytest.Config) -> list[int]:
    # Not registered when pytest was not given this folder.
    seed = config.getoption("--seed", None)
    return list(range(config.getoption("--schedules", 2))) if seed is None else [seed]


def is_seeded(module: str, function: object) -> bool:
    return (
        module.rpartition(".")[2] not in UNSEEDED
        and inspect.iscoroutinefunction(function)
        and not hypothesis.is_hypothesis_test(function)
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if is_seeded(metafunc.module.__name__, metafunc.function):
        seeds = seeds_of(metafunc.config)
        metafunc.parametrize("schedule", seeds, indirect=True, ids=[f"seed{n}" for n in seeds])


@pytest.fixture(autouse=True)
def schedule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio shuffles what is ready by a generator of its own; here it is a seeded one."""
    if hasattr(request, "param"):
        monkeypatch.setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        _run._r.seed(request.param)
