"""A delivery killed (`kill -9`) at any moment: the target holds one publication or the other, the next completes it.

`DELIVERIES` says how many are killed; 100 in `make slow`.
"""

from __future__ import annotations

import os
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path

from meter_pipeline.store.ledger.ledger import Ledger
from meter_pipeline.store.warehouse.build import roll_back
from meter_pipeline_tests.forking import PROCESSES, import_before_forks
from meter_pipeline_tests.store.warehouse.delivery.targets import Content, Target, quickly_on
from meter_pipeline_tests.store.warehouse.desk import APRIL, MARCH, Desk, Marts

_KILLS = int(os.environ.get("DELIVERIES", "4"))
import_before_forks(__name__)


def _deliver(target: Target, folder: Path, started: Connection) -> None:
    ledger = Ledger.open(str(folder / "ledger.sqlite"))
    started.send(None)
    target.deliver(ledger, folder / "warehouse.duckdb")
    started.send(None)


@quickly_on("postgresql")
def test_a_killed_delivery_leaves_one_publication_or_the_other(target: Target, desk: Desk) -> None:
    chance = random.Random(7)
    target.tables = ("results.*", "meter.jobs", "meter.item_changes", "marts.*")
    first = desk.publish(Marts())
    target.deliver(desk.ledger, desk.path)
    contents = [target.content()]
    # Another month of one table, new rows in a month of another, a new table, and a model that is built again.
    desk.load("books", "b2", APRIL, "a", "b", "c")
    desk.load("lamps", "l2", MARCH, *map(str, range(50)))
    desk.load("shoes", "s1", APRIL, "x")
    second = desk.publish(Marts(version="two"))
    began = time.monotonic()
    target.deliver(desk.ledger, desk.path)
    seconds = time.monotonic() - began
    contents.append(target.content())
    assert contents[0] != contents[1]
    for number in range(_KILLS):
        wanted = number % 2
        roll_back(desk.ledger, desk.path, (first, second)[wanted].publication_id)
        here, there = PROCESSES.Pipe()
        process = PROCESSES.Process(target=_deliver, args=(target, desk.path.parent, there))
        process.start()
        here.recv()
        here.poll(seconds * chance.uniform(0, 1.2))
        process.kill()
        process.join()
        assert _filled(target) in contents
        done = target.deliver(desk.ledger, desk.path)
        assert not done.notes
        assert target.content() == contents[wanted]


def _filled(target: Target) -> Content:
    """The tables that the target says it has: some create and drop tables outside of their transaction."""
    content = target.content()
    if target.kind not in ("bigquery", "snowflake", "databricks"):
        return content
    sql = "SELECT table_name FROM SCHEMA._meter_tables"
    if target.kind == "databricks":
        # It has those of the delivery before as well.
        sql += " WHERE delivery_id = (SELECT max_by(delivery_id, number) FROM SCHEMA._meter_deliveries)"
    return {name: content[name] for (name,) in target.ask(sql)}
