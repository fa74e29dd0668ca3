"""Which rows a filter keeps: the Lucene-like `filter` of a read, and a strategy's `filter_config`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from meter_pipeline.sandbox.content import Content, read_json

_TERM = re.compile(r'([+-]?)(?:"([^"]*)"|(\S+))')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def build_matcher(expression: str) -> Callable[[bytes], bool]:
    """A test for rows: `+a` must occur, `-a` must not, of words without a sign any suffices; `"a b"` is a phrase.

    Case does not matter; a word is found anywhere in any text value of the row, however deep.
    """
    required: list[str] = []
    forbidden: list[str] = []
    optional: list[str] = []
    for sign, phrase, word in _TERM.findall(expression):
        {"+": required, "-": forbidden, "": optional}[sign].append((phrase or word).lower())

    def keeps(item: bytes) -> bool:
        text = "\n".join(_texts(read_json(item))).lower()
        if any(word in text for word in forbidden) or not all(word in text for word in required):
            return False
        return bool(required) or not optional or any(word in text for word in optional)

    return keeps


def keep_rows(content: Content, keeps: Callable[[bytes], bool]) -> Content:
    """The content with only the rows for which `keeps` is true."""
    items = [item for item in content.items if keeps(item)]
    return content if len(items) == len(content.items) else Content(items)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def build_filter(config: dict[str, Any]) -> Callable[[bytes], bool]:
    """A test for rows from a strategy's `filter_config`: `mode` all or any, and a list of `conditions`."""
    conditions = config.get("conditions") or []
    combine = any if config.get("mode") == "any" else all

    def keeps(item: bytes) -> bool:
        row = read_json(item)
        row = row if isinstance(row, dict) else {"value": row}
        return not conditions or combine(_holds(condition, row) for condition in conditions)

    return keeps


def _holds(condition: dict[str, Any], row: dict[str, Any]) -> bool:
    operator = str(condition.get("operator", ""))
    value = row.get(str(condition.get("field", "")))
    if operator in ("exists", "not_exists"):
        return (value not in (None, "", [])) == (operator == "exists")
    text, wanted = "" if value is None else str(value), str(condition.get("value", ""))
    if operator in ("gt", "lt"):
        here, there = _NUMBER.search(text.replace(",", "")), _NUMBER.search(wanted)
        if here is None or there is None:
            return False
        return float(here[0]) > float(there[0]) if operator == "gt" else float(here[0]) < float(there[0])
    cased = bool(condition.get("case_sensitive"))
    if operator == "regex_match":
        return re.search(wanted, text, 0 if cased else re.IGNORECASE) is not None
    if not cased:
        text, wanted = text.lower(), wanted.lower()
    holds = wanted == text if operator.endswith("equals") else wanted in text
    return not holds if operator.startswith("not_") else holds
