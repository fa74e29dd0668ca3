"""Slugs of strategies: made once from a strategy's name, stored in the ledger, and never changed.

A slug is a folder of the lake, a table of the warehouse, a part of an asset key and of a dbt model's name, so it is
made of `a-z`, `0-9` and `_` alone. Letters of other scripts are transliterated.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from anyascii import anyascii

from meter_pipeline.store import columns

_MAX_CHARACTERS = 60
_ID_CHARACTERS = 8
_NAMELESS = "strategy"


def make_slug(name: str | None, strategy_id: str, taken: Collection[str]) -> str:
    """Makes a slug for a new strategy: its name in snake case, with the beginning of its id if that is used or empty.

    Args:
        name: The strategy's name at Meter.
        strategy_id: The strategy's id.
        taken: Slugs of other strategies.
    """
    base = _snake(name)[:_MAX_CHARACTERS] if name else _NAMELESS
    if base != _NAMELESS and base not in taken:
        return base
    short = _snake(strategy_id.replace("-", ""))[:_ID_CHARACTERS]
    slug, number = f"{base}_{short}", 2
    while slug in taken:
        number += 1
        slug = f"{base}_{short}_{number}"
    return slug


def _snake(text: str) -> str:
    """Snake case in ASCII: letters of any script as they sound; emoji by name, where there is no letter or digit."""
    letters = "".join(map(_letter, text))
    if not any(map(str.isalnum, letters)):
        letters = "".join(map(_symbol, text))
    return columns.snake(letters)


def _letter(character: str) -> str:
    if character.isascii():
        return character
    if character.isalnum() or unicodedata.category(character).startswith("M"):
        # Without the marks that stand for sounds which Latin has no letter for.
        return anyascii(character).replace("'", "").replace("`", "")
    return " "


def _symbol(character: str) -> str:
    return character if character.isascii() else f" {anyascii(character)} "
