"""Decides how a field is read, from the facts of all its texts."""

from __future__ import annotations

from collections.abc import Iterator

from meter_pipeline.sync.values import finding
from meter_pipeline.sync.values.currencies import may_mean
from meter_pipeline.sync.values.facts import FieldFacts
from meter_pipeline.sync.values.months import AMBIGUOUS, find_month
from meter_pipeline.sync.values.numbers import COMMA, POINT
from meter_pipeline.sync.values.reading import MIXED, TEXT, Reading

# Share of a field's texts that have to do with prices, from which on it is a field of prices.
_MONEY_SHARE = 0.6
# Share of texts that have to do with prices, beside numbers alone.
_SIGNED_SHARE = 0.2
# Distinct numbers with decimals from which on a field of comma decimals is one of numbers, not of pairs.
_FEW = 3
_DATES = (finding.DATE, finding.LOCAL, finding.ZONED)


def decide(facts: FieldFacts) -> Reading:
    """How a field with these facts is read."""
    kinds = set(facts.seen)
    if facts.is_text or not kinds:
        return Reading(TEXT)
    total = facts.count(*kinds)
    priced = facts.count(finding.MONEY, finding.PRICED, finding.FREE)
    # Some sites write the currency beside a few of the prices only.
    rest = total - facts.count(finding.NUMBER)
    is_money = bool(_codes(facts)) or facts.has("ending")
    if is_money and priced >= _MONEY_SHARE * rest and priced >= _SIGNED_SHARE * total:
        return _decide_money(facts)
    if kinds == {finding.NUMBER}:
        return _decide_number(facts)
    if finding.COUNT in kinds and kinds <= {finding.COUNT, finding.NUMBER}:
        return _decide_count(facts)
    if kinds == {finding.PERCENT}:
        return _with_marks(Reading(finding.PERCENT), facts)
    if kinds == {finding.RATING}:
        return _decide_rating(facts)
    if kinds == {finding.RELATIVE}:
        return Reading(finding.RELATIVE)
    if len(kinds) == 1 and kinds <= {*_DATES}:
        return _decide_date(facts, kinds.pop())
    return Reading(TEXT, _reason(facts, total))


def _reason(facts: FieldFacts, total: float) -> str:
    """Why a field of several kinds is text; empty where none of them is the usual one."""
    if finding.SHORT_YEAR in facts.seen and facts.count(finding.SHORT_YEAR, *_DATES) * 2 > total:
        return f"years of two digits, as in {facts.examples[finding.SHORT_YEAR]!r}"
    most = max(facts.seen, key=lambda kind: (facts.count(kind), kind))
    if most in (finding.OTHER, finding.NUMBER) or facts.count(most) * 2 < total:
        return ""
    if most == finding.MONEY:
        return f"what stands beside the numbers may be another word than a currency, as in {facts.examples[most]!r}"
    if most == finding.PRICED:
        return f"no text is one price, as in {facts.examples[most]!r}"
    odd = min(kind for kind in facts.seen if kind != most) if len(facts.seen) > 1 else most
    return f"most texts are of the kind {most!r}, but not {facts.examples[odd]!r}"


def _codes(facts: FieldFacts) -> frozenset[str]:
    return frozenset(word.partition(" ")[2] for word in facts.evidence if word.startswith("currency "))


def _styles(facts: FieldFacts, word: str) -> set[str]:
    return {entry.partition(" ")[2] for entry in facts.evidence if entry.startswith(f"{word} ")}


def _with_marks(reading: Reading, facts: FieldFacts) -> Reading:
    point, comma = _styles(facts, POINT), _styles(facts, COMMA)
    agreed = {**dict.fromkeys(point - comma, POINT), **dict.fromkeys(comma - point, COMMA)}
    overall = MIXED if point and comma else POINT if point else COMMA if comma else ""
    lone = _styles(facts, "lone")
    # A lone mark begins decimals only where numbers of this style leave no doubt: they group with the other mark, some
    # have three decimals and more, and nothing in the field speaks against it.
    long = _styles(facts, "long") & _styles(facts, "grouped") if overall != MIXED else set()
    return Reading(
        reading.kind,
        marks=tuple(sorted((style, mark) for style, mark in agreed.items() if style in lone)),
        contrary=tuple(sorted(point & comma & lone)),
        overall=overall,
        long=tuple(sorted(long & lone)),
    )


