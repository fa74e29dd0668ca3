"""A misspelt name is answered with the one that was meant, or with those there are."""

from __future__ import annotations

from meter_pipeline.text.names import find_close, list_names, suggest

NAMES = ("price", "title", "New books")


def test_the_closest_name_is_found_whatever_its_capitals() -> None:
    assert find_close("prise", NAMES) == "price"
    assert find_close("NEW BOKS", NAMES) == "New books"
    assert find_close("zoo", NAMES) is None
    assert find_close("zoo", ()) is None


def test_names_are_listed_where_none_is_close() -> None:
    assert suggest("prise", NAMES) == "did you mean price?"
    assert suggest("zoo", NAMES) == "give one of price, title, New books"
    assert suggest("zoo", NAMES, most=2) == "give one of price, title, ..."
    assert list_names(map(str, range(9))) == "0, 1, 2, 3, 4, 5, 6, 7, ..."
