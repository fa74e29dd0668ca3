"""Worlds that test which item is which, and what a value is: listings over several pages, variants, two currencies.

Every page here has a `catalogue`: the items that exist at an instant, each once, whatever the scrape shows of them.
`KEYS` names a field that identifies them; `Sandbox.catalogue` reads the catalogue for a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from meter_pipeline.sandbox.catalogues import LampPage
from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content, Visit, from_items
from meter_pipeline.sandbox.pages import DAY, HOUR, SoundPage, noise, pick, wobble
from meter_pipeline.sandbox.world import World

_FRAMES = ("Kestrel", "Ōtaka", "Milan noir", "Sperber", "Habicht", "Faucon", "Czajka", "Rossignol")
_USES = ("touring bike", "city bike", "gravel bike", "cargo bike", "folding bike", "tandem")
_SIZES = ("XS", "S", "M", "L", "XL")
_COLOURS = ("red", "olive", "sand", "black")

#: A field that identifies the items of a strategy (there may be others); None where only the url does.
KEYS: dict[str, str | None] = {
    "Classified adverts": "advert", "Bikes with variants": "model", "Bikes in two shops": "article",
    "Bikes by currency": "article", "Single products": None, "Promoted lamps": "article", "Wrapped lamps": "article",
}  # fmt: skip


@dataclass(frozen=True)
class AdvertPage(SoundPage):
    """Adverts, newest first, over several pages of `size` items: what is new pushes the others to later pages."""

    pages: int = 5
    size: int = 12

    def content(self, visit: Visit) -> Content:
        """The adverts of the page that the url names: `?page=1` and so on."""
        number = int(parse_qs(urlsplit(visit.url).query).get("page", ["1"])[0])
        return from_items(self.catalogue(visit.url, visit.at)[(number - 1) * self.size : number * self.size])

    def catalogue(self, url: str, at: float) -> list[dict[str, Any]]:
        """The adverts of all pages together, newest first."""
        latest = int(at / HOUR)
        alive = [number for number in range(latest, latest - 24 * 8, -1) if self._is_listed(number, at)]
        return [self._advert(number, at) for number in alive[: self.pages * self.size]]

    def _is_listed(self, number: int, at: float) -> bool:
        posted = (number + noise(self.seed, number, "posted")) * HOUR
        return posted <= at < posted + DAY * (0.2 + 7 * noise(self.seed, number, "life") ** 2)

    def _advert(self, number: int, at: float) -> dict[str, Any]:
        key = f"advert {number}"
        price = wobble(self.seed, key, 30 + 400 * noise(self.seed, key), at, days=4)
        return {"advert": f"A{number}", "title": f"{pick(_USES, self.seed, key)}, {pick(_COLOURS, self.seed, key, 2)}",
                "price": f"{price:.0f} €", "posted_at": format_instant(float(number * HOUR))}  # fmt: skip


@dataclass(frozen=True)
class VariantPage(SoundPage):
    """Bikes with a list of variants and a list of tags; variants come, go and stand in another order each day."""

    bikes: int = 14

    def content(self, visit: Visit) -> Content:
        """One item per bike."""
        return from_items(self.catalogue(visit.url, visit.at))

    def catalogue(self, url: str, at: float) -> list[dict[str, Any]]:
        """The bikes, in order of their number."""
        return [self._bike(f"{url}/{number}", number, at) for number in range(self.bikes)]

    def _bike(self, key: str, number: int, at: float) -> dict[str, Any]:
        seed, day = self.seed, int(at // DAY)
        variants = []
        for size in _SIZES:
            if noise(seed, key, size, int(at // (9 * DAY)), "made") < 0.7:
                base = 400 + 900 * noise(seed, key)
                price = wobble(seed, f"{key}/{size}", base, at, days=3)
                stock = int(6 * noise(seed, key, size, int(at // (2 * DAY)), "stock"))
                variants.append({"id": number * 10 + _SIZES.index(size), "size": size, "price": price, "stock": stock})
        variants.sort(key=lambda variant: noise(seed, key, variant["id"], day, "order"))
        tags = sorted(colour for colour in _COLOURS if noise(seed, key, colour, int(at // (6 * DAY))) < 0.5)
        return {"model": f"M-{number + 200}", "name": f"{_FRAMES[number % 8]} {_USES[number % 6]}",
                "variants": variants, "tags": tags}  # fmt: skip


@dataclass(frozen=True)
class BikePage(LampPage):
    """Bikes whose prices are written as the url's country or the parameter `currency` has it."""

    places: int = 24

    def content(self, visit: Visit) -> Content:
        """One item per bike, of the same bikes for all currencies."""
        currency = str((visit.parameters or {}).get("currency") or ("EUR" if visit.url.endswith("/de") else "GBP"))
        items = self.catalogue(visit.url, visit.at)
        return from_items([{**item, "price": write_price(item["price"], currency)} for item in items])

    def catalogue(self, url: str, at: float) -> list[dict[str, Any]]:
        """The bikes, with prices as numbers, in pounds."""
        items = super().catalogue(url.rpartition("/")[0], at)
        return [
            {**item, "name": self._name(item["article"]), "price": float(item["price"].replace(",", "")[1:])}
            for item in items
        ]

    def _name(self, article: str) -> str:
        frame, use, colour = (pick(words, self.seed, article) for words in (_FRAMES, _USES, _COLOURS))
        return f"{frame} {use}, {colour}"


