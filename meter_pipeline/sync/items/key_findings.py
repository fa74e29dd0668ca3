"""What people are to know about a strategy's key: that there is none, or that it no longer tells items apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meter_pipeline.sync.items.candidates import FIELDS, Candidate
from meter_pipeline.sync.items.keys import KeySearch, load_search
from meter_pipeline.sync.items.rules import CONFIGURED, NONE, ChosenRules
from meter_pipeline.sync.items.verdicts import REFUSED, SELDOM_BACK, WAITING

# With fewer comparable jobs, a candidate that waits for more is no reason to do something; nor is anything with few
# jobs or items.
_LEARNING_JOBS = 8
_FEW_JOBS, _FEW_ITEMS = 3, 40
_NAMED, _NAME = 3, 60
_SET_ONE = "set one with `key` in meter.yaml"


@dataclass(frozen=True)
class KeyFinding:
    """Something about a key.

    Attributes:
        message: What it is and what to do, in one line.
        is_learning: Whether a few more jobs may settle it.
    """

    message: str
    is_learning: bool = False


def spell_key(key: Sequence[str], *, by_page: bool = False) -> str:
    """A key for people: its fields, the page, or the item's hash."""
    return "the page" if by_page else ", ".join(key) or "the item's hash"


def find_trouble(rules: ChosenRules) -> KeyFinding | None:
    """What people are to know about the key of a strategy's rows; None if it holds, or if a user wants no key."""
    known = load_search(rules.search)
    if rules.source == NONE:
        return _explain_none(known)
    watched = known.watched
    if watched is None or watched.verdict != REFUSED:
        return None
    what = "the key in use" if rules.source == CONFIGURED else "the key that was found"
    key = spell_key(rules.key, by_page=rules.by_page)
    return KeyFinding(
        f"{what}, {_shorten(key)}, does not identify the items: {watched.reason}; set another one with "
        "`key` in meter.yaml, or look for one with `meter-pipeline rekey STRATEGY --found`"
    )


def _explain_none(known: KeySearch) -> KeyFinding:
    search = known.search
    if search is None or not search.steps:
        return KeyFinding("no key yet: no two jobs of one page have items to compare", is_learning=True)
    candidates = _name_candidates(search.candidates)
    has_met = any(found.matched and found.reason != SELDOM_BACK for found in search.candidates)
    if has_met and not any(found.changed for found in search.candidates):
        return KeyFinding(
            f"no key yet: no item has changed so far, so nothing tells candidates apart: {candidates}", is_learning=True
        )
    is_waiting = any(found.verdict == WAITING for found in search.candidates)
    is_little = known.examined < _FEW_JOBS or search.items < _FEW_ITEMS
    if known.examined < _LEARNING_JOBS and (is_waiting or is_little):
        return KeyFinding(
            f"no key yet, every change shows as removed + added; candidates: {candidates}", is_learning=True
        )
    return KeyFinding(f"no key: every change shows as removed + added; candidates: {candidates}; {_SET_ONE}")


def _name_candidates(candidates: Sequence[Candidate]) -> str:
    likely = [found for found in candidates if found.kind == FIELDS][:_NAMED]
    return ", ".join(f"{_shorten(' + '.join(found.fields))} ({found.reason})" for found in likely) or "none"


def _shorten(text: str) -> str:
    return text if len(text) <= _NAME else f"{text[: _NAME - 1]}…"
