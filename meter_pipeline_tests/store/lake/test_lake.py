"""The lake: whole jobs are replaced, parts are bounded, and any glob over the files is right at any moment."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake import files, part_files
from meter_pipeline.store.lake.lake import RAW, Lake
from meter_pipeline.store.lake.windows import Window, merge, row_groups

START = datetime(2026, 3, 2, 6, tzinfo=timezone.utc)


def rows(*jobs: tuple[str, float, int], text: str = "x") -> pa.Table:
    """Rows of `raw` for jobs given as id, days after the start, and number of items."""
    return pa.Table.from_pylist(
        [
            {
                "job_id": job_id, "schedule_id": None, "url": "https://x.example", "item_index": index,
                "item": f'{{"job":"{job_id}","n":{index},"t":"{text}"}}', "completed_at": START + timedelta(days=days),
            }
            for job_id, days, count in jobs
            for index in range(count)
        ],
        schema=RAW,
    )  # fmt: skip


def put(lake: Lake, *jobs: tuple[str, float, int], thorough: bool = False, text: str = "x") -> None:
    """Puts jobs into `raw`."""
    lake.replace("raw", "s", rows(*jobs, text=text), {job[0] for job in jobs}, thorough=thorough)


def counts(lake: Lake) -> dict[str, int]:
    """Items by job."""
    return dict(Counter(lake.read("raw", "s")["job_id"].to_pylist()))


def content(lake: Lake) -> dict[str, bytes]:
    """Every file with its bytes."""
    root = Path(lake.files.url)
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def owners(lake: Lake) -> dict[str, set[str]]:
    """The parts each job has rows in."""
    found: dict[str, set[str]] = {}
    for name in lake.parts("raw", "s"):
        for job_id in pq.read_table(f"{lake.files.url}/{name}", columns=["job_id"], partitioning=None)[
            "job_id"
        ].to_pylist():
            found.setdefault(job_id, set()).add(name)
    return found


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that close after two or three small jobs."""
    monkeypatch.setattr(part_files, "PART_UNPACKED_BYTES", 700)


@pytest.mark.parametrize("thorough", [True, False])
def test_replacing_a_job_by_itself_changes_no_byte(lake: Lake, thorough: bool) -> None:
    put(lake, ("a", 0, 3), ("b", 1, 2), ("c", 40, 1))
    before = content(lake)
    put(lake, ("b", 1, 2), ("c", 40, 1), thorough=thorough)
    assert content(lake) == before


def test_rows_lie_by_month_and_in_order_of_time_job_and_item(lake: Lake) -> None:
    put(lake, ("late", 40, 1), ("b", 1, 2))
    put(lake, ("a", 1, 2), ("early", 0, 1))
    assert lake.parts("raw") == [
        "raw/strategy=s/month=2026-03/part-00000.parquet",
        "raw/strategy=s/month=2026-04/part-00000.parquet",
    ]
    read = lake.read("raw", "s", ["job_id", "item_index"])
    assert list(zip(*read.to_pydict().values(), strict=True)) == [
        ("early", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 1), ("late", 0)
    ]  # fmt: skip


@settings(deadline=None)
@given(
    days=st.lists(st.integers(-40, 400), min_size=1, max_size=12, unique=True),
    asked=st.lists(st.tuples(st.integers(-60, 420), st.integers(0, 45)), max_size=3),
    part_rows=st.integers(1, 4),
)
def test_windows_of_time_bring_the_rows_in_them_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], asked: list[tuple[int, int]], part_rows: int
) -> None:
    lake = Lake.open(str(tmp_path_factory.mktemp("lake")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_files, "PART_ROWS", part_rows)
        for day in days:
            put(lake, (f"day{day}", day, 1))
    spans = merge(Window(START + timedelta(days=day), START + timedelta(days=day + length)) for day, length in asked)
    read = lake.read("raw", "s", ["job_id"], windows=spans)["job_id"].to_pylist()
    assert sorted(read) == sorted(
        f"day{day}" for day in days if any(first <= day < first + length for first, length in asked)
    )
    assert lake.read("raw", "s", windows=spans).schema == RAW


def test_files_and_row_groups_outside_of_a_window_are_not_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "ROW_GROUP_ROWS", 2)
    put(lake, *[(f"march{day}", day, 2) for day in range(5)], ("april", 40, 1))
    march, april = lake.parts("raw", "s")
    Path(lake.files.url, april).write_bytes(b"no Parquet")
    day = Window(START + timedelta(days=1), START + timedelta(days=2))
    assert row_groups(pq.read_metadata(Path(lake.files.url, march)), "completed_at", [day]) == [1]
    assert lake.read("raw", "s", ["job_id"], windows=[day])["job_id"].to_pylist() == ["march1", "march1"]
    with pytest.raises(LakeError, match="2026-04"):
        lake.read("raw", "s")


