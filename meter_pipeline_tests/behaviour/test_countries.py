"""Real, uneven, nested records: 250 countries on several days, some left out, some edited; no value is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import countryinfo

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store import columns
from meter_pipeline_tests.behaviour.station import Station, assert_whole
from meter_pipeline_tests.store.survival import survives

DAYS = 3
JOBS_A_DAY = 5


def countries() -> list[dict[str, Any]]:
    """The records that come with the package."""
    folder = Path(countryinfo.__file__).parent / "data"
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def record(folder: Path) -> int:
    """Writes the countries as recordings: every day some are left out and others edited."""
    written = 0
    folder.mkdir()
    everything = countries()
    for day in range(DAYS):
        kept = [dict(country) for number, country in enumerate(everything) if (number + day) % 11]
        for number, country in enumerate(kept):
            if number % 7 == day:
                country["population"] = f"about {country.get('population')}" if day == 2 else 1.5
                country["Capital"] = country.pop("capital", None)
        for part in range(JOBS_A_DAY):
            header = {
                "strategy": "Countries", "url": f"https://countries.example/{part}", "schedule": "daily",
                "completed_at": f"2026-03-{2 + 3 * day:02}T06:00:{part:02}Z",
            }  # fmt: skip
            lines = [header, *kept[part::JOBS_A_DAY]]
            written += len(lines) - 1
            path = folder / f"{day}-{part}.jsonl"
            path.write_text("\n".join(json.dumps(line, ensure_ascii=part == 0) for line in lines), "utf-8")
    return written


def test_every_value_of_every_country_is_in_its_column(
    make_station: Callable[..., Station], make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    written = record(tmp_path / "recorded")
    assert len(countries()) > 240
    sandbox = make_sandbox(replay=tmp_path / "recorded")
    station = make_station(sandbox)
    report = station.sync()
    assert (report.jobs, report.exit_code, report.items) == (DAYS * JOBS_A_DAY, 0, written)
    assert_whole(station)
    (strategy,) = station.ledger.strategies()
    fields = columns.load(strategy.fields)
    order = [("job_id", "ascending"), ("item_index", "ascending")]
    raw = [json.loads(text) for text in station.read("raw", "countries").sort_by(order)["item"].to_pylist()]
    results = station.results("countries").sort_by([(f"_meter_{name}", how) for name, how in order])
    assert {field.name for field in fields} == {key for item in raw for key in item}
    assert [column.name for column in strategy.columns] == results.column_names[7:]
    for column, field in zip(strategy.columns, fields, strict=True):
        cells = results[column.name].to_pylist()
        for item, cell in zip(raw, cells, strict=True):
            assert survives(item.get(field.name), cell, field.type), (field.name, item.get(field.name), cell)
