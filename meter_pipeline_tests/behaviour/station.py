"""A ledger, a lake and a client of a sandbox in one folder, and assertions that compare two of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meter_pipeline.api import MeterClient
from meter_pipeline.config.audit_rules import ALL, AuditConfig
from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.ledger.rows import JobRow
from meter_pipeline.store.parts import Part
from meter_pipeline.sync import SyncReport, sync


class Station:
    """Everything a sync needs, kept below `folder`. A context manager."""

    def __init__(self, folder: Path, sandbox: Sandbox, **client: Any) -> None:
        self.folder = folder
        self.ledger = Ledger.open(str(folder / "ledger.sqlite"))
        self.lake = Lake.open(str(folder / "lake"))
        settings = {"base_url": sandbox.url, "wait_scale": 0, "intents": self.ledger.intents, **client}
        self.client = MeterClient(settings.pop("api_key", sandbox.api_key), **settings)

    def __enter__(self) -> Station:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client and the ledger."""
        self.client.close()
        self.ledger.close()

    def sync(self, **options: Any) -> SyncReport:
        """Syncs."""
        return sync(self.client, self.ledger, self.lake, **options)

    @property
    def slugs(self) -> list[str]:
        """Every strategy's slug."""
        return [row.slug for row in self.ledger.strategies()]

    def slug(self, strategy_id: str) -> str:
        """One strategy's slug."""
        row = self.ledger.strategy(strategy_id)
        assert row is not None
        return row.slug

    def jobs(self, *states: str) -> dict[str, JobRow]:
        """Jobs by id."""
        return {row.job_id: row for row in self.ledger.jobs(states=states)}

    def parts(self, slug: str, table: str | None = None) -> list[Part]:
        """The parts of a strategy that count, of one table or of all."""
        return [part for part in self.ledger.parts_of(slug) if table in (None, part.table)]

    def read(self, table: str, slug: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of a strategy."""
        return self.lake.part_set(slug, self.parts(slug)).read(table, columns)

    def results(self, slug: str) -> pa.Table:
        """Typed rows of a strategy."""
        return self.read("results", slug)

    def files(self) -> dict[str, bytes]:
        """Every file of the lake with its bytes."""
        root = self.folder / "lake"
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    def rows(self) -> dict[tuple[str, str], Counter[str]]:
        """All rows of the lake as a multiset, by table and strategy."""
        return {
            (table, slug): Counter(json.dumps(row, sort_keys=True, default=str) for row in rows.to_pylist())
            for table in ("raw", "rejected", "results")
            for slug in self.slugs
            for rows in [self.read(table, slug)]
        }

    def schemas(self) -> dict[str, list[pa.Schema]]:
        """The distinct schemas of each strategy's results."""
        found: dict[str, list[pa.Schema]] = {}
        for slug in self.slugs:
            distinct = found.setdefault(slug, [])
            for part in self.parts(slug, "results"):
                schema = pq.read_schema(self.lake.files.source(part.name))
                if schema not in distinct:
                    distinct.append(schema)
        return found


def assert_whole(station: Station) -> None:
    """Each item of each loaded job is in raw or rejected exactly once, and those in raw of accepted ones in results."""
    jobs = station.jobs()
    loaded = {id_: row for id_, row in jobs.items() if row.state in ("accepted", "held")}
    accepted = {id_ for id_, row in jobs.items() if row.state == "accepted"}
    raw: Counter[tuple[str, int]] = Counter()
    rejected: Counter[tuple[str, int]] = Counter()
    results: Counter[tuple[str, int]] = Counter()
    for slug in station.slugs:
        raw.update(_pairs(station.read("raw", slug, ["job_id", "item_index"])))
        rejected.update(_pairs(station.read("rejected", slug, ["job_id", "item_index"])))
        results.update(_pairs(station.read("results", slug, ["_meter_job_id", "_meter_item_index"])))
    received = {id_: (row.items or 0) + (row.rejected or 0) for id_, row in loaded.items()}
    assert raw + rejected == {(id_, index): 1 for id_, count in received.items() for index in range(count)}
    assert Counter(id_ for id_, _ in rejected) == {id_: row.rejected for id_, row in loaded.items() if row.rejected}
    assert results == {(id_, index): 1 for id_, index in raw if id_ in accepted}
    assert all(len(schemas) <= 1 for schemas in station.schemas().values())
    for slug in station.slugs:
        assert all(part.rows > 0 for part in station.parts(slug))
    changes = Counter(
        job_id for slug in station.slugs for job_id in station.read("changes", slug)["job_id"].to_pylist()
    )
    assert changes == {id_: row.changes for id_, row in jobs.items() if row.state == "accepted" and row.changes}


def assert_equal(left: Station, right: Station) -> None:
    """Two stations hold the same rows in columns of the same names and types."""
    assert left.schemas() == right.schemas()
    assert left.rows() == right.rows()
    assert {id_: (row.state, row.items, row.rejected or 0) for id_, row in left.jobs().items()} == {
        id_: (row.state, row.items, row.rejected or 0) for id_, row in right.jobs().items()
    }


def _pairs(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def flagging(*strategies: str) -> Config:
    """A `meter.yaml` by which the audit holds no job of some strategies: what is odd about them is meant."""
    lenient = StrategyConfig(audit=AuditConfig(flag=frozenset({ALL})))
    return Config(strategies=dict.fromkeys(strategies, lenient))


def insert_drifting(sandbox: Sandbox, count: int = 40, names: Sequence[str] = ("Alpha", "Beta")) -> list[str]:
    """Jobs of two strategies whose fields come, go and change their type from job to job; returns their ids."""
    shapes: list[Any] = [
        lambda n: {"id": n, "price": 3 * n + 7},
        lambda n: {"id": n, "price": 3 * n + 7.5},
        lambda n: {"id": n, "Price": f"{n} €", "tags": ["a", n]},
        lambda n: {"id": n, "price": "sold out", "seller": {"name": f"s{n}", "since": None}},
        lambda n: {"id": n, "seller": {"name": f"s{n}", "Name": 5 * n, "since": 2001}},
        lambda n: {"id": n, "ID": f"no. {n}", "month": "May", "tags": []},
        lambda n: {"id": n, "seller": "unknown", "tags": [{"t": n}]},
        lambda n: {"id": 2**60 + n, "": None},
    ]
    ids = []
    for name in names:
        sandbox.add_strategy(name, items=[])
    for number in range(count):
        shape = shapes[number // len(names) % len(shapes)]
        ids.append(
            sandbox.insert_job(
                names[number % len(names)],
                items=[shape(number * 10 + k) for k in range(1 + number % 4)],
                completed_at=sandbox.world.now - 60 * number,
            )
        )
    return ids
