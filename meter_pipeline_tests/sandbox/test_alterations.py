"""Broken scrapes and odd but healthy events: each does what it is called, and the sandbox lists the altered jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from meter_pipeline.sandbox import KINDS, AlteredJob, Sandbox, SandboxError
from meter_pipeline.sandbox.altered import parse_order
from meter_pipeline.sandbox.breaking import ALTERED, FLAKY, RHYTHMS, SOUND_RUNS
from meter_pipeline.sandbox.item_values import scale
from meter_pipeline.sandbox.scrapes import visit_of
from meter_pipeline_tests.sandbox.calls import Calls

Make = Callable[..., Sandbox]

ITEMS = [
    {"name": f"Lamp é {n}", "price": f"£{n + 1},234.56", "stock": n, "at": f"2026-0{n + 1}-20T00:00:00Z",
     "in": {"country": f"C{n}"}, "sizes": [{"id": 1, "price": 2.5 + n}], "rating": f"{n}.5 of 5"}
    for n in range(8)
]  # fmt: skip
# Kinds that change letters.
TEXTS = ("damaged_encoding", "lost_letters", "corrected_text", "other_script")


@pytest.fixture
def altered(make_sandbox: Make) -> Callable[..., Any]:
    """Runs a strategy twice, sound and altered, and returns the results of the second run as they come over HTTP."""

    def run(kind: str, field: str = "") -> Any:
        sandbox = make_sandbox(worlds=())
        sandbox.add_schedule(sandbox.add_strategy("S", items=ITEMS), interval_seconds=3600)
        sandbox.alter("S", kind, field, after=1)
        sandbox.advance(hours=3.5)
        bodies = [Calls(sandbox).get(f"/jobs/{job.job_id}").json()["results"] for job in sandbox.world.jobs]
        assert bodies[0] == bodies[2] == ITEMS
        return bodies[1]

    return run


def _column(items: list[dict[str, Any]], field: str) -> list[Any]:
    return [item[field] for item in items]


def test_every_kind_that_concerns_a_field_changes_that_field_and_no_other(altered: Callable[..., Any]) -> None:
    own = {"impossible_date": "at", "swapped_date": "at", "counter_restart": "stock", "new_field": "delivery"}
    for kind in KINDS.values():
        if kind.needs_field:
            field = own.get(kind.name, "name" if kind.name in TEXTS else "price")
            items = altered(kind.name, field)
            assert items != ITEMS, kind.name
            own_names = (field, f"{field}_2")
            others = [{k: v for k, v in item.items() if k not in own_names} for item in items]
            assert others == [{k: v for k, v in item.items() if k != field} for item in ITEMS], kind.name


def test_kinds_that_concern_the_whole_scrape_are_what_they_are_called(altered: Callable[..., Any]) -> None:
    assert altered("zero_items") == altered("empty_night") == []
    assert altered("null_results") is None
    assert altered("fewer_items") == ITEMS[:3]
    assert altered("repeated_items") == [item for item in ITEMS for _ in range(2)]
    assert altered("repeated_page") == ITEMS[:2] * 3
    sparse = altered("sparse_items")
    assert sparse[::2] == ITEMS[::2]
    assert sparse[1] == dict.fromkeys(ITEMS[1]) | {"name": ITEMS[1]["name"]}
    assert altered("login_page")[0] == dict.fromkeys(ITEMS[0]) | {"name": "Sign in to your account"}
    assert list(altered("shifted_columns")[0].values()) == [ITEMS[0]["rating"], *list(ITEMS[0].values())[:-1]]
    assert sorted(map(json.dumps, altered("reordered"))) == sorted(map(json.dumps, ITEMS))
    assert altered("reordered") != ITEMS


def test_amounts_keep_their_marks_and_decimals(altered: Callable[..., Any]) -> None:
    assert _column(altered("cents", "price"), "price")[0] == "£123,456.00"
    assert _column(altered("sale", "price"), "price")[1] == "£1,564.19"
    assert _column(altered("negated", "stock"), "stock")[:3] == [0, -1, -2]
    assert _column(altered("wrong_locale", "price"), "price")[0] == "£1.234,56"
    assert _column(altered("currency_mark", "price"), "price")[0] == "$1,567.89"
    assert [scale(value, 2) for value in ("1.234,56 €", "7 of 9", "1234", 3, 1.25, True, None)] == [
        "2.469,12 €", "14 of 9", "2468", 6, 2.5, True, None,
    ]  # fmt: skip


def test_fields_inside_objects_and_lists_are_reached_by_their_path(altered: Callable[..., Any]) -> None:
    assert _column(altered("field_null", "in.country"), "in") == [{"country": None}] * 8
    assert altered("field_missing", "sizes.price")[3]["sizes"] == [{"id": 1}]
    assert altered("cents", "sizes.price")[0]["sizes"] == [{"id": 1, "price": 250.0}]


def test_an_object_around_the_list_stays_around_it(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["jobboard"])
    sandbox.alter("Job board feed", "fewer_items")
    sandbox.advance(days=1)
    (broken,) = sandbox.altered_jobs()
    body = Calls(sandbox).get(f"/jobs/{broken.job_id}").json()
    assert list(body["results"]) == ["listings"]
    assert 0 < len(body["results"]["listings"]) == body["item_count"]


def test_the_next_runs_of_a_schedule_are_altered_and_listed(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=())
    strategy = sandbox.add_strategy("S", items=ITEMS)
    schedule = sandbox.add_schedule(strategy, urls=["https://a.example/", "https://b.example/"], interval_seconds=3600)
    sandbox.advance(hours=2)
    control = Calls(sandbox, "/_sandbox")
    order = {"schedule": schedule, "kind": "field_null", "field": "price", "runs": 2, "url": "https://b.example/"}
    assert control.post("/alterations", order).json() == {"schedules": [schedule]}
    sandbox.alter("S", "sale", "price", after=1)
    sandbox.advance(hours=5)
    rows = [(job.url[8], job.kind, job.field, job.is_healthy) for job in sandbox.altered_jobs()]
    assert sorted(rows) == [
        ("a", "sale", "price", True), ("b", "field_null", "price", False), ("b", "field_null", "price", False),
        ("b", "sale", "price", True),
    ]  # fmt: skip
    listed = control.get("/alterations", healthy="false").json()
    assert [row["job_id"] for row in listed] == [job.job_id for job in sandbox.altered_jobs(is_healthy=False)]
    assert {row["strategy"] for row in listed} == {"S"}
    assert {row["kind"] for row in control.get("/kinds").json()} == set(KINDS)
    runs = sandbox.world.schedules[schedule].jobs
    assert [bool(job.alterations) for job in runs if job.url[8] == "b"] == [False, False, True, True, *[False] * 3]


def test_alterations_given_at_the_start_concern_the_runs_after_its_history(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["newsroom"], days=1, alterations=["Newsroom headlines=html:headline:2"])
    assert sandbox.altered_jobs() == []
    before = len(sandbox.world.jobs)
    sandbox.advance(hours=3)
    broken = sandbox.altered_jobs()
    assert [job.kind for job in broken] == ["html", "html"]
    assert {job.job_id for job in broken} < {job.job_id for job in sandbox.world.jobs[before:]}


def test_inserted_jobs_can_be_altered_as_well(empty_sandbox: Sandbox) -> None:
    empty_sandbox.add_strategy("S", items=ITEMS)
    job = empty_sandbox.insert_job("S", alterations=[("fewer_items",), ("field_null", "price")])
    other = Calls(empty_sandbox, "/_sandbox").post(
        "/jobs", {"strategy": "S", "items": ITEMS[:2], "alterations": [["field_renamed", "price"]]}
    ).json()["job_id"]  # fmt: skip
    rows = [(row.job_id, row.kind, row.field) for row in empty_sandbox.altered_jobs(is_healthy=False)]
    assert rows == [(job, "fewer_items", ""), (job, "field_null", "price"), (other, "field_renamed", "price")]
    assert Calls(empty_sandbox).get(f"/jobs/{job}").json()["results"] == [{**i, "price": None} for i in ITEMS[:3]]
    renamed = Calls(empty_sandbox).get(f"/jobs/{other}").json()["results"][0]
    assert list(renamed) == ["price_2" if name == "price" else name for name in ITEMS[0]]
    with pytest.raises(SandboxError, match="no alteration is called"):
        empty_sandbox.insert_job("S", alterations=[("nope",)])


def test_a_lasting_alteration_stays(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["newsroom"])
    sandbox.alter("Newsroom headlines", "field_renamed", "byline", runs=None, after=3)
    sandbox.advance(hours=6)
    strategy = sandbox.world.find_strategy("Newsroom headlines")
    assert strategy is not None
    assert [bool(job.alterations) for job in strategy.jobs] == [False] * 3 + [True] * 9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("New books", "not of the form"),
        ("New books=field_nul:price", "did you mean field_null"),
        ("New books=field_null", "needs the name of a field"),
        ("New books=zero_items:price", "concerns no single field"),
        ("New books=sale:price:0", "not of the form"),
        ("=zero_items", "not of the form"),
    ],
)
def test_a_wrong_alteration_is_refused_in_words(text: str, reason: str) -> None:
    with pytest.raises(SandboxError, match=reason):
        parse_order(text)


def test_an_alteration_of_nothing_is_refused(empty_sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="nor the name of a strategy with schedules"):
        empty_sandbox.alter("Nobody", "zero_items")


def test_the_breaking_shop_breaks_in_every_way_and_has_every_healthy_event(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["breakingshop"], days=60)
    found = sandbox.altered_jobs()
    expected = {(owner, run.kind, run.field) for owner, runs in ALTERED.items() for run in runs}
    expected |= {(owner, alteration.kind, alteration.field) for owner, alteration, *_ in RHYTHMS}
    assert {(job.strategy, job.kind, job.field) for job in found} == expected
    assert {job.kind for job in found} == set(KINDS)
    for strategy in sandbox.world.strategies.values():
        early = [job for job in strategy.jobs[:10] if any(not KINDS[a.kind].is_healthy for a in job.alterations)]
        assert early == []
        assert sum(job.strategy_id == strategy.strategy_id and not job.is_healthy for job in found) >= 2


def test_every_broken_job_of_the_breaking_shop_can_be_seen_to_be_broken(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["breakingshop"], days=60)
    world = sandbox.world
    for broken in sandbox.altered_jobs(is_healthy=False):
        job = world.jobs_by_id[broken.job_id]
        content, place = world.content(job), world.strategies[job.strategy_id].jobs.index(job)
        before = world.content(world.strategies[job.strategy_id].jobs[place - 1])
        assert content.text != before.text
        assert bool(content.items) == (broken.kind not in ("zero_items", "null_results")), broken
        assert (content.item_count == len(content.items)) == (broken.kind != "wrong_count"), broken


def test_an_altered_job_differs_from_the_page_as_its_field_says(make_sandbox: Make) -> None:
    world = make_sandbox(worlds=["breakingshop"], days=16).world
    strategy = world.find_strategy("Lamps in pounds")
    assert strategy is not None
    for job in strategy.jobs:
        fields = {alteration.field for alteration in job.alterations if alteration.field}
        if job.status == "completed" and fields and all(a.field for a in job.alterations):
            sound = json.loads(strategy.page.content(visit_of(job)).text)
            items = json.loads(world.content(job).text)
            changed = {k for old, new in zip(sound, items, strict=True) for k in old if old[k] != new[k]}
            assert changed == fields


def test_the_flaky_shop_breaks_in_every_way_within_five_days(make_sandbox: Make) -> None:
    sandbox = make_sandbox(worlds=["flakyshop"], days=5)
    jobs = sandbox.world.jobs
    broken = sandbox.altered_jobs(is_healthy=False)
    assert {(job.kind, job.field) for job in broken} == {(kind, field) for kind, field, _ in FLAKY}
    assert not {job.job_id for job in broken} & {job.job_id for job in jobs[:SOUND_RUNS]}
    assert 0.05 < len(broken) / len(jobs) < 0.2
    failed = [job for job in jobs if job.status == "failed"]
    assert 0.03 < len(failed) / len(jobs) < 0.15
    assert all(job.error for job in failed)


def test_the_altered_jobs_are_the_same_however_time_passes(make_sandbox: Make) -> None:
    once, often = make_sandbox(worlds=["breakingshop"]), make_sandbox(worlds=["breakingshop"])
    once.advance(days=8)
    for _ in range(16):
        often.advance(hours=12)
    assert once.altered_jobs() == often.altered_jobs()
    assert all(isinstance(job, AlteredJob) for job in once.altered_jobs())
    some = [job.job_id for job in once.altered_jobs()][::3]
    assert [once.world.content(once.world.jobs_by_id[key]) for key in some] == [
        often.world.content(often.world.jobs_by_id[key]) for key in some
    ]