def write_price(pounds: float, currency: str) -> str:
    """A price in pounds as it is written in a currency's country: GBP, EUR or PLN."""
    if currency == "GBP":
        return f"£{pounds:,.2f}"
    rate, group, mark = (1.15, ".", "€") if currency == "EUR" else (5.05, "\u00a0", "zł")
    return f"{pounds * rate:,.2f}".translate({ord(","): group, ord("."): ","}) + f"\u00a0{mark}"


@dataclass(frozen=True)
class ProductPage(LampPage):
    """The page of a single product: one item, with nothing in it that identifies it."""

    def content(self, visit: Visit) -> Content:
        """The one item."""
        return from_items(self.catalogue(visit.url, visit.at))

    def catalogue(self, url: str, at: float) -> list[dict[str, Any]]:
        """The one item."""
        item = self.offer(url, 0, at)
        return [{name: item[name] for name in ("name", "price", "rating", "reviews", "stock")}]


@dataclass(frozen=True)
class PromotedPage(LampPage):
    """Lamps of which some stand on top a second time, with a badge; others every day."""

    def content(self, visit: Visit) -> Content:
        """The promoted copies, then all lamps."""
        items = self.catalogue(visit.url, visit.at)
        day = int(visit.at // DAY)
        promoted = [item for item in items if noise(self.seed, item["article"], day, "promoted") < 0.06]
        return from_items([{**item, "badge": "Sponsored"} for item in promoted[:3]] + items)


@dataclass(frozen=True)
class WrappedPage(LampPage):
    """Lamps inside one item, as an API answers: `[{"products": [...], "total": 48}]`."""

    def content(self, visit: Visit) -> Content:
        """The one item around all lamps."""
        items = self.catalogue(visit.url, visit.at)
        return from_items([{"products": items, "total": len(items), "currency": "GBP"}])


def sliding(world: World) -> None:
    """A listing over five pages: what is new pushes the others on to the next page."""
    urls = [f"https://adverts.example/bikes?page={number}" for number in range(1, 6)]
    _add(world, "Classified adverts", urls, AdvertPage(world.seed), 3 * 3600)


def variants(world: World) -> None:
    """Products with lists of variants: prices move inside the list, and its order means nothing."""
    _add(world, "Bikes with variants", ["https://bikes.example/models"], VariantPage(world.seed), 6 * 3600)


def currencies(world: World) -> None:
    """The same bikes in two shops, and on one url by parameter, in pounds, euros and złoty as these are written."""
    site = "https://bikes.example"
    _add(world, "Bikes in two shops", [f"{site}/gb", f"{site}/de"], BikePage(world.seed), 6 * 3600)
    by_parameter = world.add_strategy("Bikes by currency", f"{site}/all", page=BikePage(world.seed),
                                      description="the bikes, with prices in a currency")  # fmt: skip
    for currency in ("GBP", "PLN"):
        world.add_schedule(by_parameter.strategy_id, interval_seconds=6 * 3600, parameters={"currency": currency})


def products(world: World) -> None:
    """Pages of a single product each, and nothing that identifies it but its url."""
    urls = [f"https://things.example/p/{number}" for number in range(101, 113)]
    _add(world, "Single products", urls, ProductPage(world.seed), 6 * 3600)


def promoted(world: World) -> None:
    """A list in which a few items stand twice, others every day."""
    _add(world, "Promoted lamps", ["https://lamps.example/all"], PromotedPage(world.seed), 6 * 3600)


def wrapped(world: World) -> None:
    """A list inside its only item."""
    _add(world, "Wrapped lamps", ["https://lamps.example/api/all"], WrappedPage(world.seed), 6 * 3600)


def _add(world: World, name: str, urls: Sequence[str], page: SoundPage, interval: int) -> None:
    strategy = world.add_strategy(name, urls[0], page=page, description=name.lower())
    several = list(urls) if len(urls) > 1 else None
    world.add_schedule(strategy.strategy_id, url=urls[0], urls=several, interval_seconds=interval)
