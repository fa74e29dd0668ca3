"""`rekey`: rebuilds a strategy's results and change feed under another key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, say
from meter_pipeline.commands.lookup import known_strategies
from meter_pipeline.commands.options import Json
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.rows import StrategyRow


def rekey(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    key: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Field of the key, or several: maker,specs.model.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Field whose values are no change, or several.")
    ] = None,
    by_hash: Annotated[bool, typer.Option("--by-hash", help="No key: an item is what it holds.")] = False,
    as_json: Json = False,
) -> None:
    """Rebuild a strategy's results and change feed from raw under another key, without asking the API."""
    if by_hash and key:
        raise typer.BadParameter("--key and --by-hash exclude each other")
    from meter_pipeline.sync.loading.loader import BATCH_BYTES
    from meter_pipeline.sync.loading.rebuild import RekeyError, asked
    from meter_pipeline.sync.loading.rebuild import rekey as make_anew

    settings = Settings.from_env()
    config = load_config(settings.config)
    with open_store(settings) as store:
        (row,) = known_strategies(store.ledger, strategy)
        keyed, ignored = _fields(key, "--key"), _fields(ignore, "--ignore")
        _known(row, keyed, "--key")
        _known(row, ignored, "--ignore")
        wanted = asked(config, row, [] if by_hash else keyed, ignored)
        if not make_anew(store.lake, store.ledger, row, wanted, large=BATCH_BYTES):
            raise RekeyError(f"{row.slug} is being loaded at this moment: try again when that has ended")
        duplicates = store.ledger.duplicates().get(row.strategy_id, 0)
    if as_json:
        emit({"strategy": row.slug, "key": wanted.key, "ignore": wanted.ignore, "duplicates": duplicates})
        return
    say(f"{row.slug}: keyed by {', '.join(wanted.key) or 'hash'}; publish the warehouse to see it")
    if duplicates:
        say(f"{duplicates:,} items have a key that an earlier item of their job has")


def _known(row: StrategyRow, fields: list[str] | None, option: str) -> None:
    """Refuses fields that no item has ever had: all of them would be missing, and the key be none."""
    from meter_pipeline.config.field_paths import parse_path

    there = [column.field for column in row.columns]
    for name in fields or ():
        if there and parse_path(name)[0] not in there:
            known = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
            raise typer.BadParameter(f"{option}: no item of {row.slug} has a field {name!r}; there are {known}")


def _fields(texts: list[str] | None, option: str) -> list[str] | None:
    """The fields that an option names, each once: the option may be given again, and name several with commas."""
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
