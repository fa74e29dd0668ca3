"""What the distinct texts of one field have shown so far: a bounded summary whose merging forgets order and batches.

Merging is a union: commutative, associative and idempotent. So the facts of a field are a function of the set of its
texts, in whatever batches and order they were loaded, and however often each was seen.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meter_pipeline.sync.values import finding
from meter_pipeline.sync.values.months import ALL_LANGUAGES

# Bits of the set that counts distinct texts of a kind: each text sets one, and the number of texts is estimated from
# the share that is set, within some per cent up to several thousand.
_BITS = 1024
# This many bits are set by about 700 texts that are no value of any kind.
_TEXT_BITS = 512
_EXAMPLE = 40


@dataclass(frozen=True)
class FieldFacts:
    """What the texts of a field have shown.

    Attributes:
        seen: By kind of finding, the bits that its texts set.
        evidence: What single texts prove: see `meter_pipeline.sync.values.finding`.
        languages: Mask of the languages that have all names of months that were seen.
        examples: By kind, the first of its texts in the order of characters, shortened.
        is_text: Whether enough texts are no values for the field to stay text for ever; nothing is observed then.
    """

    seen: Mapping[str, int] = field(default_factory=dict)
    evidence: frozenset[str] = frozenset()
    languages: int = ALL_LANGUAGES
    examples: Mapping[str, str] = field(default_factory=dict)
    is_text: bool = False

    def count(self, *kinds: str) -> float:
        """Estimated number of distinct texts of these kinds together."""
        return sum(_estimate(self.seen.get(kind, 0)) for kind in kinds)

    def has(self, *evidence: str) -> bool:
        """Whether a text has proved any of these."""
        return not self.evidence.isdisjoint(evidence)

    def dump(self) -> str:
        """The facts as JSON text, equal for equal facts; the inverse of `load`."""
        if self.is_text:
            return "{}"
        form = {
            "seen": {kind: f"{bits:x}" for kind, bits in sorted(self.seen.items())},
            "evidence": sorted(self.evidence),
            "languages": f"{self.languages:x}",
            "examples": dict(sorted(self.examples.items())),
        }
        return json.dumps(form, separators=(",", ":"), ensure_ascii=False)


TEXT = FieldFacts(is_text=True)
"""Facts of a field that stays text."""


def load(text: str | None) -> FieldFacts:
    """The facts that `FieldFacts.dump` wrote; those of an unseen field where there are none."""
    if text is None:
        return FieldFacts()
    form = json.loads(text)
    if not form:
        return TEXT
    seen = {kind: int(bits, 16) for kind, bits in form["seen"].items()}
    return FieldFacts(seen, frozenset(form["evidence"]), int(form["languages"], 16), form["examples"])


def observe(texts: Iterable[str | None]) -> FieldFacts:
    """The facts of some texts of a field; None counts for nothing. Each text need be given only once.

    Of prose, some 700 different texts are looked at, and no more.
    """
    seen: dict[str, set[int]] = {}
    evidence: set[str] = set()
    languages = ALL_LANGUAGES
    examples: dict[str, str] = {}
    others = seen.setdefault(finding.OTHER, set())
    for text in texts:
        if text is None:
            continue
        found = finding.find(text)
        kind = found.kind
        if kind == finding.EMPTY:
            continue
        bit = zlib.crc32(text.encode("utf-8", "surrogatepass")) % _BITS
        if kind == finding.OTHER:
            others.add(bit)
            if len(others) >= _TEXT_BITS:
                return TEXT
        else:
            seen.setdefault(kind, set()).add(bit)
            evidence.update(found.evidence)
            languages &= found.languages
        if kind not in examples or text < examples[kind]:
            examples[kind] = text
    bits = {kind: sum(1 << bit for bit in places) for kind, places in seen.items() if places}
    return FieldFacts(bits, frozenset(evidence), languages, _shortened(examples))


def merge(one: FieldFacts, other: FieldFacts) -> FieldFacts:
    """The facts of the texts of both."""
    if one.is_text or other.is_text:
        return TEXT
    seen, examples = dict(one.seen), dict(one.examples)
    for kind, bits in other.seen.items():
        seen[kind] = seen.get(kind, 0) | bits
    for kind, text in other.examples.items():
        examples[kind] = min(text, examples.get(kind, text))
    return _bounded(FieldFacts(seen, one.evidence | other.evidence, one.languages & other.languages, examples))


def _shortened(examples: Mapping[str, str]) -> dict[str, str]:
    return {kind: text[:_EXAMPLE] for kind, text in examples.items()}


def _bounded(facts: FieldFacts) -> FieldFacts:
    return TEXT if facts.seen.get(finding.OTHER, 0).bit_count() >= _TEXT_BITS else facts


def _estimate(bits: int) -> float:
    clear = _BITS - bits.bit_count()
    return _BITS * math.log(_BITS / max(clear, 0.5))
