"""Jobs kept as numbers of distinct texts say the same as their items taken one by one."""

from __future__ import annotations

import gc
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.item_rules import ItemRules
from meter_pipeline.store import columns
from meter_pipeline.store.item_json import as_objects, parse_items
from meter_pipeline.sync.changes.diff import compare
from meter_pipeline.sync.changes.in_memory import AtHand, difference
from meter_pipeline.sync.items.identity import PLAIN, Identity
from meter_pipeline.sync.items.repeats import number_by_content
from meter_pipeline.sync.items.results import paused_collection, widen
from meter_pipeline.sync.items.texts import Gathered, Items, Texts

# Few values, so that texts, keys and hashes meet again; two spellings of one item, too.
_texts = st.one_of(
    st.builds(
        lambda id_, price: json.dumps({"id": id_, "price": price}).encode(), st.integers(0, 4), st.integers(0, 2)
    ),
    st.builds(
        lambda id_, price: json.dumps({"price": price, "id": id_}).encode(), st.integers(0, 4), st.integers(0, 2)
    ),
    st.sampled_from([b"null", b"7", b'{"id":null}', b'{"id":"2","tags":[1,"a"]}', b'{"id":3,"in":{"b":1.5}}']),
)
_jobs = st.lists(st.lists(_texts, max_size=12), min_size=1, max_size=5)
_identities = st.sampled_from([PLAIN, Identity(ItemRules(key=("id",))), Identity(ItemRules(key=("id", "price")))])


@given(jobs=_jobs, identity=_identities)
def test_values_keys_and_hashes_are_those_of_the_items_by_themselves(
    jobs: list[list[bytes]], identity: Identity
) -> None:
    texts = Texts()
    kept = [Items(texts, texts.take(job)) for job in jobs]
    texts.identify(identity)
    for job, items in zip(jobs, kept, strict=True):
        values = parse_items(job)
        hashes = identity.hashes(values, job)
        plain = identity.keys(values, hashes)
        assert items.values == values
        assert items.objects() == as_objects(values)
        assert items.keys == number_by_content(plain, values, identity)
        assert items.repeats == len(plain) - len(set(plain))
        assert Gathered.of(texts, [items.numbers]).hashes().to_pylist() == hashes
        assert Gathered.of(texts, [items.numbers]).items().to_pylist() == [item.decode() for item in job]


@given(jobs=_jobs, identity=_identities)
def test_two_jobs_differ_by_the_same_items_however_they_are_compared(
    jobs: list[list[bytes]], identity: Identity
) -> None:
    texts = Texts()
    sides = [AtHand(Items(texts, texts.take(job))) for job in jobs]
    texts.identify(identity)
    for old in sides:
        for new in sides:
            near, whole = difference(old, new), compare(old.hash_by_key, new.hash_by_key)
            assert [sorted(part) for part in (near.added, near.removed, near.changed)] == [
                sorted(part) for part in (whole.added, whole.removed, whole.changed)
            ]
            keys = [*near.added, *near.changed]
            assert parse_items([new.text(key).encode() for key in keys]) == new.values(keys)


@given(jobs=_jobs, order=st.randoms(use_true_random=False))
def test_fields_are_those_of_every_job_gone_through_by_itself(jobs: list[list[bytes]], order: object) -> None:
    texts = Texts()
    kept = [((f"2026-03-{n + 1:02}", f"job {n}"), Items(texts, texts.take(job))) for n, job in enumerate(jobs)]
    expected: tuple[columns.Field, ...] = ()
    for (time, id_), items in kept:
        expected = columns.merge_fields(expected, columns.infer_fields(items.objects(), (time, id_, 0)))
    typed = np.zeros(len(texts), np.bool_)
    assert widen((), kept, typed) == expected
    # In two batches, the later one first, and one after the other.
    half = len(kept) // 2
    for first, second in ((kept[half:], kept[:half]), (kept[:half], kept[half:])):
        typed = np.zeros(len(texts), np.bool_)
        assert widen(widen((), first, typed), second, typed) == expected


@given(job=st.lists(_texts, min_size=1, max_size=12))
def test_columns_are_those_of_the_items_in_their_order(job: list[bytes]) -> None:
    texts = Texts()
    items = Items(texts, texts.take(job))
    fields = columns.infer_fields(items.objects(), ("2026", "job", 0))
    rows = Gathered.of(texts, [items.numbers])
    for field, values, distinct in rows.distinct_columns(fields):
        whole = columns.build([item.get(field.name) for item in items.objects()], field.type)
        assert columns.build(values, field.type).equals(distinct)
        assert rows.spread(distinct).equals(whole)


def test_an_item_that_cannot_be_parsed_is_named_and_harms_no_other() -> None:
    texts = Texts()
    deep = b"[" * 5_000 + b"]" * 5_000
    bad, good = Items(texts, texts.take([b"1", deep])), Items(texts, texts.take([b"1", b"2"]))
    assert bad.problem == "an item is nested deeper than 256 levels"
    assert good.problem is None
    assert good.values == [1, 2]


def test_texts_go_with_the_last_who_holds_them_without_the_garbage_collector() -> None:
    with paused_collection():
        # What other tests have left may take several rounds: a finalizer can leave more.
        while gc.collect():
            pass
        texts = Texts()
        items = Items(texts, texts.take([b'{"id":1}', b'{"id":2}', b'{"id":1}']))
        texts.identify(PLAIN)
        assert items.repeats == 1
        del texts, items
        assert gc.collect() == 0


def test_the_garbage_collector_goes_on_when_the_last_pause_ends() -> None:
    assert gc.isenabled()
    with paused_collection():
        with paused_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