def _decide_money(facts: FieldFacts) -> Reading:
    codes = _codes(facts)
    explicit = frozenset(
        code for code in codes if len(code) == 3 and code.isupper() and code.isascii() and code != "CFA"
    )
    shared = codes - explicit
    meant = {sign: code for sign in shared if (code := may_mean(sign, explicit)) is not None}
    means = {meant.get(code, code) for code in codes}
    marks = _with_marks(Reading(finding.MONEY), facts)
    needs_currency = finding.NUMBER in facts.seen or finding.FREE in facts.seen or facts.has("ending")
    return Reading(
        finding.MONEY,
        marks=tuple(sorted((*marks.marks, *_find_groups(facts, marks)))),
        contrary=marks.contrary,
        overall=marks.overall,
        long=marks.long,
        strong=tuple(sorted(_styles(facts, "strong") & _styles(facts, "weak"))),
        currencies=tuple(sorted(meant.items())),
        only=means.pop() if len(means) == 1 and needs_currency else "",
        unit=facts.has("unit"),
    )


def _find_groups(facts: FieldFacts, known: Reading) -> Iterator[tuple[str, str]]:
    """Styles whose lone marks group thousands although no price shows their decimal mark, each with that mark.

    `$ 12.990` beside `$ 990`: if three decimals were always written, 990 would have them; if zeros at the end were left
    out, 12.990 would be 12.99. So neither has decimals. Prices of a unit of measure may be of another kind.
    """
    if facts.has("measured") or known.overall == MIXED:
        return
    decided = {*_styles(facts, POINT), *_styles(facts, COMMA)}
    points, commas = _styles(facts, f"lone-{POINT}"), _styles(facts, f"lone-{COMMA}")
    for style in (_styles(facts, "round") & _styles(facts, "whole") & (points ^ commas)) - decided:
        mark, other = (POINT, COMMA) if style in points else (COMMA, POINT)
        if known.overall != mark:
            yield style, other


def _decide_number(facts: FieldFacts) -> Reading:
    """Numbers alone are ids, versions and times as well: only what none of these can be makes a field of numbers."""
    reading = _with_marks(Reading(finding.NUMBER), facts)
    if reading.overall == MIXED:
        return Reading(TEXT, "in some numbers the point marks decimals, in others the comma")
    if not reading.overall:
        example = facts.examples[finding.NUMBER]
        lone = facts.has("lone ")
        return Reading(TEXT, f"no number shows whether its mark begins decimals, as in {example!r}" if lone else "")
    if reading.overall == COMMA and facts.has("decimal") and facts.count(finding.NUMBER) >= _FEW:
        return reading
    grouped = facts.has("grouped ") and facts.has("decimal", "small")
    if grouped or (facts.has("clear") and facts.has("padded")):
        return reading
    return Reading(TEXT)


def _decide_count(facts: FieldFacts) -> Reading:
    counted = facts.has("counted") or (facts.has("shortened") and finding.NUMBER in facts.seen)
    return Reading(finding.COUNT) if counted and not facts.has("decimal") else Reading(TEXT)


def _decide_rating(facts: FieldFacts) -> Reading:
    best = _styles(facts, "best")
    if len(best) > 1:
        return Reading(TEXT, f"ratings out of {' and of '.join(sorted(best))}")
    return Reading(finding.RATING) if facts.has("worded") else Reading(TEXT)


def _decide_date(facts: FieldFacts, kind: str) -> Reading:
    first, second, either = (_styles(facts, word) for word in ("first", "second", "either"))
    example = facts.examples[kind]
    if first & second:
        return Reading(TEXT, "in some dates the day comes first, in others the month")
    if either - first - second:
        return Reading(TEXT, f"no date shows whether the day or the month comes first, as in {example!r}")
    months = {name: find_month(name, facts.languages) for name in sorted(_styles(facts, "name") & AMBIGUOUS)}
    unknown = [name for name, month in months.items() if month is None]
    if unknown:
        return Reading(TEXT, f"the month {unknown[0]!r} depends on the language, which no other month shows")
    known = tuple((name, month) for name, month in months.items() if month is not None)
    return Reading(kind, day_first=tuple(sorted(first)), months=known)
