"""Typed columns have names that no other column has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sync.values.names import choose_names

_NAMES = st.sampled_from(["price", "price_amount", "Price_Amount", "price_amount_2", "price_currency", "rating", "x"])


def test_names_are_the_field_and_what_the_column_holds() -> None:
    assert choose_names("price", ["amount", "currency"], []) == {"amount": "price_amount", "currency": "price_currency"}
    assert choose_names("offer.price", ["amount"], []) == {"amount": "offer_price_amount"}
    assert choose_names("rating", ["rating"], []) == {"rating": "rating_value"}
    assert choose_names("published_date", ["date"], []) == {"date": "published_date_value"}


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert choose_names("price", ["amount"], ["Price_Amount", "price_amount_2"]) == {"amount": "price_amount_3"}


@given(field=_NAMES, taken=st.sets(_NAMES), later=st.sets(_NAMES))
def test_names_never_clash_and_stay_unless_another_column_takes_them(
    field: str, taken: set[str], later: set[str]
) -> None:
    names = choose_names(field, ["amount", "currency"], taken)
    used = {name.casefold() for name in taken | {field}}
    assert len({name.casefold() for name in names.values()} - used) == 2
    again = choose_names(field, ["amount", "currency"], taken | later, names)
    assert not {name.casefold() for name in again.values()} & {name.casefold() for name in taken | later}
    for suffix, name in names.items():
        if name.casefold() not in {other.casefold() for other in later}:
            assert again[suffix] == name
