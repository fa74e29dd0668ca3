"""Finds what `meter.yaml` names and the strategies do not have: a strategy, a field, an entry that another one hides.

Such an entry has no effect, or the wrong one: a key of a field that no item has is empty for every item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from meter_pipeline.config.field_paths import Path, parse_path, spell_path
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

    def field_names(self, within: Path = ()) -> tuple[str, ...] | None:
        """Names of the fields that its items had so far, or those within a field; None where any may be there."""


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
            found += [(entry.line, line) for line in _unfit_fields(strategy, entry)]
    return [f"{config.path}:{line}: {text}" for line, text in sorted(found)]


def find_unknown(paths: Iterable[str], strategy: KnownStrategy) -> Iterator[tuple[str, str]]:
    """Each path that no item of a strategy has, and what was probably meant; none where no field is known yet."""
    if not strategy.field_names():
        return
    for text in paths:
        path = parse_path(text)
        for depth, name in enumerate(path):
            names = strategy.field_names(path[:depth])
            if names is None:
                break
            if name not in names:
                yield text, _describe_meant(path, depth, names)
                break


def find_objects(paths: Iterable[str], strategy: KnownStrategy) -> Iterator[tuple[str, str]]:
    """Each path of a key at which items have an object, and what to name instead: a key is made of single values."""
    for text in paths:
        path = parse_path(text)
        inner = strategy.field_names(path)
        if inner:
            yield text, f"name a field in it, such as {spell_path((*path, inner[0]))}"


def _describe_meant(path: Path, depth: int, names: Sequence[str]) -> str:
    """What a path may have meant whose part at `depth` is none of `names`."""
    above = path[:depth]
    if not names:
        return f"{spell_path(above)} has no fields"
    close = find_close(path[depth], names)
    if close:
        return f"did you mean {spell_path((*above, close))}?"
    return f"{f'{spell_path(above)} has' if above else 'there are'} {list_names(names)}"


def _unfit_fields(strategy: KnownStrategy, entry: StrategyConfig) -> Iterator[str]:
    if entry.items is not None and parse_path(entry.items)[0] in (strategy.field_names() or ()):
        # No sync has unwrapped the items yet: the fields that are known are those of the wrappers.
        return
    named = {
        "key": entry.key or (),
        "ignore": entry.ignore,
        "types": tuple(entry.types),
        "audit.ignore": sorted(entry.audit.ignore),
    }
    for option, paths in named.items():
        for path, meant in find_unknown(paths, strategy):
            yield f"{option}: no item of {strategy.slug} has a field {path!r}: {meant}"
    for path, meant in find_objects(entry.key or (), strategy):
        yield f"key: {path!r} is an object in the items of {strategy.slug}: {meant}"
