"""Alterations: what makes the scrape of a run differ from the page, and on which runs of a schedule.

An alteration is data: a kind, and the field that it concerns. Kinds that break a scrape are in
`meter_pipeline.sandbox.breaks`, odd but healthy events in `meter_pipeline.sandbox.events`. Plans of a schedule choose
the runs; each job keeps its alterations, so that a test can ask which jobs are broken, and how.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meter_pipeline.sandbox.content import Content, dump, from_items, read_json


@dataclass(frozen=True, slots=True)
class Alteration:
    """A kind of alteration and the dotted path of the field it concerns; `field` is empty for a whole scrape."""

    kind: str
    field: str = ""


@dataclass(slots=True)
class Scene:
    """A scrape that is being altered.

    `items` are parsed and may be changed in place. `visit(seconds, suffix)` returns the items of the page some seconds
    before, or those of another page of the same shape. `rng` is the same for the same job and alteration.
    """

    items: list[Any]
    field: str
    rng: random.Random
    visit: Callable[[float, str], list[Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What an alteration does. `change` returns the items in place of those of the scene, or a whole content."""

    name: str
    about: str
    change: Callable[[Scene], list[Any] | Content]
    needs_field: bool
    is_healthy: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """An alteration of `runs` runs from run `first` on (None: of all later ones), and again after each `every` runs."""

    alteration: Alteration
    first: int
    runs: int | None = 1
    every: int | None = None
    url: str | None = None  # None for all urls of the schedule

    def choose(self, run: int, url: str) -> Alteration | None:
        """The alteration of a run, counted from 0, on a url."""
        since = run - self.first
        if since < 0 or self.url not in (None, url):
            return None
        turn = since % self.every if self.every else since
        return self.alteration if self.runs is None or turn < self.runs else None


def change_content(
    content: Content, kind: Kind, field: str, seed: str, visit: Callable[[float, str], Content]
) -> Content:
    """The content after an alteration; an object around the list of items stays around it."""
    rng = random.Random(seed)  # noqa: S311
    scene = Scene(parse_items(content), field, rng, lambda ago, suffix: parse_items(visit(ago, suffix)))
    changed = kind.change(scene)
    if isinstance(changed, Content):
        return changed
    items = from_items(changed)
    whole = None if content.results is None else read_json(content.results)
    if isinstance(whole, dict) and len(whole) == 1:
        return Content(items.items, b"{" + dump(next(iter(whole))) + b":" + items.text + b"}")
    return items


def parse_items(content: Content) -> list[Any]:
    """The items as Python values."""
    return [read_json(item) for item in content.items]