def test_the_order_of_arrival_leaves_no_trace_while_a_month_is_one_part(lake: Lake, tmp_path: Path) -> None:
    other = Lake.open(str(tmp_path / "other"))
    jobs = [("a", 0, 3), ("b", 1, 2), ("c", 2, 1), ("d", 3, 4)]
    for job in jobs:
        put(lake, job)
    put(other, jobs[3], jobs[1])
    put(other, jobs[2], jobs[0])
    assert content(lake) == content(other)


@pytest.mark.usefixtures("small_parts")
def test_a_job_never_straddles_two_parts_and_closed_parts_stay_as_they_are(lake: Lake) -> None:
    for number in range(12):
        put(lake, (f"job-{number:02}", number / 10, 5))
        before = content(lake)
        closed = lake.parts("raw", "s")[:-1]
    put(lake, ("job-99", 2, 5))
    assert len(closed) >= 3
    assert all(content(lake)[name] == before[name] for name in closed)
    assert all(len(parts) == 1 for parts in owners(lake).values())
    assert counts(lake) == {f"job-{number:02}": 5 for number in [*range(12), 99]}


@pytest.mark.usefixtures("small_parts")
def test_a_late_job_goes_into_the_open_part_of_its_month(lake: Lake) -> None:
    for number in range(12):
        put(lake, (f"job-{number:02}", number, 5))
    put(lake, ("next-month", 40, 5))
    put(lake, ("late", 0.5, 5))
    assert owners(lake)["late"] == {sorted(name for name in lake.parts("raw", "s") if "2026-03" in name)[-1]}
    assert counts(lake)["late"] == 5


@pytest.mark.usefixtures("small_parts")
def test_a_job_in_a_closed_part_is_replaced_when_looked_for_thoroughly(lake: Lake) -> None:
    for number in range(9):
        put(lake, (f"job-{number}", number, 5))
    put(lake, ("job-0", 0, 2), thorough=True, text="again")
    assert counts(lake) == {"job-0": 2, **{f"job-{number}": 5 for number in range(1, 9)}}
    assert all(len(parts) == 1 for parts in owners(lake).values())


@pytest.mark.usefixtures("small_parts")
def test_a_job_whose_time_has_moved_to_another_month_leaves_the_old_one(lake: Lake) -> None:
    for number in range(6):
        put(lake, (f"job-{number}", number, 5))
    put(lake, ("job-0", 60, 5), thorough=True)
    assert owners(lake)["job-0"] == {"raw/strategy=s/month=2026-05/part-00000.parquet"}
    assert counts(lake)["job-0"] == 5


def test_a_job_without_rows_is_taken_out(lake: Lake) -> None:
    put(lake, ("a", 0, 3), ("b", 1, 2))
    lake.replace("raw", "s", RAW.empty_table(), {"a"}, thorough=True)
    assert counts(lake) == {"b": 2}


