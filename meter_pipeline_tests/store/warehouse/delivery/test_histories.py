"""What a target holds equals the warehouse by value, after any history of loads, decisions and deliveries."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meter_pipeline.sandbox import Sandbox
from meter_pipeline.store.warehouse.build import publish, roll_back
from meter_pipeline.sync.loading.rebuild import asked, rekey
from meter_pipeline.sync.loading.release import release
from meter_pipeline.sync.loading.withdraw import hold
from meter_pipeline_tests.behaviour.station import Station, flagging
from meter_pipeline_tests.behaviour.thorough import TIMES
from meter_pipeline_tests.store.warehouse.delivery.targets import HEAVY_KINDS, KINDS, Target, expected
from meter_pipeline_tests.store.warehouse.desk import Marts

# Each shape comes in the first rounds; `make slow` has longer histories.
_ROUNDS = 6 if TIMES == 1 else 20

_NAMES = ("Alpha", "Beta", "A shop whose name is so long that PostgreSQL would cut it off")
# A field that comes, goes, widens, nests, and holds what some databases refuse.
_SHAPES: list[Callable[[int], dict[str, Any]]] = [
    lambda n: {"id": n, "price": 3 * n},
    lambda n: {"id": n, "price": n + 0.25, "Ünicode name": "„x“"},
    lambda n: {"id": n, "price": f"{n} €", "tags": ["a", None, n], "ok": n % 2 == 0},
    lambda n: {"id": n, "seller": {"name": f"s\0{n}", "back\\slash": "\\u0000", "since": None}},
    lambda n: {"id": n, "seller": {"name": f"s{n}", "since": 2001}, "text": 'a\0b,"c"\n\\N', "empty": ""},
    lambda n: {"id": n, "seller": "unknown", "big": 2**62 + n, "f" * 80: n, "half": "\ud83d"},
]


@pytest.mark.parametrize("kinds", [KINDS, pytest.param(HEAVY_KINDS, marks=pytest.mark.engines)], ids=["light", "heavy"])
@pytest.mark.parametrize("seed", range(TIMES))
def test_a_target_equals_the_warehouse_after_any_history(
    make_target: Callable[[str], Target],
    empty_sandbox: Sandbox,
    station: Station,
    tmp_path: Path,
    seed: int,
    kinds: tuple[str, ...],
) -> None:
    targets = [make_target(kind) for kind in kinds]
    chance = random.Random(seed)
    config, path, version = flagging(*_NAMES), tmp_path / "warehouse.duckdb", "one"
    for name in _NAMES:
        empty_sandbox.add_strategy(name, items=[])
    for round_ in range(_ROUNDS):
        _scrape(empty_sandbox, chance, round_)
        station.sync(config=config, reconcile=True)
        _decide(station, chance, config)
        if chance.random() < 0.2:
            version += "'"
        publish(station.ledger, station.lake, path, models=Marts(version=version))
        if chance.random() < 0.2 and round_:
            roll_back(station.ledger, path)
        wanted = expected(path)
        for target in targets:
            if chance.random() < 0.7:
                notes = target.deliver(station.ledger, path).notes
                assert not [note for note in notes if "is made again: " not in note]
                assert target.content() == wanted
    for target in targets:
        target.deliver(station.ledger, path)
        assert target.content() == wanted


def _scrape(sandbox: Sandbox, chance: random.Random, round_: int) -> None:
    newest = min(round_, len(_SHAPES) - 1)
    for place in range(chance.randrange(1 if round_ < len(_SHAPES) else 0, 4)):
        shape = _SHAPES[chance.randrange(newest + 1) if place else newest]
        items = [shape(number) for number in range(chance.randrange(4))]
        back = chance.choice((0, 0, 40 * 86400))
        sandbox.advance(hours=7)
        sandbox.insert_job(chance.choice(_NAMES), items=items, completed_at=sandbox.world.now - back)


def _decide(station: Station, chance: random.Random, config: Any) -> None:
    accepted, held = sorted(station.jobs("accepted")), sorted(station.jobs("held"))
    match chance.randrange(5):
        case 0 if accepted:
            hold(station.ledger, station.lake, [chance.choice(accepted)], "by hand", config)
        case 1 if held:
            release(station.ledger, station.lake, held, config)
        case 2:
            row = chance.choice(station.ledger.strategies())
            assert rekey(station.lake, station.ledger, row, asked(config, row, chance.choice(([], ["id"])), []))
