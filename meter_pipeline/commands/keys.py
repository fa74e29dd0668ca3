"""`keys`: shows the key of each strategy's items and the evidence for it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_line, print_table
from meter_pipeline.commands.lookup import find_known_strategies
from meter_pipeline.commands.options import Json
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_ledger

if TYPE_CHECKING:
    from meter_pipeline.sync.items.candidates import Candidate
    from meter_pipeline.sync.items.rules import ChosenRules

_CANDIDATE = ("candidate", "present", "unique", "stable", "agreement", "met again", "changed", "verdict", "why")
# Fields of the stored item rules that are bookkeeping of the search for a key.
_INTERNAL = ("search",)


def keys(
    strategy: Annotated[
        str | None,
        typer.Argument(
            help="Strategy id, slug or name; by default all strategies.", autocompletion=complete.strategies
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the fields that identify each strategy's items, and the evidence for this key; for one strategy, also the
    candidates that were examined, with their numbers.
    """
    from meter_pipeline.sync.items.key_findings import find_trouble
    from meter_pipeline.sync.items.keys import list_candidates
    from meter_pipeline.sync.items.rules import load

    with open_ledger(Settings.from_env()) as ledger:
        rows = find_known_strategies(ledger, strategy)
        duplicates = ledger.duplicates()
    chosen = [(row, load(row.identity)) for row in rows]
    if as_json:
        print_json(
            {
                "strategies": [
                    {
                        "strategy": row.slug,
                        **{name: value for name, value in vars(rules).items() if name not in _INTERNAL},
                        "duplicates": duplicates.get(row.strategy_id, 0),
                        "finding": None if (finding := find_trouble(rules)) is None else finding.message,
                        "candidates": [asdict(found) for found in list_candidates(rules.search)],
                    }
                    for row, rules in chosen
                ]
            }
        )
        return
    if not chosen:
        print_line("no strategy is known yet: run `meter-pipeline sync`")
        return
    print_table(
        ("strategy", "key", "from", "stability", "jobs", "items", "repeated", "ignored"),
        [_summarise(row.slug, rules, duplicates.get(row.strategy_id, 0)) for row, rules in chosen],
    )
    for row, rules in chosen:
        if (finding := find_trouble(rules)) is not None:
            print_line(f"{row.slug}: {finding.message}")
        if strategy is not None and (candidates := list_candidates(rules.search)):
            print_line("")
            print_table(_CANDIDATE, [_describe(found) for found in candidates])


def _summarise(slug: str, rules: ChosenRules, duplicates: int) -> tuple[Any, ...]:
    from meter_pipeline.sync.items.key_findings import spell_key

    evidence = rules.evidence or {}
    key = spell_key(rules.key, by_page=rules.by_page) if rules.key or rules.by_page else "(the item's hash)"
    numbers = (evidence.get(name) for name in ("stability", "jobs", "items"))
    return (slug, key, rules.source, *numbers, duplicates, ", ".join(rules.ignore))


def _describe(found: Candidate) -> tuple[Any, ...]:
    name = " + ".join(found.fields) or "(the page)"
    numbers = (found.presence, found.uniqueness, found.stability, found.agreement, found.matched, found.changed)
    return (name, *numbers, found.verdict, found.reason)
