"""Kinds of broken scrapes: jobs that end as completed, and whose items are not what the page shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meter_pipeline.sandbox.alterations import Kind, Scene
from meter_pipeline.sandbox.content import Content, from_items
from meter_pipeline.sandbox.item_values import change_values, find_places, read_values, scale, swap_marks

_DAY = 86400.0
_MARKS = "£€$¥"
_BANNER = "We value your privacy. Accept all cookies to continue"
_SIGN_IN = "Sign in to your account"
_OUTAGE = "503 Service Temporarily Unavailable"
_GREEK = str.maketrans("abcdefghiklmnoprstuvwxyzABDEGIKLMNOPRSTX", "αβξδεφγηικλμνοπρστυωωχψζΑΒΔΕΓΙΚΛΜΝΟΠΡΣΤΞ")


def _drop_all(scene: Scene) -> list[Any]:
    return []


def _null_results(scene: Scene) -> Content:
    return Content([], b"null", 0)


def _wrong_count(scene: Scene) -> Content:
    return Content(from_items(scene.items).items, None, len(scene.items) * 2 - 3)


def _keep_few(scene: Scene) -> list[Any]:
    return scene.items[: max(1, len(scene.items) * 2 // 5)]


def _repeat_all(scene: Scene) -> list[Any]:
    return [item for item in scene.items for _ in range(2)]


def _repeat_first_third(scene: Scene) -> list[Any]:
    return scene.items[: max(1, len(scene.items) // 3)] * 3


def _null(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: None)


def _null_half(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: None if scene.rng.random() < 0.5 else value)


def _drop_field(scene: Scene) -> list[Any]:
    for place, name in list(find_places(scene.items, scene.field)):
        del place[name]
    return scene.items


def _rename_field(scene: Scene) -> list[Any]:
    for place, name in list(find_places(scene.items, scene.field)):
        renamed = {f"{key}_2" if key == name else key: value for key, value in place.items()}
        place.clear()
        place.update(renamed)
    return scene.items


def _blank(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: "")


def _equalize(scene: Scene) -> list[Any]:
    first = next((value for value in read_values(scene.items, scene.field) if value is not None), None)
    return change_values(scene.items, scene.field, lambda value: first)


def _read_other_element(scene: Scene) -> list[Any]:
    """The value of another scalar field of the same item, the last that the first item has."""
    for place, name in find_places(scene.items, scene.field):
        others = [value for key, value in place.items() if key != name and not isinstance(value, (dict, list))]
        place[name] = others[-1] if others else None
    return scene.items


def _read_neighbour(scene: Scene) -> list[Any]:
    values = read_values(scene.items, scene.field)
    shifted = iter(values[1:] + values[:1])
    for place, name in find_places(scene.items, scene.field):
        place[name] = next(shifted)
    return scene.items


def _shift_columns(scene: Scene) -> list[Any]:
    """Every field has the value of the field before it, as when a table's first cell is missing."""
    return [
        dict(zip(item, [*list(item.values())[-1:], *list(item.values())[:-1]], strict=True))
        if isinstance(item, dict) else item
        for item in scene.items
    ]  # fmt: skip


def _change_mark(scene: Scene) -> list[Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, str):
            return scale(value, 1.27)
        mark = next((mark for mark in _MARKS if mark in value), None)
        converted = str(scale(value, 1.27))
        return f"{converted} kr" if mark is None else converted.replace(mark, "$" if mark != "$" else "€")

    return change_values(scene.items, scene.field, convert)


def _scaled(factor: float) -> Callable[[Scene], list[Any]]:
    return lambda scene: change_values(scene.items, scene.field, lambda value: scale(value, factor))


def _read_list_price(scene: Scene) -> list[Any]:
    def raise_some(value: Any) -> Any:
        return scale(value, 1.1 + 0.4 * scene.rng.random()) if scene.rng.random() < 0.4 else value

    return change_values(scene.items, scene.field, raise_some)


def _damage_encoding(scene: Scene) -> list[Any]:
    """UTF-8 read as Latin-1; every space was a no-break space on the page."""

    def damage(value: Any) -> Any:
        return value.replace(" ", "\u00a0").encode().decode("latin-1") if isinstance(value, str) else value

    return change_values(scene.items, scene.field, damage)


def _lose_letters(scene: Scene) -> list[Any]:
    """Text of another encoding decoded as UTF-8: spaces and letters beyond ASCII are lost."""

    def lose(value: Any) -> Any:
        return "".join(c if c.isascii() and c != " " else "\ufffd" for c in value) if isinstance(value, str) else value

    return change_values(scene.items, scene.field, lose)


def _write(text: str) -> Callable[[Scene], list[Any]]:
    return lambda scene: change_values(scene.items, scene.field, lambda value: text)


def _one_item(text: str) -> Callable[[Scene], list[Any]]:
    """One item with the fields of the first: the text of a page that is no list, and nulls."""

    def only(scene: Scene) -> list[Any]:
        first = next((item for item in scene.items if isinstance(item, dict)), {"title": ""})
        label = next((name for name, value in first.items() if isinstance(value, str)), next(iter(first)))
        return [{name: text if name == label else None for name in first}]

    return only


