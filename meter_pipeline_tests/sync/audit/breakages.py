"""Broken scrapes of many kinds, made from the items of a right one: what the audit has to see.

A breakage takes a `Scene` and returns the items that a broken scrape of it brings, or None where the list cannot break
in this way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from meter_pipeline_tests.sync.audit import written_numbers
from meter_pipeline_tests.sync.audit.list_making import Item
from meter_pipeline_tests.sync.audit.scenes import (
    CURRENCY,
    ISO,
    Breakage,
    Scene,
    change,
    get,
    has_number,
    is_amount,
    is_filled,
    is_link,
    is_number,
    is_text,
    is_wordy,
    least,
    of_objects,
    on_a_field,
    on_all_texts,
    paths_of,
    put,
)

# -- the whole


def _single(**values: Any) -> Breakage:
    """One item with the list's fields, all empty but one."""

    def spoil(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
        item = dict.fromkeys(items[0])
        first = next(iter(item))
        return [item | {first: values["text"]}]

    return of_objects(spoil)


def _elsewhere(scene: Scene, items: list[dict[str, Any]]) -> list[Item]:
    """Things of another list in this list's fields."""
    rows = [list(item.values()) if isinstance(item, dict) else [item] for item in scene.elsewhere]
    return [dict(zip(items[0], row + [None] * len(items[0]), strict=False)) for row in rows]


def _with_ads(scene: Scene, items: list[dict[str, Any]]) -> list[Item]:
    first = next(iter(items[0]))
    ad = dict.fromkeys(items[0]) | {first: "Sponsored"}
    return [entry for place, item in enumerate(items) for entry in ([item, dict(ad)] if place % 2 == 0 else [item])]


def _half_loaded(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    """The second half as placeholders that were never filled."""
    if len(items) < 6 or len(items[0]) < 3:
        return None
    kept = next(iter(items[0]))
    return [
        item if place < len(items) / 2 else dict.fromkeys(item) | {kept: item[kept]} for place, item in enumerate(items)
    ]


def _old(scene: Scene) -> list[Item] | None:
    old = scene.before[-3] if len(scene.before) >= 6 else None
    return old if old and old not in (scene.items, scene.before[-1]) else None


def _all_equal(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    paths = [path for path in paths_of(items, is_filled) if len({str(get(item, path)) for item in items}) > 3]
    if not paths:
        return None
    path = scene.chance.choice(paths)
    return change(scene, path, lambda _: get(items[0], path))


# -- fields among themselves


def _shift_columns(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    if len(items[0]) < 3:
        return None
    return [dict(zip(item, [*list(item.values())[1:], None], strict=True)) for item in items]


def _swap(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    fields = [path for path in paths_of(items, is_filled) if len(path) == 1]
    like = [
        (one, other)
        for place, one in enumerate(fields)
        for other in fields[place + 1 :]
        if type(get(items[0], one)) is type(get(items[0], other))
        and sum(get(item, one) != get(item, other) for item in items) > 0.8 * len(items)
    ]
    if not like:
        return None
    one, other = scene.chance.choice(like)
    return [item | {one[0]: item.get(other[0]), other[0]: item.get(one[0])} for item in items]


def _other_number(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    fields = paths_of(items, has_number)
    pairs = [
        (one, other)
        for one in fields
        for other in fields
        if one != other
        and sum(written_numbers.read(get(item, one)) != written_numbers.read(get(item, other)) for item in items)
        > 0.8 * len(items)
    ]
    if not pairs:
        return None
    one, other = scene.chance.choice(pairs)
    for item in items:
        number = written_numbers.read(get(item, other))
        if number is not None and get(item, one) is not None:
            put(item, one, written_numbers.write(get(item, one), number))
    return items


def _slide(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    """A field's values one item further."""
    paths = [path for path in paths_of(items, is_filled) if len({str(get(item, path)) for item in items}) > 0.7 * len(items)]  # noqa: E501  # fmt: skip
    if not paths or len(items) < 6:
        return None
    path = scene.chance.choice(paths)
    values = [get(item, path) for item in items]
    for item, value in zip(items, values[1:] + values[:1], strict=True):
        put(item, path, value)
    return items


def _wrap(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    field = scene.chance.choice(list(items[0]))
    return [item | {field: {"value": item.get(field)}} for item in items]


def _rename(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    if len(items[0]) < 2:
        return None
    field = scene.chance.choice(list(items[0]))
    return [{("_" + key if key == field else key): value for key, value in item.items()} for item in items]


def _flatten(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    fields = paths_of(items, lambda value: isinstance(value, list) and value != [])
    if not fields:
        return None
    path = scene.chance.choice(fields)
    return change(scene, path, lambda value: value[0] if value else None)


def _join(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    """A text with all texts of the item, as of a selector that is too wide."""
    paths = paths_of(items, is_text)
    if len(paths) < 2:
        return None
    path = scene.chance.choice(paths)
    for item in items:
        put(item, path, " ".join(str(get(item, other)) for other in paths))
    return items


def _without(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    paths = [path for path in paths_of(items, is_filled) if len(path) == 1]
    if len(items[0]) < 2 or not paths:
        return None
    field = scene.chance.choice(paths)[0]
    return [{key: value for key, value in item.items() if key != field} for item in items]


def _invert(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    paths = paths_of(items, lambda value: isinstance(value, bool))
    return change(scene, paths[0], lambda value: not value) if paths else None


def _new_ids(scene: Scene, items: list[dict[str, Any]]) -> list[Item] | None:
    paths = [path for path in paths_of(items, is_filled) if re.fullmatch("id|sku|isbn|url|link|ad|notice", path[-1])]
    if not paths:
        return None
    digits = re.compile(r"\d(?=\d*$)|\d+(?=[^/]*$)")

    def new(value: Any) -> Any:
        if isinstance(value, int):
            return scene.chance.randrange(10**6, 10**7)
        return digits.sub(lambda _: str(scene.chance.randrange(10**6)), value)

    return change(scene, paths[0], new)


def _mojibake(text: str) -> str:
    try:
        return text.encode().decode("cp1252")
    except UnicodeDecodeError:
        return text.encode().decode("latin-1")


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda value: written_numbers.scale(value, factor)


def _with_sign(sign: str) -> Callable[[Any], Any]:
    return lambda value: CURRENCY.sub(sign, value)


def _is_grouped(value: Any) -> bool:
    return isinstance(value, str) and bool(re.search(r"\d[.,'\u202f]\d{3}", value))


def _lose_group(value: str) -> str:
    return re.sub(r"(\d)[.,'\u202f](\d{3})", r"\1\2", value)


def _cut_at_group(value: str) -> str:
    return re.sub(r"(\d)[.,'\u202f]\d{3}(?:[.,]\d+)?", r"\1", value, count=1)


def _list_price(value: Any) -> Any:
    return written_numbers.scale(value, 1.25)


#: The breakages by name.
BREAKAGES: dict[str, Breakage] = {
    # the whole
    "zero items": lambda scene: [] if scene.items else None,
    "60 % fewer": least(8, lambda scene: scene.items[: len(scene.items) * 2 // 5]),
    "first page only": least(24, lambda scene: scene.items[:10]),
    "every second item": least(12, lambda scene: scene.items[::2]),
    "every item twice": least(2, lambda scene: [item for item in scene.items for _ in range(2)]),
    "first half three times": least(6, lambda scene: scene.items[: len(scene.items) // 2] * 3),
    "another page of this shape": lambda scene: scene.other or None,
    "another category": of_objects(_elsewhere),
    "an old page": _old,
    "a cookie banner as item": _single(text="We use cookies to improve your experience. Accept all"),
    "an error page as item": _single(text="502 Bad Gateway"),
    "a login page as item": _single(text="Please sign in to continue"),
    "ads among the items": least(6, of_objects(_with_ads)),
    "half of it not loaded": of_objects(_half_loaded),
    # a field
    "field null": on_a_field(is_filled, lambda _: None),
    "field empty": on_a_field(is_filled, lambda _: ""),
    "field null in half": least(8, on_a_field(is_filled, lambda _: None, 0.5)),
    "field missing": of_objects(_without),
    "field renamed": of_objects(_rename),
    "field in an object": of_objects(_wrap),
    "array to its first": of_objects(_flatten),
    "all values equal": least(5, of_objects(_all_equal)),
    "template placeholder": on_a_field(is_text, lambda _: "{{price}}"),
    "N/A": on_a_field(is_amount, lambda _: "N/A"),
    "sold out for a price": on_a_field(has_number, lambda _: "Sold out"),
    "sold out for half the prices": least(8, on_a_field(has_number, lambda _: "Sold out", 0.5)),
    "banner in a title": on_a_field(is_wordy, lambda _: "Checking your browser"),
    "boolean inverted": of_objects(_invert),
    "new ids": least(5, of_objects(_new_ids)),
    "all dates today": on_a_field(
        lambda value: isinstance(value, str) and bool(ISO.match(value)), lambda value: ISO.sub("2025-12-24", value)
    ),
    "date in another order": on_a_field(
        lambda value: isinstance(value, str) and bool(ISO.match(value)),
        lambda value: f"{value[8:10]}.{value[5:7]}.{value[:4]}",
    ),
    # of whom
    "columns one to the left": of_objects(_shift_columns),
    "two fields swapped": of_objects(_swap),
    "another field's number": least(4, of_objects(_other_number)),
    "values of the next item": of_objects(_slide),
    "all texts in one field": of_objects(_join),
    # writing
    "lower case": on_all_texts(str.lower),
    "upper case": on_a_field(is_wordy, str.upper),
    "cut to 12 characters": on_a_field(lambda value: is_wordy(value) and len(value) > 16, lambda value: value[:12]),
    "cut with dots": on_a_field(lambda value: is_wordy(value) and len(value) > 16, lambda value: value[:12] + "…"),
    "tags left in": on_a_field(is_text, lambda value: f'<span class="x">{value}</span>'),
    "entities left in": on_a_field(is_wordy, lambda value: value.replace(" ", "&nbsp;")),
    "blanks left in": on_a_field(is_text, lambda value: f"\n      {value}\n    "),
    "label left in": on_a_field(is_text, lambda value: f"Value: {value}"),
    "link made relative": on_a_field(is_link, lambda value: re.sub("https?://[^/]+", "", value)),
    "link to another host": on_a_field(
        lambda value: is_link(value) and "://" in value, lambda value: re.sub("//[^/]+", "//consent.example", value)
    ),
    "link to a placeholder": on_a_field(is_link, lambda _: "data:image/gif;base64,R0lGODlhAQABAAAAACw="),
    "damaged characters": on_all_texts(lambda text: _mojibake(text.replace("e", "é"))),
    "another language": on_all_texts(lambda text: re.sub(r"[a-z]{3,}", lambda found: found[0][::-1] + "ität", text)),
    "machine's spelling": on_a_field(is_filled, lambda value: f"[object {type(value).__name__.title()}]"),
    # numbers
    "another currency sign": on_a_field(
        lambda value: isinstance(value, str) and bool(CURRENCY.search(value)), _with_sign("zł ")
    ),
    "no currency sign": on_a_field(
        lambda value: isinstance(value, str) and bool(CURRENCY.search(value)), lambda v: CURRENCY.sub("", v).strip()
    ),
    "times 1.17": least(6, on_a_field(is_amount, _times(1.17))),
    "times 0.86": least(6, on_a_field(is_amount, _times(0.86))),
    "times 100": on_a_field(is_amount, _times(100)),
    "times 0.01": on_a_field(is_amount, _times(0.01)),
    "times 1000 (kg to g)": on_a_field(is_amount, _times(1000)),
    "times 10.764 (m² to sq ft)": on_a_field(is_amount, _times(10.764)),
    "another unit": on_a_field(
        lambda value: isinstance(value, str) and bool(re.search(r"\d (m²|km|g|min)\b|m²", value)),
        lambda value: re.sub("m²|km|g$|min", "ft", _times(3.3)(value)),
    ),
    "list price in some": least(10, on_a_field(is_amount, _list_price, 0.35)),
    "all zero": on_a_field(is_number, lambda _: 0),
    "all minus one": on_a_field(is_number, lambda _: -1),
    "rounded": on_a_field(lambda value: isinstance(value, float), lambda value: float(round(value))),
    "sign lost": least(5, on_a_field(is_number, abs, least_changed=0.2)),
    "number becomes text": on_a_field(is_number, str),
    "text becomes number": on_a_field(lambda v: isinstance(v, str) and has_number(v), written_numbers.read),
    "group mark lost": on_a_field(_is_grouped, _lose_group),
    "cut at the group mark": on_a_field(_is_grouped, _cut_at_group),
    "group mark as decimal": on_a_field(_is_grouped, lambda v: float((written_numbers.read(v) or 0) / 1000)),
}  # fmt: skip
