"""`strategies`: extraction plans at Meter, and what is loaded of them."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import emit, record, say, show
from meter_pipeline.commands.lookup import find_strategy, open_meter, say_deleted
from meter_pipeline.commands.options import Json, Yes, confirm, parse_object
from meter_pipeline.commands.usage import Commands
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import from_iso
from meter_pipeline.connect import open_known_ledger

strategies = Commands(help="List, show, make, refine and delete extraction plans at Meter.")


@strategies.command("list")
def list_strategies(as_json: Json = False) -> None:
    """List the strategies."""
    with open_meter() as client:
        found = list(client.strategies())
    if as_json:
        emit([record(strategy) for strategy in found])
    else:
        show(("id", "name", "url", "updated"), [(s.strategy_id, s.name, s.url, s.updated_at) for s in found])


@strategies.command("show")
def show_strategy(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    items: Annotated[int, typer.Option(min=0, metavar="N", help="How many items of its preview to print.")] = 5,
    as_json: Json = False,
) -> None:
    """Show a strategy as Meter has it, with its preview, and what is loaded of it here."""
    with open_meter() as client:
        found = client.strategy(find_strategy(client, strategy).strategy_id)
    here = _loaded(found.strategy_id)
    preview = found.raw.get("preview_data")
    preview = preview[:items] if isinstance(preview, list) else []
    if as_json:
        emit({**record(found), **here, "preview": preview})
        return
    rows = [*record(found).items(), *here.items()]
    show(("field", "value"), [(name, _in_words(value)) for name, value in rows])
    for item in preview:
        say(json.dumps(item, ensure_ascii=False))


def _loaded(strategy_id: str) -> dict[str, Any]:
    """What the ledger knows of a strategy: slug, jobs by state, items, key, columns with their types, versions."""
    from meter_pipeline.store.ledger.listings import list_versions
    from meter_pipeline.sync.items.rules import load

    with open_known_ledger(Settings.from_env()) as ledger:
        row = None if ledger is None else ledger.strategy(strategy_id)
        if ledger is None or row is None:
            return {}
        counts = [count for count in ledger.counts() if count.slug == row.slug]
        return {
            "slug": row.slug,
            "jobs": {count.state: count.jobs for count in counts},
            "items": sum(count.items for count in counts),
            "key": list(load(row.identity).key),
            "columns": {column.name: column.kind for column in row.columns},
            "versions_seen": len(list_versions(ledger, "strategy", strategy_id)),
        }


def _in_words(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


@strategies.command("history")
def show_history(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Most jobs to list.")] = 20,
    as_json: Json = False,
) -> None:
    """Show how a strategy has changed, as far as syncs have seen it, and Meter's history of its jobs, newest first."""
    from meter_pipeline.store.ledger.listings import list_versions

    with open_meter() as client:
        identifier = find_strategy(client, strategy).strategy_id
        entries = client.strategy_history(identifier)
    with open_known_ledger(Settings.from_env()) as ledger:
        seen = [] if ledger is None else list_versions(ledger, "strategy", identifier)
    if as_json:
        emit({"versions": seen, "jobs": [record(entry) for entry in entries[:limit]], "jobs_in_all": len(entries)})
        return
    if seen:
        rows = [(version.version, from_iso(version.seen_at), ", ".join(version.changed) or None) for version in seen]
        show(("version", "first seen", "changed"), rows, "Versions")
    else:
        say("no sync has seen this strategy yet")
    cells = [(e.job_id, e.status, e.item_count, e.has_changes, e.created_at) for e in entries[:limit]]
    show(("job", "status", "items", "changes", "made"), cells, "Jobs at Meter")
    if (more := len(entries) - limit) > 0:
        say(f"{more:,} older jobs: give --limit")


@strategies.command("generate")
def generate_strategy(
    url: Annotated[str, typer.Argument(help="Page to scrape.")],
    description: Annotated[str, typer.Argument(help="What to take from it.")],
    name: Annotated[str, typer.Option(help="Name of the strategy.")],
    force_api: Annotated[bool, typer.Option("--force-api", help="Use the page's own API.")] = False,
    output_schema: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON schema of the items, or @FILE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a strategy from a page and a description."""
    schema = parse_object(output_schema, "--output-schema")
    with open_meter(creates=True) as client:
        made = client.generate_strategy(
            url=url, description=description, name=name, force_api=force_api, output_schema=schema
        )
    _show_generated(made, as_json)


@strategies.command("refine")
def refine_strategy(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    feedback: Annotated[str, typer.Argument(help="What to do better.")],
    as_json: Json = False,
) -> None:
    """Improve a strategy by feedback."""
    with open_meter(creates=True) as client:
        made = client.refine_strategy(find_strategy(client, strategy).strategy_id, feedback)
    _show_generated(made, as_json)


def _show_generated(made: Any, as_json: bool) -> None:
    if as_json:
        emit(record(made))
        return
    say(f"strategy {made.strategy_id}, {made.attempts or 1} attempt(s); a preview of its items:")
    for item in list(made.preview or ())[:5]:
        say(json.dumps(item, ensure_ascii=False))


@strategies.command("delete")
def delete_strategy(
    strategy: Annotated[str, typer.Argument(help="Id, slug or name.", autocompletion=complete.strategies)],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a strategy at Meter; what was loaded stays."""
    with open_meter() as client:
        found = find_strategy(client, strategy)
        confirm(yes, f"strategy {found.name!r}")
        client.delete_strategy(found.strategy_id)
    say_deleted("strategy", found.strategy_id, as_json)
