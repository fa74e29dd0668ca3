"""Ids, codes and the like stay text; percentages, ratings, counts and numbers are read where all texts agree."""

from __future__ import annotations

import pytest

from meter_pipeline.sync.values.deciding import decide
from meter_pipeline.sync.values.facts import observe
from meter_pipeline.sync.values.recognition import read


@pytest.mark.parametrize(
    "texts",
    [
        ["02134", "10001", "94103"],
        ["10001", "94103"],
        ["12.345.678", "9.876.543"],
        ["1.012.345.678"],
        ["7", "8", "007"],
        ["0590123412345", "4006381333931"],
        ["978-3-16-148410-0", "978-0-306-40615-7"],
        ["+49 30 1234", "0049301234", "(030) 123 456"],
        ["030 1234", "040 5678"],
        ["1.2", "1.10", "2.0"],
        ["3.10", "3.11", "3.12"],
        ["22.04", "24.04", "24.10"],
        ["1.75", "1.99", "2.64"],
        ["1.2.3", "1.10.0"],
        ["v1.2", "v2.0"],
        ["192.168.0.1", "10.0.0.1"],
        ["2024", "1999", "2026"],
        ["12:30", "9:15"],
        ["12.30", "9.15", "23.45"],
        ["10 x 12 cm", "5 x 7 cm"],
        ["5 kg", "10 kg", "2,5 kg"],
        ["5 m", "12 months"],
        ["1.5M", "2.5M"],
        ["4K", "8K"],
        ["5K", "10K"],
        ["R15", "R16", "R17"],
        ["Q1", "Q2", "Q4"],
        ["L 42", "L 40", "M 38"],
        ["EUR 42", "EUR 43"],
        ["5 Ft", "6 Ft"],
        ["AMD 5600", "AMD 7600"],
        ["TOP 10", "TOP 100"],
        ["SKU-123", "A1-77"],
        ["1e3", "2e5"],
        ["4/5", "3/5"],
        ["1,5"],
        ["iPhone 15 Pro", "Galaxy S24"],
        ["5 items left", "2 items left"],
        ["https://example.test/1", "https://example.test/2"],
        ["10 € - 20 €"],
        ["", " ", "-", "n/a"],
        [],
    ],
)
def test_what_only_looks_like_a_value_stays_text(texts: list[str]) -> None:
    reading = decide(observe(texts))
    assert (reading.kind, reading.columns, read(reading, texts)) == ("text", {}, {})


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        ("percent", ["10%", "12,5 %", "-3 %", "%7", "n/a"], [10, 12.5, -3, 7, None]),
        ("rating", ["4.5 out of 5", "3 out of 5"], [4.5, 3]),
        ("rating", ["4,5 von 5 Sternen", "5 von 5 Sternen"], [4.5, 5]),
        ("rating", ["4.5/5", "4/5"], [4.5, 4]),
        ("rating", ["4.5 stars", "1 star"], [4.5, 1]),
        ("count", ["1,234 reviews", "1 review", "12"], [1234, 1, 12]),
        ("count", ["1.234 Bewertungen", "12 Bewertungen"], [1234, 12]),
        ("count", ["12k", "3.4k", "950"], [12_000, 3400, 950]),
        ("count", ["1.2M views", "980 views"], [1_200_000, 980]),
        ("count", ["1,2 тыс. просмотров", "12 просмотров"], [1200, 12]),
        ("number", ["1,234.5", "12.5", "7"], [1234.5, 12.5, 7]),
        ("number", ["1,5", "2,25", "-3"], [1.5, 2.25, -3]),
        ("number", ["19.99", "5.05", "100.00"], [19.99, 5.05, 100]),
        ("number", ["1.234.567", "1.234", "12"], [1234567, 1234, 12]),
    ],
)
def test_numbers_are_read_where_all_texts_agree(kind: str, texts: list[str], values: list[float | None]) -> None:
    reading = decide(observe(texts))
    assert reading.kind == kind, reading
    assert read(reading, texts)[kind].to_pylist() == values
    assert read(reading, [*texts, None])[kind].to_pylist() == [*values, None]


def test_ratings_of_two_scales_are_no_column() -> None:
    reading = decide(observe(["4.5 out of 5", "8 out of 10"]))
    assert (reading.kind, reading.reason) == ("text", "ratings out of 10 and of 5")


def test_numbers_whose_decimal_marks_contradict_each_other_stay_text_and_say_why() -> None:
    reading = decide(observe(["1,234.50", "1.234,50", "19.99"]))
    assert (reading.kind, reading.reason) == ("text", "in some numbers the point marks decimals, in others the comma")


def test_one_text_of_another_kind_makes_the_field_text() -> None:
    assert decide(observe(["10%", "20%", "new"])).kind == "text"
    assert decide(observe(["12 reviews", "new"])).kind == "text"
