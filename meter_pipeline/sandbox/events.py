"""Odd but healthy events: scrapes that are right although they look unlike the ones before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meter_pipeline.sandbox.alterations import Kind, Scene
from meter_pipeline.sandbox.item_values import change_values, scale
from meter_pipeline.sandbox.pages import noise, pick

_SUFFIX = "/autumn"
_NEW = ("free", "standard", "express")


def _sell_off(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: scale(value, 0.7))


def _raise_all(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: scale(value, 1.05))


def _thin(items: list[Any], share: float) -> list[Any]:
    """A share of the items, the same ones in every run."""
    return [item for item in items if noise("thinned", _label(item)) < share]


def _label(item: Any) -> Any:
    return next(iter(item.values()), "") if isinstance(item, dict) else item


def _replace_half(scene: Scene) -> list[Any]:
    return _thin(scene.items, 0.5) + _thin(scene.visit(0.0, _SUFFIX), 0.5)


def _turn_over(scene: Scene) -> list[Any]:
    """The items that stay are those that any other run would keep; the new ones are of this run alone."""
    return _thin(scene.items, 0.4) + _thin(scene.visit(0.0, f"/run-{scene.rng.randrange(10**6)}"), 0.6)


def _grow(scene: Scene) -> list[Any]:
    return scene.items + _thin(scene.visit(0.0, _SUFFIX), 0.6)


def _add_field(scene: Scene) -> list[Any]:
    for item in scene.items:
        if isinstance(item, dict):
            # The same for the same item in every run.
            item[scene.field] = pick(_NEW, scene.field, _label(item))
    return scene.items


def _reorder(scene: Scene) -> list[Any]:
    scene.rng.shuffle(scene.items)
    return scene.items


def _dip(scene: Scene) -> list[Any]:
    return _thin(scene.items, 0.6)


def _empty(scene: Scene) -> list[Any]:
    return []


def _sell_out(scene: Scene) -> list[Any]:
    def sold(value: Any) -> Any:
        return type(value)(0) if isinstance(value, (bool, int, float)) else "Sold out"

    return change_values(scene.items, scene.field, sold)


def _restart(scene: Scene) -> list[Any]:
    """The counter began at zero a short while ago."""
    return change_values(scene.items, scene.field, lambda value: scale(value, 0.02))


def _capitalize_some(scene: Scene) -> list[Any]:
    def capitalize(value: Any) -> Any:
        return value.upper() if isinstance(value, str) and scene.rng.random() < 0.2 else value

    return change_values(scene.items, scene.field, capitalize)


_WHOLE: dict[str, tuple[str, Callable[[Scene], list[Any]]]] = {
    "half_replaced": ("half of the items are others", _replace_half),
    "turnover": ("three fifths of the items are others", _turn_over),
    "growth": ("three fifths more items", _grow),
    "reordered": ("the items in another order", _reorder),
    "dip": ("three fifths of the items, as on a weekend", _dip),
    "empty_night": ("no items, as on every night", _empty),
}
_OF_A_FIELD: dict[str, tuple[str, Callable[[Scene], list[Any]]]] = {
    "sale": ("30 % off every amount", _sell_off),
    "price_rise": ("5 % on every amount", _raise_all),
    "new_field": ("a field that was not there", _add_field),
    "sold_out": ("nothing is in stock", _sell_out),
    "counter_restart": ("a running total starts again", _restart),
    "corrected_text": ("a few texts in other capitals", _capitalize_some),
}

EVENTS: dict[str, Kind] = {
    name: Kind(name, about, change, needs_field, is_healthy=True)
    for kinds, needs_field in ((_WHOLE, False), (_OF_A_FIELD, True))
    for name, (about, change) in kinds.items()
}
