"""Parsers of answers about a single resource; each refuses the record of another resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from meter_pipeline.api.answers import require, require_named
from meter_pipeline.api.decoding import object_of, rows
from meter_pipeline.api.records import Comparison, GeneratedStrategy, HistoryEntry, Schedule, Strategy, Unusable
from meter_pipeline.api.spool import Content

Resource = TypeVar("Resource", Strategy, GeneratedStrategy, Schedule)


def parse_record(kind: type[Resource], noun: str, asked: str) -> Callable[[Content], Resource]:
    """Parses the record of the requested resource, and refuses another one."""

    def parse(content: Content) -> Resource:
        found = kind.from_json(object_of(content))
        require(noun, asked, getattr(found, f"{noun}_id"))
        return found

    return parse


def parse_refined(strategy_id: str) -> Callable[[Content], GeneratedStrategy]:
    """Parses the answer to a refinement, which may leave out the strategy's id."""

    def parse(content: Content) -> GeneratedStrategy:
        data = object_of(content)
        made = GeneratedStrategy.from_json(data if "id" in data else {"strategy_id": strategy_id, **data})
        require("strategy", strategy_id, made.strategy_id)
        return made

    return parse


def parse_history(strategy_id: str) -> Callable[[Content], list[HistoryEntry | Unusable]]:
    """Parses a history, whose rows may leave out the strategy's id."""

    def parse_row(row: dict[str, Any]) -> HistoryEntry:
        require_named("strategy", strategy_id, row, "strategy_id")
        return HistoryEntry.from_json(row)

    return lambda content: rows(content, "history", parse_row)


def parse_comparison(job_id: str, other_job_id: str) -> Callable[[Content], Comparison]:
    """Parses a comparison, which may leave out its jobs' ids."""

    def parse(content: Content) -> Comparison:
        data = object_of(content)
        require_named("job", job_id, data, "job_id")
        require_named("job", other_job_id, data, "other_job_id")
        return Comparison.from_json(job_id, other_job_id, data)

    return parse
