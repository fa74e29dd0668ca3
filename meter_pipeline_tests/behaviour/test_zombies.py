"""A writer that was thought dead comes back: what others have done since stays, and the writer ends with one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.errors import StaleError
from meter_pipeline.store.lake.draft import Draft
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.claim_rows import ClaimRow
from meter_pipeline.store.ledger.claims import Claim
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.sync.items.rules import ChosenRules
from meter_pipeline.sync.limits import Limits
from meter_pipeline.sync.loading.rebuild import rekey
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.withdraw import drop, hold
from meter_pipeline_tests.behaviour.station import Station, assert_equal, assert_whole, insert_drifting
from meter_pipeline_tests.behaviour.thorough import slow

#: The steps of a load in their order: owner and method, before which the writer is stopped.
STEPS: dict[str, tuple[type[Any], str]] = {
    "the state is read": (Ledger, "state_of"),
    "it is known whether there are rows": (Ledger, "with_accepted"),
    "rows are made": (Draft, "append"),
    "files are written": (Draft, "merge"),
    "the change is known": (Draft, "change"),
    "the commit": (Ledger, "commit"),
    "the commit is noted": (Draft, "settle"),
}


class _NoClaim(Claim):
    """A claim that nobody else respects."""

    def __init__(self) -> None:
        pass

    def release(self) -> None:
        """Does nothing."""

    def remove(self, connection: object) -> None:
        """Does nothing."""

    def forget(self) -> None:
        """Does nothing."""


def _claim_all(names: Sequence[str]) -> tuple[dict[str, Claim], dict[str, ClaimRow]]:
    return {name: _NoClaim() for name in names}, {}


@contextmanager
def stopped_before(step: str, others: Callable[[], None], whom: Station) -> Iterator[None]:
    """Stops the writer before the first call of a step; the others work until it goes on."""
    owner, name = STEPS[step]
    original = getattr(owner, name)
    is_awake = [False]

    def stopping(self: Any, *arguments: Any, **options: Any) -> Any:
        is_own = self is whom.ledger or isinstance(self, Draft)
        if is_own and not is_awake[0]:
            is_awake[0] = True
            others()
        return original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, stopping)
        yield
    assert is_awake[0]


PLACES = ("SQLite, a folder", "PostgreSQL, an object store", "PostgreSQL, a folder")


def in_turn(steps: Sequence[str]) -> list[Any]:
    """Each step with one of the first two places, every third with the second, quickly; with all in `make slow`."""
    return [
        (step, place) if PLACES.index(place) == (number % 3 == 1) else slow(step, place)
        for number, step in enumerate(steps)
        for place in PLACES
    ]


@pytest.fixture(params=PLACES[:1] + tuple(map(slow, PLACES[1:])))
def pair(
    request: pytest.FixtureRequest, make_station: Callable[..., Station], empty_sandbox: Sandbox
) -> tuple[Station, Station]:
    """Two machines with one ledger and one lake; neither respects the claims of the other."""
    stations = make_station(empty_sandbox, "shared"), make_station(empty_sandbox, "other")
    address, place = str(stations[0].folder / "ledger.sqlite"), str(stations[0].folder / "lake")
    if "PostgreSQL" in request.param:
        address = request.getfixturevalue("postgres_url")
    if "store" in request.param:
        place = request.getfixturevalue("store_place")
    for station in stations:
        station.ledger.close()
        station.ledger = Ledger.open(address)
        station.lake = Lake.open(place)
        station.folder = stations[0].folder
        station.ledger.claims.try_claims = _claim_all  # type: ignore[method-assign]
    return stations


@pytest.fixture
def whole(make_station: Callable[..., Station], empty_sandbox: Sandbox) -> Station:
    """A machine of its own, whose loads nobody disturbs."""
    return make_station(empty_sandbox, "whole")


@pytest.mark.parametrize(("step", "pair"), in_turn([*STEPS]), indirect=["pair"])
def test_a_load_that_was_stopped_before_any_step_loses_and_doubles_nothing(
    step: str, pair: tuple[Station, Station], whole: Station, empty_sandbox: Sandbox
) -> None:
    zombie, other = pair
    insert_drifting(empty_sandbox, 8)
    zombie.sync()
    insert_drifting(empty_sandbox, 8)
    with stopped_before(step, lambda: assert_done(other), zombie):
        report = zombie.sync(limits=Limits(writers=1))
    whole.sync()
    assert_whole(zombie)
    assert_equal(zombie, whole)
    refused = [problem for problem in report.problems if "another process has loaded this strategy" in problem.reason]
    assert len(refused) == len(report.problems) <= 2
    assert all("\n" not in problem.reason and problem.reason.endswith("sync again") for problem in refused)
    assert other.sync().jobs == 0


def assert_done(station: Station) -> None:
    """Syncs without a problem."""
    assert station.sync().problems == []


@pytest.mark.parametrize(
    ("step", "pair"),
    in_turn([step for step in STEPS if step != "it is known whether there are rows"]),
    indirect=["pair"],
)
def test_a_release_that_was_stopped_before_any_step_releases_once(
    step: str, pair: tuple[Station, Station], empty_sandbox: Sandbox
) -> None:
    zombie, other = pair
    empty_sandbox.insert_job("Shop", items=[{"id": 1}], completed_at=empty_sandbox.world.now - 60)
    held = empty_sandbox.insert_job("Shop", items=[{"id": 2}], item_count=7)
    zombie.sync()
    assert set(zombie.jobs("held")) == {held}
    errors = []
    with stopped_before(step, lambda: assert_released(other, held), zombie):
        try:
            release(zombie.ledger, zombie.lake, [held])
        except Exception as error:
            errors.append(error)
    assert_whole(zombie)
    assert zombie.results("shop").num_rows == 2
    assert len(errors) == (0 if step == "the commit is noted" else 1)
    assert all("\n" not in str(error) for error in errors)


def assert_released(station: Station, held: str) -> None:
    """Releases a job; one that is released already is no problem."""
    if held in station.jobs("held"):
        assert release(station.ledger, station.lake, [held])[0].accepted == 1


# Each step with one of the decisions, in turn, in one place; with both, in all places, in `make slow`.
@pytest.mark.parametrize(
    ("step", "decide"),
    [
        (step, decide) if (number + place) % 2 else slow(step, decide)
        for number, step in enumerate(step for step in STEPS if step != "rows are made")
        for place, decide in enumerate((hold, drop))
    ],
)
def test_a_job_that_is_held_or_dropped_while_another_is_loaded_leaves_once_and_the_other_stays(
    step: str, decide: Callable[..., Any], pair: tuple[Station, Station], empty_sandbox: Sandbox
) -> None:
    zombie, other = pair
    now = empty_sandbox.world.now
    first, broken, _ = (
        empty_sandbox.insert_job("Shop", items=[{"id": 1, "n": n}], completed_at=now - 60 * (3 - n)) for n in range(3)
    )
    zombie.sync()

    def load_another() -> None:
        if len(other.jobs()) < 4:
            empty_sandbox.insert_job("Shop", items=[{"id": 1, "n": 9}])
            assert_done(other)

    errors = []
    with stopped_before(step, load_another, zombie):
        try:
            decide(zombie.ledger, zombie.lake, [broken])
        except Exception as error:
            errors.append(str(error))
    assert_whole(zombie)
    is_built_on_the_old_state = step not in ("the state is read", "the commit is noted")
    assert [error.startswith("shop: the jobs stay as they were, since another process") for error in errors] == [
        True
    ] * is_built_on_the_old_state
    assert all("\n" not in error and error.endswith("try again") for error in errors)
    if errors:
        assert len(zombie.jobs("accepted")) == 4
        decide(zombie.ledger, zombie.lake, [broken])
    assert_whole(zombie)
    assert len(zombie.jobs("accepted")) == 3
    before = {row["previous_job_id"] for row in zombie.read("changes", "shop").to_pylist()}
    assert first in before
    assert broken not in before


@pytest.mark.parametrize("step", ["the state is read", "the change is known", "the commit"])
def test_rows_that_are_keyed_by_other_rules_meanwhile_stay(
    step: str, pair: tuple[Station, Station], empty_sandbox: Sandbox
) -> None:
    zombie, other = pair
    items = [{"sku": f"s{n}", "name": f"n{n}"} for n in range(4)]
    empty_sandbox.insert_job("Shop", items=items)
    zombie.sync()
    (row,) = zombie.ledger.strategies()
    by_name = ChosenRules(key=("name",), source="configured")

    def load_another() -> None:
        if len(other.jobs()) < 2:
            empty_sandbox.insert_job("Shop", items=[{"sku": "new", "name": "new"}])
            assert_done(other)

    with stopped_before(step, load_another, zombie):
        if step == "the state is read":
            assert rekey(zombie.lake, zombie.ledger, row, by_name)
        else:
            with pytest.raises(StaleError, match="another process has loaded this strategy meanwhile"):
                rekey(zombie.lake, zombie.ledger, row, by_name)
    assert_whole(zombie)
    assert len(zombie.jobs("accepted")) == 2
    assert rekey(zombie.lake, zombie.ledger, row, by_name)
    assert set(zombie.results("shop")["_meter_item_key"].to_pylist()) == {"n0", "n1", "n2", "n3", "new"}
    assert_whole(zombie)
