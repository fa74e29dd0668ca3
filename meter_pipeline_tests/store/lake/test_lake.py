"""The lake: files are written once, and the parts that count hold each job once, whatever was done and undone."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meter_pipeline.store.errors import DamagedError, LakeError
from meter_pipeline.store.lake import draft, part_files
from meter_pipeline.store.lake.draft import choose_to_merge
from meter_pipeline.store.lake.lake import RAW, Lake
from meter_pipeline.store.lake.windows import Window, merge, row_groups
from meter_pipeline.store.parts import Part, PartsChange
from meter_pipeline.store.times import iso

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


class Shelf:
    """A strategy of a lake with its manifest, which a commit replaces."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.parts: dict[str, Part] = {}
        self.draft = lake.draft("s", [], "ledger")

    def put(self, *jobs: tuple[str, float, int], text: str = "x", merge: bool = True) -> PartsChange:
        """Adds jobs in one commit."""
        self.draft.append("raw", rows(*jobs, text=text))
        return self.commit(merge=merge)

    def commit(self, *, merge: bool = True) -> PartsChange:
        """Makes what was written count."""
        if merge:
            self.draft.merge()
        change = self.draft.change()
        for name in change.removed:
            del self.parts[name]
        self.parts |= {part.name: part for part in change.added}
        self.draft.settle()
        return change

    def read(self, *columns: str, windows: list[Window] | None = None) -> pa.Table:
        """The rows that count."""
        return self.lake.part_set("s", self.parts.values()).read("raw", columns or None, windows=windows)

    def counts(self) -> dict[str, int]:
        """Items by job."""
        return dict(Counter(self.read("job_id")["job_id"].to_pylist()))

    def path(self, part: Part) -> Path:
        """The file of a part."""
        return Path(self.lake.files.url, part.name)

    def jobs_of(self, part: Part) -> list[str]:
        """The jobs of a part, in the order of its rows."""
        found = pq.read_table(self.path(part), columns=["job_id"], partitioning=None)["job_id"].to_pylist()
        return [job_id for job_id, _ in groupby(found)]

    def files(self) -> set[str]:
        """Names of all Parquet files."""
        root = Path(self.lake.files.url)
        return {path.relative_to(root).as_posix() for path in root.rglob("*.parquet")}


