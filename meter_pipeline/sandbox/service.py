"""The sandbox as one object: a world with its webhooks, its API and its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meter_pipeline.sandbox.altered import AlteredJob, alter, list_altered, parse_order
from meter_pipeline.sandbox.clock import START, Moment, parse_instant
from meter_pipeline.sandbox.faults import Faults
from meter_pipeline.sandbox.gate import Gate
from meter_pipeline.sandbox.replay import read_recordings, replay
from meter_pipeline.sandbox.webhooks import Courier
from meter_pipeline.sandbox.world import World
from meter_pipeline.sandbox.worlds import DEFAULT_WORLDS, add_worlds

API_KEY = "sk_live_sandbox"


class Service:
    """A world with its webhooks and its API; `reset` builds them again with the same options.

    Args:
        seed: the same seed makes the same jobs, ids and items.
        speed: virtual seconds per real second; 0 stands still.
        worlds: names of worlds; None for the default ones, or none of them where recordings are replayed.
        replay: a folder of recordings (see `meter_pipeline.sandbox.replay`).
        api_key: the only key that is accepted.
        faults: switches by name (see `meter_pipeline.sandbox.faults`).
        start: the first instant; by default a fixed time, or that of the latest recording.
        days: virtual days that have already passed at the start.
        alterations: texts such as `New books=field_null:price:3`, for the first runs after the start.
    """

    def __init__(
        self, *, seed: int = 7, speed: float = 0.0, worlds: Sequence[str] | None = None, replay: Path | None = None,
        api_key: str = API_KEY, faults: Mapping[str, Any] | None = None, start: Moment | None = None, days: float = 0,
        alterations: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._orders = [parse_order(text) for text in alterations]
        self._recordings = read_recordings(Path(replay)) if replay is not None else []
        self._worlds = tuple(worlds) if worlds is not None else () if self._recordings else DEFAULT_WORLDS
        self._seed, self._speed, self._days = seed, speed, days
        self._faults = dict(faults or {})
        latest = self._recordings[-1].completed_at if self._recordings else START
        self._start = latest if start is None else parse_instant(start)
        self.api_key = api_key
        self.world, self.courier = self._begin()
        self.gate = Gate(self.world, self.courier, api_key)

    def _begin(self) -> tuple[World, Courier]:
        faults = Faults()
        faults.update(self._faults)
        world = World(seed=self._seed, start=self._start, faults=faults)
        courier = Courier(world)
        world.on_finish = courier.post
        add_worlds(world, self._worlds)
        replay(world, self._recordings)
        world.advance(self._days * 86400)
        for order in self._orders:
            alter(world, order.strategy, order.alteration.kind, order.alteration.field, runs=order.runs)
        world.clock.speed = self._speed
        return world, courier

    def list_altered(self) -> list[AlteredJob]:
        """The jobs that are altered and completed, oldest first."""
        with self.world.lock:
            self.world.settle()
            return list(list_altered(self.world))

    def reset(self) -> None:
        """Rebuild the world as it was at the start."""
        self.courier.close()
        self.world, self.courier = self._begin()
        self.gate.world, self.gate.courier = self.world, self.courier