def test_a_job_too_large_for_memory_is_a_part_of_its_own(lake: Lake) -> None:
    put(lake, ("a", 0, 3), ("big", 1, 7))
    pieces = [rows(("big", 1, 20)).slice(start, 10) for start in (0, 10)]
    name = lake.write_job("raw", "s", "2026-03-03T06:00:00.000000Z", "big", iter(pieces))
    assert name == "raw/strategy=s/month=2026-03/part-00001.parquet"
    assert counts(lake) == {"a": 3, "big": 20}
    assert owners(lake)["big"] == {name}
    assert lake.read("raw", "s", jobs=["big"])["item_index"].to_pylist() == list(range(20))
    assert lake.write_job("raw", "s", "2026-03-03T06:00:00.000000Z", "big", iter([])) is None
    assert counts(lake) == {"a": 3}


def test_a_rewrite_takes_the_place_of_the_old_files_at_its_end(lake: Lake) -> None:
    put(lake, ("a", 0, 3), ("b", 40, 2))
    wide = RAW.append(pa.field("n", pa.int64()))
    seen: list[dict[str, int]] = []

    def widened(name: str) -> Any:
        table = pq.read_table(f"{lake.files.url}/{name}", partitioning=None)
        seen.append(counts(lake))
        yield table.append_column("n", pa.array([1] * table.num_rows))

    lake.rewrite("raw", "s", [(name, widened(name)) for name in lake.parts("raw", "s")], wide)
    assert seen == [{"a": 3, "b": 2}] * 2
    assert counts(lake) == {"a": 3, "b": 2}
    assert lake.read("raw", "s").column_names[-1] == "n"
    assert not (Path(lake.files.url) / ".old" / "raw" / "strategy=s").exists()
    lake.rewrite("raw", "s", [(name, iter([])) for name in lake.parts("raw", "s")], wide)
    assert lake.parts("raw", "s") == []


def test_what_a_killed_writer_left_is_never_read_and_swept_away(lake: Lake) -> None:
    put(lake, ("a", 0, 3))
    root = Path(lake.files.url)
    half = root / "raw/strategy=s/month=2026-03/.part-00000.parquet.0a1b2c3d"
    half.write_bytes(b"PAR1 half")
    staged = root / ".staged/results/strategy=s/month=2026-03/part-00000.parquet"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(b"PAR1 half")
    assert counts(lake) == {"a": 3}
    lake.sweep("s")
    assert not half.exists()
    assert not staged.exists()
    assert counts(lake) == {"a": 3}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(lake: Lake) -> None:
    put(lake, ("a", 0, 3))
    before = content(lake)

    def broken() -> Iterator[pa.Table]:
        yield rows(("big", 1, 40_000))
        raise RuntimeError("the connection broke")

    with pytest.raises(RuntimeError):
        lake.write_job("raw", "s", "2026-03-03T06:00:00.000000Z", "big", broken())
    assert content(lake) == before


def test_other_engines_read_the_same_rows_by_a_plain_glob(lake: Lake) -> None:
    put(lake, ("a", 0, 3), ("b", 40, 2))
    ours = lake.read("raw", "s").to_pydict()
    glob = f"{lake.files.url}/raw/*/*/*.parquet"
    theirs = duckdb.sql(f"SELECT * EXCLUDE (strategy, month) FROM '{glob}' ORDER BY completed_at, job_id, item_index")
    assert theirs.to_arrow_table().cast(RAW).to_pydict() == ours
    assert duckdb.sql(f"SELECT DISTINCT strategy, month FROM '{glob}' ORDER BY month").fetchall() == [
        ("s", "2026-03"), ("s", "2026-04")
    ]  # fmt: skip
    frame = pd.read_parquet(f"{lake.files.url}/raw")
    assert sorted(frame["item"]) == sorted(ours["item"])


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_part_is_one_line_with_the_way_out(lake: Lake, damage: str) -> None:
    put(lake, ("a", 0, 300))
    path = Path(lake.files.url) / lake.parts("raw", "s")[0]
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"\xa5" * len(whole), "empty": b""}[damage])
    for attempt in (lambda: lake.read("raw", "s"), lambda: put(lake, ("b", 1, 1))):
        with pytest.raises(LakeError) as raised:
            attempt()
        assert "\n" not in str(raised.value)
        assert str(path) in str(raised.value)
        assert "delete it and run" in str(raised.value)


