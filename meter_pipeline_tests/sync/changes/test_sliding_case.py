"""A recorded listing of three pages over three days, newest first: one new advert a day pushes the others down."""

from __future__ import annotations

import json
from pathlib import Path

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, reading
from meter_pipeline_tests.behaviour.station import Station, assert_whole

_NEW = (("new1", "$50"), ("new2", "$60"))


def record(folder: Path) -> None:
    """Writes the nine jobs."""
    adverts = [{"id": f"a{n:02}", "title": f"Ad number {n}", "price": f"${100 + n}"} for n in range(30)]
    for day in range(3):
        if day:
            name, price = _NEW[day - 1]
            adverts.insert(0, {"id": name, "title": "Brand new ad", "price": price})
        if day == 2:
            adverts = [{**advert, "price": "$99"} if advert["id"] == "a08" else advert for advert in adverts]
        for page in range(3):
            header = {
                "strategy": "Listing",
                "url": f"https://ads.test/list?page={page + 1}",
                "completed_at": f"2026-03-0{day + 1}T06:0{page}:00Z",
                "schedule": "list",
            }
            lines = [header, *adverts[page * 10 : page * 10 + 10]]
            (folder / f"{day}{page}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_adverts_that_slide_to_the_next_page_have_neither_come_nor_gone(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    record(recordings)
    with Sandbox(replay=recordings, speed=0) as sandbox, Station(tmp_path, sandbox) as station:
        assert not station.sync().problems
        assert_whole(station)
        path = tmp_path / "warehouse.duckdb"
        publish(station.ledger, station.lake, path)
        with reading(path) as connection:
            changes = connection.execute(
                "SELECT kind, item_key, old_number, new_number FROM meter.item_changes ORDER BY ALL"
            ).fetchall()
            latest = connection.execute(
                "SELECT count(*), count(DISTINCT item_key), count(*) FILTER (is_current) FROM meter.item_versions "
                "WHERE is_latest"
            ).fetchone()
    assert changes == [
        ("added", "new1", None, None),
        ("added", "new2", None, None),
        ("changed", "a08", 108, 99),
        ("removed", "a28", None, None),
        ("removed", "a29", None, None),
    ]
    assert latest == (32, 32, 30)
