"""What supervisors tell: rendered in words (S79), chosen kinds silenced (B3)."""

import pytest

from streampai.runtime import Restart, Shutdown, SupervisorReport, silenced

from .actor import Actor, Boom, Reports, running, settle, supervisor_of


def report(what="exited", **fields):
    return SupervisorReport(supervisor="top", child="a", what=what, **fields)


def of_error(error):
    return report(reason=f"{type(error).__name__}: {error}", error=error)


@pytest.mark.row("S79")
@pytest.mark.parametrize(
    ("told", "parts"),
    [
        (report("started"), ["top: a started"]),
        (report(reason="normal"), ["top: a exited", "normal"]),
        (
            report("restarting", reason="Boom: why", error=Boom("why"), delay=0.05),
            ["top: a restarting", "after 0.05 s", "Boom: why"],
        ),
        (report("delayed", reason="x", delay=30), ["top: a delayed", "after 30 s", "x"]),
        (report("abandoned", reason="abandoned"), ["top: a abandoned", "abandoned"]),
        (
            of_error(ExceptionGroup("", [Boom("one"), ExceptionGroup("", [Boom("two")])])),
            ["top: a exited", "ExceptionGroup of 2: Boom: one; Boom: two"],
        ),
    ],
    ids=lambda value: value.what if isinstance(value, SupervisorReport) else "",
)
def test_a_report_says_the_same_on_one_line_and_on_several(told, parts):
    assert told.format() == ", ".join(parts)
    assert told.format(single_line=False) == "\n  ".join(parts)


@pytest.mark.row("S79")
@pytest.mark.parametrize("single_line", [False, True])
def test_a_report_keeps_to_its_limit_of_characters(single_line):
    told = of_error(Boom("x" * 5000))
    whole = told.format(single_line=single_line, limit=10_000)
    assert len(whole) > 5000
    for limit in (1, 10, 40, 1000):
        short = told.format(single_line=single_line, limit=limit)
        assert len(short) == limit and short == whole[: limit - 1] + "…"
    assert len(told.format(single_line=single_line)) == 1000
    exact = len(whole)
    assert told.format(single_line=single_line, limit=exact) == whole


@pytest.mark.row("S79")
def test_of_a_large_group_the_number_is_told_and_not_everyone():
    group = ExceptionGroup("", [Boom(n) for n in range(500)])
    told = of_error(group)
    assert told.format(breadth=2).endswith("ExceptionGroup of 500: Boom: 0; Boom: 1; …")
    assert told.format(breadth=0).endswith("ExceptionGroup of 500: …")
    assert told.format(breadth=500, limit=10**6).endswith("; Boom: 499")
    assert told.format().endswith("Boom: 2; …")


@pytest.mark.row("S79")
async def test_the_reason_of_an_end_is_one_line_of_limited_length(autojump_clock):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(a.spec(), report=reports, max_restarts=9)
    async with running(supervisor):
        a.end(Boom("first\n  second" + "x" * 5000))
        await settle()
        a.end(ExceptionGroup("", [Boom(n) for n in range(100)]))
        await settle()
    long, group = (told.reason for told in reports.of("exited")[:2])
    assert long.startswith("Boom: first secondxxx") and len(long) == 1000 and "\n" not in long
    assert group == "ExceptionGroup of 100: Boom: 0; Boom: 1; Boom: 2; …"


@pytest.mark.row("S79")
async def test_an_orderly_end_tells_its_information_in_one_short_line(autojump_clock):
    reports = Reports()
    a = Actor("a")
    supervisor = supervisor_of(a.spec(restart=Restart.TRANSIENT), report=reports)
    async with running(supervisor):
        a.end(Shutdown("one\ntwo" + "x" * 5000))
        await settle()
    (told,) = reports.of("exited")
    assert told.reason.startswith("shutdown: one twoxx") and len(told.reason) == 1000


@pytest.mark.row("B3")
@pytest.mark.parametrize("kinds", [(), ("exited",), ("started", "restarting")])
async def test_chosen_kinds_of_reports_are_silenced_and_no_others(autojump_clock, kinds):
    all_of_them, heard = Reports(), Reports()
    quiet = silenced(heard, *kinds)

    def both(told):
        all_of_them(told)
        quiet(told)

    a = Actor("a")
    async with running(supervisor_of(a.spec(), report=both, max_restarts=1), stop=False):
        for _ in range(2):
            a.crash()
            await settle()
    assert {"started", "exited", "restarting", "limit_reached"} == set(all_of_them.whats())
    assert heard == [told for told in all_of_them if told.what not in kinds]


@pytest.mark.row("B3")
def test_there_is_no_silencing_what_does_not_exist():
    kinds = "started, exited, restarting, restart_failed, abandoned, limit_reached, delayed"
    with pytest.raises(ValueError, match=f"'crashed': expected one of {kinds}$"):
        silenced(Reports(), "started", "crashed")
