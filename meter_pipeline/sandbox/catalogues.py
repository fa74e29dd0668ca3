"""Catalogues with several kinds of fields, for worlds in which scrapes break or odd things happen.

Each has a number of places; what stands in a place is replaced after some weeks, so that a few items come and go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content, Visit, from_items
from meter_pipeline.sandbox.pages import DAY, SoundPage, noise, pick, wobble

_MAKERS = ("Åkerlund", "Brøndum", "Čapek & Fils", "Dupré", "Engström", "Fürst", "Gómez", "Hakkı")
_THINGS = ("desk lamp", "floor lamp", "wall clock", "oak stool", "copper kettle", "wool rug", "brass hook", "linen set")
_FINISHES = ("in sand grey", "with brass foot", "for small rooms", "of recycled glass", "in moss green", "limited run")
_PLACES = ("Łódź", "Aarhus", "Málaga", "Graz", "Cork", "Tartu", "Besançon", "Gävle")


@dataclass(frozen=True)
class CataloguePage(SoundPage):
    """A list of some sort: `offer` makes an item of its place, number and the instant."""

    places: int = 48
    life_days: float = 40.0

    def content(self, visit: Visit) -> Content:
        """The items in their order on the page."""
        return from_items(self.catalogue(visit.url, visit.at))

    def catalogue(self, url: str, at: float) -> list[dict[str, Any]]:
        """The items of a url at an instant."""
        items = []
        for place in range(self.places):
            life = self.life_days * DAY * (0.5 + noise(self.seed, url, place, "life"))
            turn = int((at + life * noise(self.seed, url, place, "begin")) // life)
            if noise(self.seed, url, place, int(at // (3 * DAY)), "away") >= 0.03:
                items.append(self.offer(f"{url}/{place}/{turn}", place, at))
        return items

    def offer(self, key: str, place: int, at: float) -> dict[str, Any]:
        """An item; `key` is that of the thing itself."""
        raise NotImplementedError


@dataclass(frozen=True)
class LampPage(CataloguePage):
    """Goods with prices as texts, in a form such as `£{:,.2f}`."""

    form: str = "£{:,.2f}"

    def offer(self, key: str, place: int, at: float) -> dict[str, Any]:
        """An item; `key` is that of the thing itself."""
        seed, number = self.seed, int(10**6 * noise(self.seed, key))
        price = wobble(seed, key, 20 + 2400 * noise(seed, key, "price") ** 2, at, days=6)
        thing, finish = pick(_THINGS, seed, key, "thing"), pick(_FINISHES, seed, key, "finish")
        return {
            "article": f"{thing[:2].upper()}-{number:06d}", "name": f"{pick(_MAKERS, seed, key)} {thing} {finish}",
            "price": self.form.format(price), "rating": f"{2.5 + 2.5 * noise(seed, key, 'rating'):.1f} of 5",
            "reviews": int(400 * noise(seed, key, "reviews") ** 2 + (at - 1.7e9) / DAY * noise(seed, key, "busy")),
            "stock": "Sold out" if noise(seed, key, int(at // (2 * DAY)), "stock") < 0.1 else "In stock",
            "listed_at": format_instant(1.7e9 + int(60 * 10**5 * noise(seed, key, "listed")) // 60 * 60),
            "link": f"https://made.example/things/{number}",
        }  # fmt: skip


@dataclass(frozen=True)
class MeterPage(CataloguePage):
    """Stations with numbers: a level, a running total and a nested place."""

    def offer(self, key: str, place: int, at: float) -> dict[str, Any]:
        """An item; `key` is that of the thing itself."""
        seed = self.seed
        return {
            "station": f"{pick(_PLACES, seed, key)} {place + 1}",
            "site": {"operator": pick(_MAKERS, seed, key, "operator"), "height": int(900 * noise(seed, key, "height"))},
            "level": wobble(seed, key, 80 + 300 * noise(seed, key, "level"), at, days=0.8),
            "total": int((at - 1.7e9) / 3600 * (1 + 9 * noise(seed, key, "flow"))),
            "price": round(wobble(seed, key + "p", 1 + 2 * noise(seed, key, "tariff"), at, days=9), 2),
            "checked_on": format_instant(at // DAY * DAY),
            "note": pick(("calibrated", "new sensor", None, None), seed, key, int(at // (8 * DAY))),
        }  # fmt: skip
