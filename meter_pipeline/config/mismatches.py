"""Finds what `meter.yaml` names and the strategies do not have: a strategy, a field, an entry that another one hides.

Such an entry has no effect, or the wrong one: a key of a field that no item has is empty for every item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from meter_pipeline.config.field_paths import parse_path
from meter_pipeline.config.meter_yaml import Config, StrategyConfig
from meter_pipeline.text.names import find_close, list_names


class KnownStrategy(Protocol):
    """A strategy that a sync has seen."""

    @property
    def strategy_id(self) -> str:
        """Its id at Meter."""

    @property
    def slug(self) -> str:
        """Its slug."""

    @property
    def name(self) -> str | None:
        """Its name at Meter."""

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields that its items had so far."""


def find_mismatches(config: Config, strategies: Sequence[KnownStrategy]) -> list[str]:
    """A line for each name in `meter.yaml` that nothing has, with its place in the file.

    Args:
        config: The file.
        strategies: All strategies of the ledger.
    """
    found: list[tuple[int, str]] = []
    names = [label for strategy in strategies for label in (strategy.slug, strategy.name) if label]
    for label, entry in config.strategies.items():
        named = [known for known in strategies if label in (known.strategy_id, known.slug, known.name)]
        if not named:
            close = find_close(label, names)
            meant = f"did you mean {close!r}?" if close else "see `meter-pipeline strategies list`"
            found.append((entry.line, f"no strategy has the id, slug or name {label!r}: {meant}"))
            continue
        used = [
            strategy for strategy in named if config.label(strategy.slug, strategy.strategy_id, strategy.name) == label
        ]
        if not used:
            other = config.label(named[0].slug, named[0].strategy_id, named[0].name)
            found.append((entry.line, f"{label!r} and {other!r} are one strategy: write one entry for it"))
        for strategy in used:
            found += [(entry.line, line) for line in _unknown_fields(strategy, entry)]
    return [f"{config.path}:{line}: {text}" for line, text in sorted(found)]


def unknown_fields(paths: Iterable[str], fields: Sequence[str]) -> Iterator[str]:
    """The paths that begin with none of `fields`; none where no field is known."""
    return (path for path in paths if fields and _first_name(path) not in fields)


def describe_fields(path: str, fields: Sequence[str]) -> str:
    """What a path that begins with none of `fields` may have meant."""
    close = find_close(_first_name(path), fields)
    return f"did you mean {close}?" if close else f"there are {list_names(fields)}"


def _first_name(path: str) -> str:
    return parse_path(path)[0]


def _unknown_fields(strategy: KnownStrategy, entry: StrategyConfig) -> Iterator[str]:
    if entry.items is not None and _first_name(entry.items) in strategy.field_names:
        # No sync has unwrapped the items yet: the fields that are known are those of the wrappers.
        return
    named = {
        "key": entry.key or (),
        "ignore": entry.ignore,
        "types": tuple(entry.types),
        "audit.ignore": sorted(entry.audit.ignore),
    }
    for option, paths in named.items():
        for path in unknown_fields(paths, strategy.field_names):
            meant = describe_fields(path, strategy.field_names)
            yield f"{option}: no item of {strategy.slug} has a field {path!r}: {meant}"