def _impossible_dates(scene: Scene) -> list[Any]:
    return change_values(
        scene.items, scene.field, lambda value: scene.rng.choice(("1970-01-01T00:00:00Z", "2198-11-30T00:00:00Z"))
    )


def _swap_day_and_month(scene: Scene) -> list[Any]:
    def swap(value: Any) -> Any:
        text = str(value)
        return f"{text[:4]}-{text[8:10]}-{text[5:7]}{text[10:]}" if text[4:5] == text[7:8] == "-" else value

    return change_values(scene.items, scene.field, swap)


def _swap_locale(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, swap_marks)


def _stale(scene: Scene) -> list[Any]:
    return scene.visit(12 * _DAY, "")


def _other_page(scene: Scene) -> list[Any]:
    return scene.visit(0.0, "/elsewhere")


def _leave_html(scene: Scene) -> list[Any]:
    return change_values(
        scene.items, scene.field, lambda value: f'<div class="card"><span>{value}</span><script>void 0</script>'
    )


def _truncate(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: f"{str(value)[: max(2, len(str(value)) // 3)]}…")


def _make_text(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: f"{value} (see details)")


def _make_list(scene: Scene) -> list[Any]:
    return change_values(scene.items, scene.field, lambda value: [value])


def _join_fields(scene: Scene) -> list[Any]:
    """The text of the whole card where one element's text belongs."""
    for place, name in find_places(scene.items, scene.field):
        place[name] = " ".join(str(value) for value in place.values() if isinstance(value, (str, int, float)))
    return scene.items


def _empty_half(scene: Scene) -> list[Any]:
    """Every other item has its first field alone, as placeholders of cards that were still loading have."""
    return [
        {name: value if place == 0 else None for place, (name, value) in enumerate(item.items())}
        if number % 2 and isinstance(item, dict) else item
        for number, item in enumerate(scene.items)
    ]  # fmt: skip


def _write_in_greek(scene: Scene) -> list[Any]:
    """Letters of another script, as of a translated page."""
    return change_values(
        scene.items, scene.field, lambda value: value.translate(_GREEK) if isinstance(value, str) else value
    )


_WHOLE: dict[str, tuple[str, Callable[[Scene], list[Any] | Content]]] = {
    "zero_items": ("no items", _drop_all),
    "null_results": ("null in place of the items", _null_results),
    "wrong_count": ("the API counts other items than come", _wrong_count),
    "fewer_items": ("the first two fifths of the items", _keep_few),
    "repeated_items": ("every item twice", _repeat_all),
    "repeated_page": ("the first third, three times", _repeat_first_third),
    "shifted_columns": ("every field has the value of the one before it", _shift_columns),
    "login_page": ("one item: a page to sign in", _one_item(_SIGN_IN)),
    "consent_page": ("one item: a cookie banner", _one_item(_BANNER)),
    "error_page": ("one item: a server's error", _one_item(_OUTAGE)),
    "stale_page": ("the page as it was twelve days ago", _stale),
    "sparse_items": ("every other item has its first field alone", _empty_half),
    "other_page": ("the items of another page of the same shape", _other_page),
}
_OF_A_FIELD: dict[str, tuple[str, Callable[[Scene], list[Any] | Content]]] = {
    "field_null": ("null in every item", _null),
    "field_half_null": ("null in half of the items", _null_half),
    "field_missing": ("the field is gone", _drop_field),
    "field_renamed": ("the field has another name", _rename_field),
    "field_blank": ("empty text in every item", _blank),
    "equal_values": ("the first item's value in every item", _equalize),
    "other_element": ("the value of another field of the item", _read_other_element),
    "neighbour_value": ("the value of the next item", _read_neighbour),
    "whole_card": ("all texts of the item joined", _join_fields),
    "currency_mark": ("amounts converted, under another mark", _change_mark),
    "converted": ("amounts converted, under the same mark", _scaled(1.27)),
    "cents": ("amounts times 100", _scaled(100)),
    "hundredth": ("amounts divided by 100", _scaled(0.01)),
    "negated": ("amounts with the other sign", _scaled(-1)),
    "list_price": ("some amounts higher, as before a discount", _read_list_price),
    "wrong_locale": ("decimal and thousands marks exchanged", _swap_locale),
    "damaged_encoding": ("UTF-8 read as Latin-1", _damage_encoding),
    "lost_letters": ("letters replaced by U+FFFD", _lose_letters),
    "other_script": ("letters of another script", _write_in_greek),
    "consent_text": ("a cookie banner in every item", _write(_BANNER)),
    "placeholder": ("a template that was not filled in", _write("{{ item.value }}")),
    "loading_text": ("the text of a page that was still loading", _write("Loading...")),
    "impossible_date": ("1970 or the far future", _impossible_dates),
    "swapped_date": ("day and month exchanged", _swap_day_and_month),
    "html": ("tags and scripts around the text", _leave_html),
    "truncated_text": ("a third of the text and an ellipsis", _truncate),
    "number_as_text": ("a remark behind the value", _make_text),
    "value_as_list": ("the value inside a list", _make_list),
}

BREAKS: dict[str, Kind] = {
    name: Kind(name, about, change, needs_field, is_healthy=False)
    for kinds, needs_field in ((_WHOLE, False), (_OF_A_FIELD, True))
    for name, (about, change) in kinds.items()
}
