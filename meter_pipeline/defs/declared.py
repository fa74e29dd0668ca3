"""Strategies that the project declares: they have assets before any sync, such as in CI or in a new container.

An asset downstream of `results/<slug>` loads only together with that asset, and the job that could fill the ledger is
in the same code location. So a declared strategy does not need the ledger; a check fails if Meter has no strategy of
that name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import dagster as dg

from meter_pipeline.config.meter_yaml import Config
from meter_pipeline.config.variables import SettingsError
from meter_pipeline.defs.keys import find_slug, make_results_key

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import StrategyRow

EXISTS = "strategy_exists"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeclaredStrategy:
    """A strategy that the project declares.

    Attributes:
        slug: Its slug in the ledger, or the one that the first sync will make from the name.
        label: What the project calls it: its name at Meter, its slug or its id.
        source: Where it is declared, as text.
    """

    slug: str
    label: str
    source: str

    def explain_missing(self, strategies: Mapping[str, StrategyRow]) -> str | None:
        """Returns why the strategy has no data and what to do, in one line; None if Meter has the strategy.

        Args:
            strategies: All strategies of the ledger, by slug.
        """
        row = strategies.get(self.slug)
        if row is not None:
            return f"deleted at Meter on {row.deleted_at}; the data that was loaded stays" if row.deleted_at else None
        if not strategies:
            return f"{self.label!r} ({self.source}) is unknown: no sync has seen a strategy at Meter yet"
        from meter_pipeline.store.ledger.rows import find_meant

        meant = find_meant(list(strategies.values()), self.label, "")
        way_out = f"correct the name or remove it{meant and f', {meant}'}"
        return f"no strategy at Meter is called {self.label!r} ({self.source}): {way_out}"


def find_declared_strategies(
    labels: Sequence[str], config: Config, known: Sequence[StrategyRow]
) -> dict[str, DeclaredStrategy]:
    """Returns the declared strategies by slug.

    Args:
        labels: Names, slugs or ids that the definitions declare.
        config: `meter.yaml`; each entry of its `strategies` declares one.
        known: The strategies of the ledger.

    Raises:
        SettingsError: The labels are not a list of names.
    """
    if isinstance(labels, str) or not all(isinstance(label, str) and label.strip() for label in labels):
        raise SettingsError(f"strategies={labels!r} is not a list of names: write ['new_books']")
    sources = dict.fromkeys(labels, "strategies of the definitions")
    for label, entry in config.strategies.items():
        file = config.path.name if config.path else "meter.yaml"
        sources.setdefault(label, f"{file}:{entry.line}")
    found: dict[str, DeclaredStrategy] = {}
    for label, source in sources.items():
        for slug in _slugs(label, known):
            found.setdefault(slug, DeclaredStrategy(slug, label, source))
    return found


def _slugs(label: str, known: Sequence[StrategyRow]) -> list[str]:
    """Returns the slugs of a declared strategy: from the ledger, or made from its name; empty for an unknown id."""
    # Imported here: definitions that declare nothing need neither.
    from meter_pipeline.store.ledger.rows import called
    from meter_pipeline.store.ledger.slugs import make_slug

    if rows := called(known, label):
        return [row.slug for row in rows]
    slug = make_slug(label, "a", ())
    if _is_id(label) or slug != make_slug(label, "b", ()):
        _log.warning(
            "%r has a results asset only after the first sync; declare it by its name or slug to have one before",
            label,
        )
        return []
    return [slug]


def _is_id(label: str) -> bool:
    try:
        UUID(label)
    except ValueError:
        return False
    return True


def make_check_specs(declared: Iterable[DeclaredStrategy]) -> list[dg.AssetCheckSpec]:
    """Returns a check for each declared strategy: whether Meter has it."""
    description = "Meter has a strategy of this name. The project declares it, so it has an asset before any sync."
    return [
        dg.AssetCheckSpec(EXISTS, asset=make_results_key(strategy.slug), description=description)
        for strategy in declared
    ]


def evaluate_checks(
    selected: Iterable[dg.AssetCheckKey],
    declared: Mapping[str, DeclaredStrategy],
    strategies: Mapping[str, StrategyRow],
    concerned: Iterable[str] | None = None,
) -> Iterator[dg.AssetCheckResult]:
    """Evaluates the selected checks on the strategies in the ledger.

    Args:
        selected: The checks to evaluate; those of other modules are ignored.
        declared: The declared strategies by slug.
        strategies: The strategies of the ledger by slug.
        concerned: Slugs with new data; the check of any other strategy is yielded only if it fails. None for all.
    """
    with_news = None if concerned is None else set(concerned)
    for check in sorted(selected, key=lambda key: (key.asset_key, key.name)):
        strategy = declared.get(find_slug(check.asset_key) or "")
        if check.name != EXISTS or strategy is None:
            continue
        reason = strategy.explain_missing(strategies)
        if reason is None and with_news is not None and strategy.slug not in with_news:
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
