"""The four default worlds' pages: a bookshop, a job board, a newsroom, and a shop whose scrape sometimes fails.

A page is a pure function of seed, url, parameters and instant. Nothing is simulated step by step: the price of a
book at an instant follows from the instant alone, so any run of any day can be produced independently.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from meter_pipeline.sandbox.clock import format_instant
from meter_pipeline.sandbox.content import Content, Visit, from_items

HOUR, DAY = 3600, 86400

_FIRST = (
    "Tide", "Salt", "Ember", "Winter", "Paper", "Glass", "Harbour", "Copper", "Silent", "Northern",
    "Hollow", "Crooked", "Velvet", "Forgotten", "Amber", "Marble", "Wild", "Second", "Small", "Burning",
)  # fmt: skip
_SECOND = (
    "Tables", "Road", "Orchard", "Letters", "Clocks", "Rivers", "Ledger", "Gardens", "Maps", "Bridges",
    "Almanac", "Songs", "Kitchen", "Lanterns", "Archive", "Islands", "Engines", "Weather", "Fires", "Names",
)  # fmt: skip
_PEOPLE = ("Ada Quist", "Björn Åkesson", "Chidi Obi", "Daria Novák", "Eun-ji Park", "Fatima Zahra", "Goran Ilić",
           "Hélène Roux", "Ivo Blažek", "Jun Takeda")  # fmt: skip
_CITIES = (("Lisbon", "Portugal"), ("Tallinn", "Estonia"), ("Graz", "Austria"), ("Łódź", "Poland"),
           ("Cork", "Ireland"), ("Zürich", "Switzerland"), ("Málaga", "Spain"), ("Aarhus", "Denmark"))  # fmt: skip
_TRADES = ("Data Engineer", "Site Reliability Engineer", "Bookbinder", "Analytics Engineer", "Technical Writer",
           "Product Designer", "Baker", "Backend Developer", "Machinist", "Translator")  # fmt: skip
_TAGS = ("python", "sql", "remote", "part-time", "senior", "junior", "dagster", "night shift", "on-site", "dbt")
_FIRMS = ("Nordlicht", "Quayside Works", "Perpetua", "Kestrel & Sons", "Ōmi Labs", "Brightwater", "Fjord Data")
_TOPICS = ("Harbour", "Council", "Library", "Tramline", "Market", "Observatory", "Theatre", "River", "University")
_EVENTS = ("reopens after repairs", "announces new opening hours", "raises prices again", "wins a prize",
           "delays its plans", "asks for volunteers", "counts its visitors", "closes for the winter")  # fmt: skip


@lru_cache(maxsize=1 << 17)
def noise(*parts: object) -> float:
    """A number in [0, 1) that is always the same for the same parts."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def pick(options: tuple[Any, ...], *parts: object) -> Any:
    """An option, always the same for the same parts."""
    return options[int(noise(*parts) * len(options))]


