"""Facts of a field are a function of the set of its texts."""

from __future__ import annotations

import random
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.sync.values import reading as readings
from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import TEXT, FieldFacts, load, merge, observe
from meter_pipeline.sync.values.recognition import read
from meter_pipeline_tests.sync.values.spellings import MORE, PRICES

_TEXTS = st.one_of(
    st.sampled_from([text for text, _ in PRICES + MORE]),
    st.sampled_from(["13/02/2026", "02/13/2026", "1 listopada 2026", "10%", "12 reviews", "2 days ago", "", "a word"]),
    st.text(max_size=12),
)
_BATCHES = st.lists(st.lists(_TEXTS, max_size=8), max_size=6)


def _merged(batches: list[list[str]]) -> FieldFacts:
    facts = FieldFacts()
    for batch in batches:
        facts = merge(facts, observe(batch))
    return facts


@given(batches=_BATCHES, seed=st.integers())
def test_order_batches_and_repeats_leave_no_trace(batches: list[list[str]], seed: int) -> None:
    texts = [text for batch in batches for text in batch]
    shuffled = texts * 2
    random.Random(seed).shuffle(shuffled)
    one_by_one = _merged([[text] for text in shuffled])
    assert _merged(batches) == one_by_one == observe(texts)
    assert _merged(batches).dump() == one_by_one.dump()


@given(batches=_BATCHES)
def test_facts_and_readings_come_back_as_they_were_kept(batches: list[list[str]]) -> None:
    facts = _merged(batches)
    assert load(facts.dump()) == facts
    reading = decide(facts)
    assert readings.load(reading.dump()) == reading


@given(batches=_BATCHES)
def test_every_column_is_as_long_as_its_texts_and_of_its_type(batches: list[list[str]]) -> None:
    texts = [text for batch in batches for text in batch]
    reading = decide(observe(texts))
    columns = read(reading, texts, datetime(2026, 3, 1))
    assert {name: column.type for name, column in columns.items()} == reading.columns
    assert all(len(column) == len(texts) for column in columns.values())


def test_a_field_of_many_other_texts_is_text_for_ever_in_any_order() -> None:
    prose = [f"item number {number} of a long list" for number in range(2000)]
    prices = [f"£{number}.50" for number in range(5000)]
    batches = [observe(prose[:400]), observe(prices), observe(prose[400:1200]), observe(prose[1200:])]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        facts = FieldFacts()
        for number in order:
            facts = merge(facts, batches[number])
        assert facts == TEXT
    assert load(TEXT.dump()) == TEXT
    assert decide(TEXT).kind == "text"


def test_facts_stay_small_however_many_texts_there_are() -> None:
    facts = observe(f"{sign}{number / 100:,.2f}" for number in range(5_000) for sign in "$£€¥")
    assert len(facts.dump()) < 2000
    assert decide(facts).kind == "money"


def test_a_price_field_may_have_some_texts_that_are_none() -> None:
    texts = [f"£{number}.50" for number in range(300)] + [f"see note {number}" for number in range(60)]
    reading = decide(observe(texts))
    assert reading.kind == "money"
    assert read(reading, texts)["amount"].null_count == 60


def test_a_known_field_is_read_as_before_when_more_of_its_kind_arrives() -> None:
    few = observe(["$12.99", "$1,234.50", "12,50 €"])
    more = observe(["$0.99", "$7.25", "£3.10", "$12,999.00", "1.234,50 €", "¥12"])
    assert decide(merge(few, more)) == decide(few)
    dates = observe(["1 March 2026", "31/12/2026"])
    assert decide(merge(dates, observe(["2 mai 2026", "1 février 2025", "13/01/2024"]))) == decide(dates)
