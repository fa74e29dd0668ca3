"""Worlds in which scrapes break in every known way, between odd but healthy events.

All of it is data: `ALTERED` says which strategy breaks or changes how, in which field, on which runs. The same plan is
repeated after `CYCLE` runs; what lasts, such as growth, begins once. `Sandbox.altered_jobs` lists the jobs.
"""

from __future__ import annotations

from typing import NamedTuple

from meter_pipeline.sandbox.alterations import Alteration, Plan
from meter_pipeline.sandbox.catalogues import CataloguePage, LampPage, MeterPage
from meter_pipeline.sandbox.kinds import make_alteration
from meter_pipeline.sandbox.pages import FlakyPage
from meter_pipeline.sandbox.world import World

#: Runs after which the broken runs of the breaking shop come again.
CYCLE = 60
#: Runs of the flaky shop before the first that breaks.
SOUND_RUNS = 12


class Run(NamedTuple):
    """An alteration of the `runs` runs from run `first` on; None for all later ones."""

    first: int
    kind: str
    field: str = ""
    runs: int | None = 1


#: By strategy, in order of runs. Runs 0 to 9 of each are sound, so that there is something to compare with.
ALTERED: dict[str, tuple[Run, ...]] = {
    "Lamps in pounds": (
        Run(10, "zero_items"), Run(14, "sale", "price", 3), Run(20, "field_null", "price"), Run(25, "reordered"),
        Run(28, "currency_mark", "price", 2), Run(34, "half_replaced", "", None), Run(40, "consent_text", "name"),
        Run(44, "fewer_items"), Run(48, "sold_out", "stock"), Run(51, "html", "name"), Run(56, "cents", "price"),
    ),
    "Lamps in euros": (
        Run(11, "equal_values", "name"), Run(15, "price_rise", "price"), Run(19, "wrong_locale", "price"),
        Run(24, "new_field", "delivery", None), Run(26, "turnover"), Run(29, "repeated_items"),
        Run(33, "other_element", "price"), Run(38, "growth", "", None), Run(43, "damaged_encoding", "name"),
        Run(47, "list_price", "price"), Run(50, "corrected_text", "name"), Run(53, "login_page"),
        Run(57, "field_missing", "rating"),
    ),
    "Lamps in dollars": (
        Run(10, "stale_page"), Run(15, "field_half_null", "price"), Run(20, "truncated_text", "name"),
        Run(25, "impossible_date", "listed_at"), Run(30, "swapped_date", "listed_at"),
        Run(35, "neighbour_value", "price"), Run(40, "whole_card", "name"), Run(45, "placeholder", "price"),
        Run(50, "converted", "price"), Run(55, "null_results"), Run(58, "other_script", "name"),
    ),
    "Gauges": (
        Run(12, "field_null", "site.operator"), Run(16, "counter_restart", "total"), Run(21, "shifted_columns"),
        Run(26, "cents", "price", 2), Run(32, "other_page"), Run(37, "number_as_text", "level"), Run(41, "error_page"),
        Run(46, "repeated_page"), Run(49, "value_as_list", "station"), Run(54, "wrong_count"),
        Run(58, "lost_letters", "station"),
    ),
    "Markets": (Run(13, "field_blank", "name"), Run(22, "sparse_items"), Run(30, "loading_text", "price"),
                Run(44, "consent_page")),
    "Night reports": (Run(22, "field_null", "total"), Run(34, "hundredth", "price"), Run(45, "equal_values", "level"),
                      Run(53, "field_renamed", "level"), Run(57, "negated", "price")),
}  # fmt: skip
#: Healthy events that come again after `every` runs: strategy, alteration, first run, runs, every.
RHYTHMS: tuple[tuple[str, Alteration, int, int, int], ...] = (
    ("Markets", Alteration("dip"), 4, 2, 7),
    ("Night reports", Alteration("empty_night"), 3, 1, 4),
)


def breakingshop(world: World) -> None:
    """Shops and gauges that break in every way, each a few times in sixty runs, with healthy events in between."""
    pages: dict[str, tuple[CataloguePage, int]] = {
        "Lamps in pounds": (LampPage(world.seed), 6 * 3600),
        "Lamps in euros": (LampPage(world.seed, places=36, form="{:.2f} €"), 6 * 3600),
        "Lamps in dollars": (LampPage(world.seed, places=60, form="US$ {:,.2f}"), 6 * 3600),
        "Gauges": (MeterPage(world.seed, places=40, life_days=400), 6 * 3600),
        "Markets": (LampPage(world.seed, places=45, life_days=12), 86400),
        "Night reports": (MeterPage(world.seed, places=12, life_days=9), 6 * 3600),
    }
    for name, (page, interval) in pages.items():
        address = f"https://{name.lower().replace(' ', '-')}.example/all"
        strategy = world.add_strategy(name, address, page=page, description=f"all of {name.lower()}")
        schedule = world.add_schedule(strategy.strategy_id, interval_seconds=interval)
        schedule.occasions += [
            Plan(alteration, first, runs, every) for owner, alteration, first, runs, every in RHYTHMS if owner == name
        ]
        schedule.occasions += [
            Plan(make_alteration(kind, field), first, runs, None if runs is None else CYCLE)
            for first, kind, field, runs in sorted(ALTERED[name], key=lambda run: run.runs is not None)
        ]


def oddpages(world: World) -> None:
    """Pages that are right although they are unlike others: tiny, never changing, or with other items every day."""
    seed = world.seed
    notice = [{"rule": "No deliveries on Sundays", "since": "2024-05-01"}]
    strategies = [
        world.add_strategy("House rules", "https://rules.example/", items=notice,
                           description="one item, never changed"),
        world.add_strategy("Lamp of the day", "https://day.example/", page=LampPage(seed, places=1, life_days=1.5),
                           description="one item, another one every day"),
        world.add_strategy("Three lamps", "https://three.example/", page=LampPage(seed, places=3, life_days=30),
                           description="three items"),
        world.add_strategy("Daily lamps", "https://daily.example/", page=LampPage(seed, places=50, life_days=1.6),
                           description="most items are others every day"),
        world.add_strategy("Fixed lamps", "https://fixed.example/", items=LampPage(seed).catalogue("fixed", 1.75e9),
                           description="a long list that never changes"),
    ]  # fmt: skip
    for strategy in strategies:
        world.add_schedule(strategy.strategy_id, interval_seconds=86400)


def flakyshop(world: World) -> None:
    """Offers whose scrape fails now and then, and breaks after every few runs, in another way each time."""
    offers = world.add_strategy("Flaky shop", "https://flaky.example/offers", page=FlakyPage(world.seed),
                                description="name, price and rating of every offer")  # fmt: skip
    schedule = world.add_schedule(offers.strategy_id, interval_seconds=3600, queue_seconds=15 * 60)
    schedule.occasions += [
        Plan(make_alteration(kind, field), SOUND_RUNS + turn * FLAKY_STEP, runs, every=len(FLAKY) * FLAKY_STEP)
        for turn, (kind, field, runs) in enumerate(FLAKY)
    ]


#: How the scrape of the flaky shop breaks, in this order: kind, field, runs.
FLAKY = (
    ("zero_items", "", 1), ("field_null", "price", 1), ("fewer_items", "", 1), ("currency_mark", "price", 2),
    ("login_page", "", 1), ("other_element", "price", 1), ("equal_values", "name", 1), ("html", "name", 1),
    ("repeated_items", "", 1), ("consent_text", "name", 1), ("wrong_count", "", 1), ("null_results", "", 1),
)  # fmt: skip
#: Runs from one breakage of the flaky shop to the next.
FLAKY_STEP = 7