def wobble(seed: int, name: str, base: float, at: float, days: float) -> float:
    """A price around `base` that moves by up to 15 % every few days; the hours differ by `name`."""
    period = days * DAY * (0.6 + 0.8 * noise(seed, name, "period"))
    step = int((at + period * noise(seed, name, "phase")) // period)
    return round(base * (0.85 + 0.3 * noise(seed, name, step)) * 20) / 20


@dataclass(frozen=True)
class SoundPage:
    """A page that can always be scraped."""

    seed: int

    def error(self, visit: Visit) -> str | None:
        """None: the scrape never fails."""
        return None

    def content(self, visit: Visit) -> Content:
        """The content of the scrape."""
        raise NotImplementedError


@dataclass(frozen=True)
class BookPage(SoundPage):
    """Books: prices move, titles stay, some sell out for a while. `typed` has the types of an output schema."""

    books: int = 40
    typed: bool = False

    def content(self, visit: Visit) -> Content:
        """One item per book."""
        shelf = visit.url.rsplit("/", 1)[-1]
        return from_items([self._book(shelf, number, visit.at) for number in range(self.books)])

    def _book(self, shelf: str, number: int, at: float) -> dict[str, Any]:
        key = f"{shelf}/{number}"
        base = 6 + 34 * noise(self.seed, key, "price")
        price = wobble(self.seed, key, base, at, days=3)
        week = int((at + 7 * DAY * noise(self.seed, key, "restock")) // (2 * DAY))
        sold_out = noise(self.seed, key, "stock", week) < 0.12
        title = f"{_FIRST[(number * 7 + len(shelf)) % 20]} {_SECOND[(number * 3 + number // 20 * 11) % 20]}"
        author = pick(_PEOPLE, self.seed, key, "author")
        if self.typed:
            stock = 0 if sold_out else 1 + int(30 * noise(self.seed, key, "left", week))
            return {"isbn": f"978{int(noise(self.seed, key) * 10**10):010d}", "title": title, "author": author,
                    "price": price, "stock": stock, "available": not sold_out,
                    "formats": ["hardback", "ebook"] if number % 3 else ["paperback"]}  # fmt: skip
        return {"title": title, "author": author, "price": f"€{price:.2f}",
                "availability": "Sold out" if sold_out else "In stock",
                "link": f"https://books.example/{shelf}/{number + 1}"}  # fmt: skip


@dataclass(frozen=True)
class PostingPage(SoundPage):
    """Job postings that come and go; `wrapped` puts the array under a key, as an API's answer."""

    wrapped: bool = False

    def content(self, visit: Visit) -> Content:
        """The postings open at the instant, newest first."""
        region = (visit.parameters or {}).get("region", "eu")
        newest = int(visit.at // (2 * HOUR))
        open_now = [number for number in range(newest, newest - 72, -1) if self._is_open(number, visit.at)]
        items = [orjson.dumps(self._posting(number, region)) for number in open_now]
        results = b'{"listings":[' + b",".join(items) + b"]}" if self.wrapped else None
        return Content(items, results)

    def _is_open(self, number: int, at: float) -> bool:
        posted = (number + noise(self.seed, number, "posted")) * 2 * HOUR
        return posted <= at < posted + DAY * (0.5 + 5 * noise(self.seed, number, "life"))

    def _posting(self, number: int, region: str) -> dict[str, Any]:
        seed = self.seed
        city, country = pick(_CITIES, seed, number, "city")
        firm = pick(_FIRMS, seed, number, "firm")
        low = 28000 + 500 * int(90 * noise(seed, number, "salary"))
        tags = sorted({pick(_TAGS, seed, number, "tag", turn) for turn in range(3)})
        salary = {"min": low, "max": int(low * 1.3), "currency": "EUR"}
        return {"reference": f"{region.upper()}-{number}", "title": pick(_TRADES, seed, number, "trade"),
                "company": {"name": firm, "location": {"city": city, "country": country}}, "tags": tags,
                "salary": salary if noise(seed, number, "says") < 0.8 else None,
                "posted_at": format_instant(float(number * 2 * HOUR))}  # fmt: skip


@dataclass(frozen=True)
class SectionPage(SoundPage):
    """A content strategy's page: sections of heading, level and text that are rewritten every few hours or days."""

    sections: int = 8

    def content(self, visit: Visit) -> Content:
        """One item per section."""
        items = []
        for number in range(self.sections):
            period = DAY * (0.3 + 2 * noise(self.seed, visit.url, number, "period"))
            version = int(visit.at // period)
            topic = _TOPICS[(number + len(visit.url)) % len(_TOPICS)]
            event = pick(_EVENTS, self.seed, visit.url, number, version)
            person = pick(_PEOPLE, self.seed, visit.url, number, version, "who")
            text = (
                f"The {topic.lower()} {event}. “We had expected it,” says {person}.\nMore in edition {version % 1000}."
            )
            items.append({"heading": f"{topic} news", "level": 1 + number % 3, "content": text})
        return from_items(items)


@dataclass(frozen=True)
class HeadlinePage(SoundPage):
    """The newest twenty headlines; a new one every 50 minutes."""

    def content(self, visit: Visit) -> Content:
        """One item per headline, newest first."""
        newest = int(visit.at // 3000)
        return from_items([self._headline(number) for number in range(newest, newest - 20, -1)])

    def _headline(self, number: int) -> dict[str, Any]:
        topic, event = pick(_TOPICS, self.seed, number), pick(_EVENTS, self.seed, number, "event")
        return {"headline": f"{topic} {event}", "byline": pick(_PEOPLE, self.seed, number, "by"),
                "published_at": format_instant(float(number * 3000)),
                "link": f"https://news.example/{number}"}  # fmt: skip


@dataclass(frozen=True)
class FlakyPage:
    """A shop of thirty offers, of which one scrape in twelve fails."""

    seed: int

    def error(self, visit: Visit) -> str | None:
        """Why the scrape fails, or None."""
        if noise(self.seed, visit.url, visit.at, "failed") >= 0.085:
            return None
        reasons = ("Target answered 503", "Navigation timed out after 30000 ms", "Selector .offer matched nothing")
        return str(pick(reasons, self.seed, visit.at))

    def content(self, visit: Visit) -> Content:
        """One item per offer."""
        return from_items([self._offer(number, visit) for number in range(30)])

    def _offer(self, number: int, visit: Visit) -> dict[str, Any]:
        key = f"{visit.url}/{number}"
        price = wobble(self.seed, key, 3 + 90 * noise(self.seed, key), visit.at, days=2)
        name = f"{_SECOND[number % 20]} no. {number + 1}"
        offer = {"sku": f"FS-{number + 100}", "name": name, "price": f"${price:,.2f}"}
        return offer | ({"rating": f"{3 + 2 * noise(key):.1f} of 5"} if number % 4 else {})