def test_a_part_damaged_in_its_data_is_one_line(lake: Lake) -> None:
    put(lake, ("a", 0, 3_000))
    path = Path(lake.files.url) / lake.parts("raw", "s")[0]
    whole = bytearray(path.read_bytes())
    whole[100 : len(whole) // 2] = b"\xa5" * (len(whole) // 2 - 100)
    path.write_bytes(whole)
    with pytest.raises(LakeError) as raised:
        lake.read("raw", "s")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (b'{"version": 99}', "is of version 99, this program reads up to 1: upgrade it"),
        (b"no json", "is damaged: delete it if the lake is one of ours"),
        (b"[]", "is damaged: delete it if the lake is one of ours"),
    ],
)
def test_a_lake_of_another_version_is_refused_in_one_line(lake: Lake, marker: bytes, message: str) -> None:
    (Path(lake.files.url) / "lake.json").write_bytes(marker)
    with pytest.raises(LakeError) as raised:
        Lake.open(lake.files.url)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_lake_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError) as raised:
        Lake.open(str(tmp_path / "file" / "lake"))
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "file") in str(raised.value)


def test_reading_what_is_not_there_gives_an_empty_table(lake: Lake) -> None:
    assert lake.read("raw", "nobody").schema == RAW
    assert lake.read("raw", "nobody", ["job_id"]).column_names == ["job_id"]


def test_a_lake_behind_a_file_url_is_the_same_lake(lake: Lake) -> None:
    put(lake, ("a", 0, 3))
    assert counts(Lake.open(f"file://{lake.files.url}")) == {"a": 3}


@pytest.mark.parametrize("together", [True, False], ids=["in one step", "where the system cannot"])
def test_a_rewritten_table_replaces_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    if not together:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    lake = Lake.open(str(tmp_path / "lake"))
    for number in range(3):
        rows = pa.table({"x": [number] * 10})
        lake.rewrite(
            "changes", "s", [(f"raw/strategy=s/month=2026-0{number + 1}/part-00000.parquet", [rows])], rows.schema
        )
        (name,) = lake.parts("changes", "s")
        assert name == f"changes/strategy=s/month=2026-0{number + 1}/part-00000.parquet"
        assert pq.read_table(tmp_path / "lake" / name, partitioning=None) == rows
    assert not list((tmp_path / "lake").glob(".old/**/*.parquet"))
    assert not list((tmp_path / "lake").glob(".staged/**/*.parquet"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets folders change places")
def test_a_reader_finds_a_table_while_it_is_rewritten(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    rows = pa.table({"x": [1] * 10})
    parts = [("raw/strategy=s/month=2026-01/part-00000.parquet", [rows])]
    lake.rewrite("changes", "s", parts, rows.schema)
    file = tmp_path / "lake/changes/strategy=s/month=2026-01/part-00000.parquet"
    done = threading.Event()
    missed = []

    def search() -> None:
        while not done.is_set():
            if not file.exists():
                missed.append(1)

    searching = threading.Thread(target=search)
    searching.start()
    for _ in range(100):
        lake.rewrite("changes", "s", parts, rows.schema)
    done.set()
    searching.join()
    assert not missed


def test_a_part_is_closed_by_its_rows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "PART_ROWS", 10)
    lake = Lake.open(str(tmp_path / "lake"))
    for number in range(8):
        lake.replace("raw", "s", rows((f"job {number}", number / 100, 4)), {f"job {number}"}, thorough=False)
    assert [pq.read_metadata(tmp_path / "lake" / name).num_rows for name in lake.parts("raw", "s")] == [12, 12, 8]
    # Jobs that come before those that are there stand before them.
    lake.replace("raw", "s", rows(("job early", 0.065, 1)), {"job early"}, thorough=False)
    last = pq.read_table(tmp_path / "lake" / lake.parts("raw", "s")[-1], partitioning=None)
    assert list(dict.fromkeys(last["job_id"].to_pylist())) == ["job 6", "job early", "job 7"]
