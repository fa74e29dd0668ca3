"""Strategies that the project declares: they have their assets before any sync, in CI or in a new container.

An asset downstream of `results/<slug>` loads only together with that asset, and the job that could fill the ledger is
in the same code location. So a declared strategy does not wait for the ledger; a check says when Meter has none of
that name.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import dagster as dg

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.config.settings import SettingsError
from meter_pipeline.defs.keys import results_key, slug_of

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import StrategyRow

EXISTS = "strategy_exists"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeclaredStrategy:
    """A strategy that the project declares.

    Attributes:
        slug: The one in the ledger, or the one that the first sync will make of the name.
        label: What the project calls it: its name at Meter, its slug or its id.
        source: Where it is declared, as text.
    """

    slug: str
    label: str
    source: str

    def missing(self, strategies: Mapping[str, StrategyRow]) -> str | None:
        """Why the strategy has no data, as one line with the way out; None when the ledger knows it at Meter.

        Args:
            strategies: All strategies of the ledger, by slug.
        """
        row = strategies.get(self.slug)
        if row is not None:
            return f"deleted at Meter, {row.deleted_at}: what was loaded stays" if row.deleted_at else None
        if not strategies:
            return f"{self.label!r} ({self.source}) is unknown: no sync has seen a strategy at Meter yet"
        names = [name for row in strategies.values() for name in (row.name, row.slug) if name]
        close = difflib.get_close_matches(self.label, names, 1)
        meant = f", did you mean {close[0]!r}?" if close else ""
        return f"no strategy at Meter is called {self.label!r} ({self.source}): correct the name or remove it{meant}"


def declared_strategies(
    labels: Sequence[str], config: Config, known: Sequence[StrategyRow]
) -> dict[str, DeclaredStrategy]:
    """The declared strategies by slug.

    Args:
        labels: Names, slugs or ids that the definitions declare.
        config: `meter.yaml`; each entry of its `strategies` declares one.
        known: The strategies of the ledger.

    Raises:
        SettingsError: The labels are no list of texts.
    """
    if isinstance(labels, str) or not all(isinstance(label, str) and label.strip() for label in labels):
        raise SettingsError(f"strategies={labels!r} is no list of names: write ['new_books']")
    sources = dict.fromkeys(labels, "strategies of the definitions")
    for label, said in config.strategies.items():
        file = config.path.name if config.path else "meter.yaml"
        sources.setdefault(label, f"{file}:{said.line}")
    found: dict[str, DeclaredStrategy] = {}
    for label, source in sources.items():
        for slug in _slugs(label, known):
            found.setdefault(slug, DeclaredStrategy(slug, label, source))
    return found


def _slugs(label: str, known: Sequence[StrategyRow]) -> list[str]:
    """The slugs of a declared strategy in the ledger, or the one it will get; empty where only a sync can tell."""
    # Imported here: definitions that declare nothing need neither.
    from meter_pipeline.store.ledger.rows import called
    from meter_pipeline.store.ledger.slugs import make_slug

    if rows := called(known, label):
        return [row.slug for row in rows]
    slug = make_slug(label, "a", ())
    if _is_id(label) or slug != make_slug(label, "b", ()):
        _log.warning("%r has its results asset after the first sync: declare a strategy by its name or slug", label)
        return []
    return [slug]


def _is_id(label: str) -> bool:
    try:
        UUID(label)
    except ValueError:
        return False
    return True


def check_specs(declared: Iterable[DeclaredStrategy]) -> list[dg.AssetCheckSpec]:
    """One check for each declared strategy: whether there is such a strategy at Meter."""
    description = "There is a strategy of this name at Meter; it was declared before a sync had seen it."
    return [
        dg.AssetCheckSpec(EXISTS, asset=results_key(strategy.slug), description=description) for strategy in declared
    ]


def check_results(
    selected: Iterable[dg.AssetCheckKey],
    declared: Mapping[str, DeclaredStrategy],
    strategies: Mapping[str, StrategyRow],
    concerned: Iterable[str] | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks on what the ledger holds.

    Args:
        selected: The checks asked for, those of other rules among them.
        declared: The declared strategies by slug.
        strategies: The strategies of the ledger by slug.
        concerned: Slugs with news; a check of another one is evaluated only if it fails. None for all.
    """
    news = None if concerned is None else set(concerned)
    for check in sorted(selected, key=lambda key: (key.asset_key, key.name)):
        strategy = declared.get(slug_of(check.asset_key) or "")
        if check.name != EXISTS or strategy is None:
            continue
        reason = strategy.missing(strategies)
        if reason is None and news is not None and strategy.slug not in news:
            continue
        never_seen = strategy.slug not in strategies
        yield dg.AssetCheckResult(
            passed=reason is None,
            asset_key=check.asset_key,
            check_name=EXISTS,
            severity=dg.AssetCheckSeverity.ERROR if never_seen else dg.AssetCheckSeverity.WARN,
            description=reason or f"Meter has the strategy, id {strategies[strategy.slug].strategy_id}",
            metadata={"declared as": strategy.label, "declared in": strategy.source},
        )
