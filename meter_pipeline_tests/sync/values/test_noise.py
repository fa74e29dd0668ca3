"""Fields that always change are named with the line that ignores them."""

from __future__ import annotations

import yaml

from meter_pipeline.sync.values.noise import FieldChanges, count_changes, find_noise, suggest_ignore

_ALWAYS = {"views": 50, "session id": 48, "price": 3}


def test_what_changes_in_nearly_every_job_for_nearly_every_item_is_noise() -> None:
    changes = count_changes([(50, _ALWAYS)] * 9 + [(50, {"price": 50})])
    assert changes == FieldChanges(
        10, 500, {"views": 9, "session id": 9, "price": 10}, {"views": 450, "session id": 432, "price": 77}
    )
    assert find_noise(changes) == ["session id", "views"]


def test_a_price_that_rose_once_for_all_items_is_no_noise() -> None:
    assert find_noise(count_changes([(50, {"price": 50})] + [(50, {})] * 9)) == []


def test_few_comparisons_and_few_items_say_nothing() -> None:
    assert find_noise(count_changes([(50, {"views": 50})] * 4)) == []
    assert find_noise(count_changes([(1, {"views": 1})] * 10)) == []
    assert find_noise(count_changes([(0, {})] * 10)) == []


def test_the_suggestion_is_a_line_of_meter_yaml_that_keeps_what_is_ignored_already() -> None:
    changes = count_changes([(50, {**_ALWAYS, "scraped_at": 50, 'a "b"\n': 50, "no": 50})] * 10)
    lines = suggest_ignore(changes, ["scraped_at"])
    assert "'views' changed in 10 of 10 comparisons, for 500 of 500 items" in lines
    assert all(line.isprintable() for line in lines)
    assert yaml.safe_load(lines[-1]) == {"ignore": ["scraped_at", 'a "b"\n', "no", "session id", "views"]}
    assert suggest_ignore(changes, ["scraped_at", 'a "b"\n', "no", "session id", "views"]) == []
