"""`rekey`: rebuilds a strategy's results and change feed under another key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands.console import print_json, print_line
from meter_pipeline.commands.lookup import find_known_strategies
from meter_pipeline.commands.options import Json, StrategyArgument
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.mismatches import find_objects, find_unknown
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import StrategyRow


def rekey(
    strategy: StrategyArgument,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Field of the key, or several separated by commas: maker,specs.model."),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="Field that is ignored when items are compared, or several."),
    ] = None,
    by_hash: Annotated[
        bool, typer.Option("--by-hash", help="Use no key: items are the same only if all their fields are.")
    ] = False,
    found: Annotated[
        bool, typer.Option("--found", help="Look for a key in the data again, instead of one that was set before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild a strategy's results and change feed under another key, from the raw items and without API calls."""
    if bool(key) + by_hash + found > 1:
        raise typer.BadParameter("--key, --by-hash and --found exclude each other")
    from meter_pipeline.sync.items.key_findings import spell_key
    from meter_pipeline.sync.items.rules import load
    from meter_pipeline.sync.limits import Limits
    from meter_pipeline.sync.loading.rebuild import RekeyError, asked
    from meter_pipeline.sync.loading.rebuild import rekey as rebuild

    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        (row,) = find_known_strategies(store.ledger, strategy)
        key_fields, ignored_fields = _parse_fields(key, "--key"), _parse_fields(ignore, "--ignore")
        _require_fields(row, key_fields, "--key")
        _require_values(row, key_fields)
        _require_fields(row, ignored_fields, "--ignore")
        rules = asked(config, row, [] if by_hash else key_fields, ignored_fields, found=found)
        if not rebuild(store.lake, store.ledger, row, rules, Limits(helpers=settings.processes - 1)):
            raise RekeyError(f"{row.slug} is being loaded at this moment: try again when that has ended")
        rebuilt = store.ledger.strategy(row.strategy_id)
        assert rebuilt is not None
        rules = load(rebuilt.identity)
        duplicates = store.ledger.duplicates().get(row.strategy_id, 0)
    if as_json:
        print_json({"strategy": row.slug, "key": rules.key, "ignore": rules.ignore, "duplicates": duplicates})
        return
    key_in_use = spell_key(rules.key, by_page=rules.by_page)
    print_line(f"{row.slug}: keyed by {key_in_use}; publish the warehouse to see it")
    if duplicates:
        print_line(f"{count_of(duplicates, 'item')} with the same key as an earlier item of the job")


def _require_values(row: StrategyRow, fields: list[str] | None) -> None:
    """Refuses fields of a key that are objects."""
    for name, meant in find_objects(fields or (), row):
        raise typer.BadParameter(f"--key: {name!r} is an object in the items of {row.slug}: {meant}")


def _require_fields(row: StrategyRow, fields: list[str] | None, option: str) -> None:
    """Refuses fields that no item ever had: a key of such fields would be empty for every item."""
    for name, meant in find_unknown(fields or (), row):
        raise typer.BadParameter(f"{option}: no item of {row.slug} has a field {name!r}: {meant}")


def _parse_fields(texts: list[str] | None, option: str) -> list[str] | None:
    """Parses the values of a repeatable option, each a field or several separated by commas, into unique fields."""
    from meter_pipeline.config.field_paths import parse_path

    if not texts:
        return None
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        try:
            parse_path(name)
        except ValueError as error:
            raise typer.BadParameter(f"{option}: {error}") from None
        if names.count(name) > 1:
            raise typer.BadParameter(f"{option}: {name!r} is there twice: remove one")
    return names