@pytest.fixture
def shelf(lake: Lake) -> Shelf:
    """An empty strategy."""
    return Shelf(lake)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and row groups that are full after a few jobs."""
    monkeypatch.setattr(part_files, "PART_BYTES", 3_000)
    monkeypatch.setattr(draft, "PART_BYTES", 3_000)
    monkeypatch.setattr(part_files, "ROW_GROUP_ROWS", 7)


def test_a_part_is_described_as_it_is(shelf: Shelf) -> None:
    change = shelf.put(("late", 40, 1), ("b", 1, 2))
    (part,) = change.added
    assert re.fullmatch(r"raw/strategy=s/ledger-[0-9a-f]{24}\.parquet", part.name)
    assert (part.table, part.rows, part.bytes) == ("raw", 3, shelf.path(part).stat().st_size)
    assert (part.first_at, part.last_at) == ("2026-03-03T06:00:00.000000Z", "2026-04-11T06:00:00.000000Z")
    assert change.months == {"raw": {"2026-03", "2026-04"}}
    assert shelf.jobs_of(part) == ["b", "late"]


def test_files_are_never_written_again_and_their_names_never_used_again(shelf: Shelf) -> None:
    shelf.put(("a", 0, 3))
    before = {name: Path(shelf.lake.files.url, name).read_bytes() for name in shelf.files()}
    shelf.draft.remove("raw", {"a": "2026-03-02T06:00:00.000000Z"})
    shelf.put(("a", 0, 3), text="again")
    assert shelf.counts() == {"a": 3}
    assert {name: Path(shelf.lake.files.url, name).read_bytes() for name in before} == before
    assert len(shelf.files()) == 2


def test_rows_of_a_load_make_one_file_together_with_small_files_that_are_there(shelf: Shelf) -> None:
    for number in range(40):
        shelf.put((f"job-{number:02}", 40 - number, 5))
    (part,) = shelf.parts.values()
    assert shelf.jobs_of(part) == [f"job-{number:02}" for number in reversed(range(40))]
    assert shelf.counts() == {f"job-{number:02}": 5 for number in range(40)}


def test_what_is_merged_touches_no_month(shelf: Shelf) -> None:
    for number in range(3):
        shelf.put((f"job-{number}", number, 5), merge=False)
    assert len(shelf.parts) == 3
    change = shelf.commit(merge=True)
    assert (len(change.added), len(change.removed), change.months) == (1, 3, {})


@given(sizes=st.lists(st.integers(1, 10**7), max_size=400))
def test_the_number_of_parts_and_how_often_a_row_is_written_grow_with_the_logarithm(sizes: list[int]) -> None:
    parts: list[Part] = []
    written = 0
    for number, size in enumerate(sizes):
        merged = choose_to_merge(parts, size)
        total = size + sum(part.bytes for part in merged)
        written += total
        parts = [part for part in parts if part not in merged]
        parts.append(Part(f"{number}", "raw", 1, total, "", "", ""))
    unfinished = [part for part in parts if part.bytes < part_files.PART_BYTES]
    assert sum(part.bytes for part in parts) == sum(sizes)
    assert len(unfinished) <= 13
    steps = 2 + math.log2(max(sum(sizes), 2))
    assert written <= (sum(sizes) + 32 * 2**10 * len(sizes)) * steps


SCALARS = st.sampled_from([pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC"), pa.date32()])
TYPES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
        st.lists(inner, min_size=1, max_size=3).map(lambda kinds: pa.struct(zip("abc", kinds, strict=False))),
    ),
    max_leaves=6,
)


@given(st.lists(TYPES, min_size=1, max_size=4))
def test_a_schema_has_the_same_digest_once_it_was_read_back_from_a_file(types: list[pa.DataType]) -> None:
    schema = pa.schema(zip("abcd", types, strict=False))
    file = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), file)
    read = pq.read_schema(pa.BufferReader(file.getvalue()))
    assert part_files.digest_schema(read) == part_files.digest_schema(schema)


def test_parts_that_are_written_again_without_a_job_keep_their_schema_also_with_lists(lake: Lake) -> None:
    listed = rows(("a", 0, 5), ("b", 1, 5)).append_column("tags", pa.array([["x"]] * 10, pa.list_(pa.string())))
    draft = lake.draft("s", [], "ledger")
    for job_id in "ab":
        draft.append("raw", listed.filter(pa.compute.equal(listed["job_id"], job_id)))
        draft.of("raw")
    draft.append("raw", rows(("c", 2, 5), ("d", 3, 5)).append_column("tags", listed["tags"]))
    draft.of("raw")
    draft.remove("raw", {"d": iso_of(3)})
    added = draft.change().added
    assert [part.rows for part in added] == [5, 5, 5]
    assert len({part.schema for part in added}) == 1


DAYS = st.integers(-40, 400)


@pytest.mark.usefixtures("small_parts")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_steps_leave_the_rows_that_count_and_no_other_files(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shelf = Shelf(Lake.open(str(tmp_path_factory.mktemp("lake"))))
    expected: dict[str, tuple[float, int]] = {}
    for step in range(data.draw(st.integers(1, 8), label="steps")):
        after = dict(expected)
        kind = data.draw(st.sampled_from(["append", "large", "remove", "replace"]), label="kind")
        if kind in ("append", "large"):
            count = data.draw(st.integers(1, 6)) if kind == "append" else 1
            jobs = [(f"{step}-{n}", data.draw(DAYS), data.draw(st.integers(1, 30))) for n in range(count)]
            if kind == "append":
                shelf.draft.append("raw", rows(*jobs))
            else:
                whole = rows(*jobs)
                shelf.draft.write("raw", [whole.slice(start, 4) for start in range(0, len(whole), 4)], RAW)
            after |= {job: (days, items) for job, days, items in jobs}
        elif kind == "remove" and expected:
            gone = data.draw(st.sets(st.sampled_from(sorted(expected)), min_size=1))
            shelf.draft.remove("raw", {job: iso_of(expected[job][0]) for job in gone})
            after = {job: found for job, found in expected.items() if job not in gone}
        elif kind == "replace":
            kept = {job: iso_of(days) for job, (days, _) in expected.items() if data.draw(st.booleans())}
            batches = (pa.Table.from_batches([batch]) for batch in shelf.draft.scan("raw", kept))
            shelf.draft.replace("raw", batches, RAW)
            after = {job: found for job, found in expected.items() if job in kept}
        if data.draw(st.booleans(), label="fails"):
            shelf.draft.discard()
        else:
            change = shelf.commit(merge=data.draw(st.booleans(), label="merges"))
            touched = {job for job in {*expected, *after} if expected.get(job) != after.get(job)}
            months = {iso_of((expected.get(job) or after[job])[0])[:7] for job in touched}
            assert months <= set((change.months or {}).get("raw", ()))
            expected = after
        assert shelf.counts() == {job: items for job, (_, items) in expected.items()}
        jobs_in_parts = [job for part in shelf.parts.values() for job in shelf.jobs_of(part)]
        assert len(jobs_in_parts) == len(set(jobs_in_parts))
        assert all(
            part.first_at <= iso_of(expected[job][0]) <= part.last_at
            for part in shelf.parts.values()
            for job in shelf.jobs_of(part)
        )
        assert set(shelf.parts) <= shelf.files()


def iso_of(days: float) -> str:
    """The time of a job of `rows`."""
    return str(iso(START + timedelta(days=days)))


@given(
    days=st.lists(DAYS, min_size=1, max_size=12, unique=True),
    asked=st.lists(st.tuples(st.integers(-60, 420), st.integers(0, 45)), max_size=3),
    merges=st.booleans(),
)
def test_windows_of_time_bring_the_rows_in_them_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], asked: list[tuple[int, int]], merges: bool
) -> None:
    shelf = Shelf(Lake.open(str(tmp_path_factory.mktemp("lake"))))
    for day in days:
        shelf.put((f"day{day}", day, 1), merge=merges)
    spans = merge(Window(START + timedelta(days=day), START + timedelta(days=day + length)) for day, length in asked)
    read = shelf.read("job_id", windows=spans)["job_id"].to_pylist()
    assert sorted(read) == sorted(
        f"day{day}" for day in days if any(first <= day < first + length for first, length in asked)
    )
    assert shelf.read(windows=spans).schema == RAW


def test_files_and_row_groups_outside_of_a_window_are_not_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "ROW_GROUP_ROWS", 2)
    shelf.put(*[(f"march{day}", day, 2) for day in range(5)])
    shelf.put(("april", 40, 1), merge=False)
    march, april = sorted(shelf.parts.values(), key=lambda part: part.first_at)
    shelf.path(april).write_bytes(b"no Parquet")
    day = Window(START + timedelta(days=1), START + timedelta(days=2))
    assert row_groups(pq.read_metadata(shelf.path(march)), "completed_at", [day]) == [1]
    assert shelf.read("job_id", windows=[day])["job_id"].to_pylist() == ["march1", "march1"]
    with pytest.raises(DamagedError, match=r"ledger-.*\.parquet is missing or damaged"):
        shelf.read()


@pytest.mark.usefixtures("small_parts")
def test_a_large_load_fills_parts_and_leaves_each_job_in_one(shelf: Shelf) -> None:
    jobs = [(f"job-{number:03}", number / 100, 1 + number % 40) for number in range(120)]
    whole = rows(*jobs)
    shelf.draft.write("raw", [whole.slice(start, 50) for start in range(0, len(whole), 50)], RAW)
    shelf.commit(merge=False)
    parts = sorted(shelf.parts.values(), key=lambda part: part.first_at)
    assert len(parts) > 3
    assert all(part.bytes >= 3_000 for part in parts[:-1])
    assert [job for part in parts for job in shelf.jobs_of(part)] == [job for job, _, _ in jobs]
    assert shelf.counts() == {job: items for job, _, items in jobs}


def test_wide_rows_make_row_groups_that_fit_into_memory(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_files, "ROW_GROUP_BYTES", 20_000)
    shelf.put(("a", 0, 50), text="y" * 5_000)
    (part,) = shelf.parts.values()
    metadata = pq.read_metadata(shelf.path(part))
    assert metadata.num_row_groups > 8
    assert shelf.counts() == {"a": 50}


def test_a_write_that_fails_leaves_no_file(shelf: Shelf) -> None:
    shelf.put(("a", 0, 3))
    before = shelf.files()

    def broken() -> Iterator[pa.Table]:
        yield rows(("big", 1, 70_000))
        raise RuntimeError("the connection broke")

    with pytest.raises(RuntimeError):
        shelf.draft.write("raw", broken(), RAW)
    shelf.draft.discard()
    assert shelf.files() == before
    assert shelf.counts() == {"a": 3}


def test_other_engines_read_the_same_rows_from_the_listed_files(shelf: Shelf) -> None:
    shelf.put(("a", 0, 3))
    shelf.put(("b", 40, 2), merge=False)
    ours = sorted(shelf.read("job_id", "item_index", "item").to_pylist(), key=str)
    files = [str(shelf.path(part)) for part in shelf.parts.values()]
    theirs = duckdb.sql(f"SELECT job_id, item_index, item FROM read_parquet({files}) WHERE strategy = 's'")
    assert sorted(theirs.to_arrow_table().to_pylist(), key=str) == ours
    frame = pd.concat([pd.read_parquet(file, columns=["item"]) for file in files])
    assert sorted(frame["item"]) == sorted(row["item"] for row in ours)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "within", "gone"])
def test_a_damaged_part_is_one_line_with_the_way_out(shelf: Shelf, damage: str) -> None:
    shelf.put(("a", 0, 3_000))
    (part,) = shelf.parts.values()
    path = shelf.path(part)
    whole = path.read_bytes()
    middle = len(whole) // 2
    content = {
        "cut": whole[:middle],
        "garbage": b"\xa5" * len(whole),
        "empty": b"",
        "within": whole[:100] + b"\xa5" * (middle - 100) + whole[middle:],
    }
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[damage])
    with pytest.raises(DamagedError) as raised:
        shelf.read()
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert "run `meter-pipeline sync --strategy s --again`" in str(raised.value)
    assert shelf.lake.part_set("s", [part]).find_damaged() == [part]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (b'{"version": 99}', "is of version 99, this program reads up to 3: upgrade it"),
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


def test_a_lake_that_cannot_be_read_is_not_called_damaged(lake: Lake) -> None:
    marker = Path(lake.files.url) / "lake.json"
    # The tests may run as root, whom no rights keep from reading.
    marker.unlink()
    marker.symlink_to(marker)
    with pytest.raises(LakeError) as raised:
        Lake.open(lake.files.url)
    assert str(marker) in str(raised.value)
    assert "damaged" not in str(raised.value)


def test_a_lake_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError) as raised:
        Lake.open(str(tmp_path / "file" / "lake"))
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "file") in str(raised.value)


def test_reading_what_is_not_there_gives_an_empty_table(lake: Lake) -> None:
    nobody = lake.part_set("nobody", [])
    assert nobody.read("raw").schema == RAW
    assert nobody.read("raw", ["job_id"]).column_names == ["job_id"]


def test_a_lake_behind_a_file_url_is_the_same_lake(shelf: Shelf) -> None:
    shelf.put(("a", 0, 3))
    other = Lake.open(f"file://{shelf.lake.files.url}")
    assert other.part_set("s", shelf.parts.values()).read("raw").num_rows == 3
