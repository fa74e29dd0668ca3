"""`strategies`: manages the strategies at Meter, and shows what is loaded from each."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from meter_pipeline.commands.console import print_json, print_line, print_table, to_document
from meter_pipeline.commands.lookup import find_strategy, open_meter, print_deleted
from meter_pipeline.commands.options import Json, StrategyArgument, Yes, confirm, parse_object
from meter_pipeline.commands.suggestions import find_suggestions
from meter_pipeline.commands.usage import Commands
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.spans import from_iso
from meter_pipeline.connect import open_known_ledger

strategies = Commands(help="List, show, generate, refine and delete strategies at Meter.")


@strategies.command("list")
def list_strategies(as_json: Json = False) -> None:
    """List the strategies at Meter."""
    with open_meter() as client:
        found = list(client.strategies())
    if as_json:
        print_json([to_document(strategy) for strategy in found])
    elif not found:
        print_line(
            "no strategy at Meter: make one with `meter-pipeline strategies generate URL DESCRIPTION --name NAME`"
        )
    else:
        print_table(("id", "name", "url", "updated"), [(s.strategy_id, s.name, s.url, s.updated_at) for s in found])


@strategies.command("show")
def show_strategy(
    strategy: StrategyArgument,
    items: Annotated[int, typer.Option(min=0, metavar="N", help="Most items of its preview to print.")] = 5,
    as_json: Json = False,
) -> None:
    """Show a strategy at Meter with its preview, and what is loaded from it here."""
    with open_meter() as client:
        found = client.strategy(find_strategy(client, strategy).strategy_id)
    loaded = _describe_loaded(found.strategy_id)
    preview = found.raw.get("preview_data")
    preview = preview[:items] if isinstance(preview, list) else []
    if as_json:
        print_json({**to_document(found), **loaded, "preview": preview})
        return
    reasons = loaded.pop("text_reasons", {})
    suggested = [loaded.pop(name, None) for name in ("noise", "wrapper")]
    rows = [*to_document(found).items(), *loaded.items()]
    print_table(("field", "value"), [(name, _format_value(value)) for name, value in rows])
    for name, reason in reasons.items():
        print_line(f"{name} stays text: {reason}")
    for line in filter(None, suggested):
        print_line(line)
    for item in preview:
        print_line(json.dumps(item, ensure_ascii=False))


def _describe_loaded(strategy_id: str) -> dict[str, Any]:
    """What the ledger knows about a strategy: slug, jobs by state, items, key, what is compared, columns,
    why fields stay text, fields that always change, versions.
    """
    from meter_pipeline.store.ledger.listings import list_versions
    from meter_pipeline.sync.items.rules import load

    settings = Settings.from_env()
    with open_known_ledger(settings) as ledger:
        row = None if ledger is None else ledger.strategy(strategy_id)
        if ledger is None or row is None:
            return {}
        rules = load(row.identity)
        counts = [count for count in ledger.counts() if count.slug == row.slug]
        suggested = find_suggestions(settings, ledger, [row], row.strategy_id)
        return {
            "slug": row.slug,
            "jobs": {count.state: count.jobs for count in counts},
            "items": sum(count.items for count in counts),
            "key": list(rules.key),
            "compared_by": rules.compare,
            "compared_by_reason": rules.compare_reason,
            "columns": {column.name: column.kind for column in row.columns},
            "text_reasons": row.text_reasons,
            "noise": suggested.noise.get(row.slug, suggested.unread),
            "items_in": rules.items,
            "wrapper": suggested.wrappers.get(row.slug),
            "versions_seen": len(list_versions(ledger, "strategy", strategy_id)),
        }


def _format_value(value: Any) -> Any:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else value


@strategies.command("history")
def show_history(
    strategy: StrategyArgument,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Most jobs to list.")] = 20,
    as_json: Json = False,
) -> None:
    """Show the versions of a strategy that syncs have seen, and Meter's history of its jobs, newest first."""
    from meter_pipeline.store.ledger.listings import list_versions

    with open_meter() as client:
        identifier = find_strategy(client, strategy).strategy_id
        entries = client.strategy_history(identifier)
    with open_known_ledger(Settings.from_env()) as ledger:
        seen = [] if ledger is None else list_versions(ledger, "strategy", identifier)
    if as_json:
        print_json(
            {"versions": seen, "jobs": [to_document(entry) for entry in entries[:limit]], "jobs_in_all": len(entries)}
        )
        return
    if seen:
        rows = [(version.version, from_iso(version.seen_at), ", ".join(version.changed) or None) for version in seen]
        print_table(("version", "first seen", "changed"), rows, "Versions")
    else:
        print_line("no sync has seen this strategy yet")
    jobs = [(e.job_id, e.status, e.item_count, e.has_changes, e.created_at) for e in entries[:limit]]
    print_table(("job", "status", "items", "changes", "created"), jobs, "Jobs at Meter")
    if (more := len(entries) - limit) > 0:
        print_line(f"{more:,} older jobs: give --limit")


@strategies.command("generate")
def generate_strategy(
    url: Annotated[str, typer.Argument(help="Page to scrape.")],
    description: Annotated[str, typer.Argument(help="What to extract from it, in words.")],
    name: Annotated[str, typer.Option(help="Name for the strategy.")],
    force_api: Annotated[
        bool, typer.Option("--force-api", help="Use the API behind the page, in place of its HTML.")
    ] = False,
    output_schema: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON schema of the items, or @FILE to read one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate a strategy from a page and a description."""
    schema = parse_object(output_schema, "--output-schema")
    with open_meter(creates=True) as client:
        generated = client.generate_strategy(
            url=url, description=description, name=name, force_api=force_api, output_schema=schema
        )
    _print_generated(generated, as_json)


@strategies.command("refine")
def refine_strategy(
    strategy: StrategyArgument,
    feedback: Annotated[str, typer.Argument(help="What to improve, in words.")],
    as_json: Json = False,
) -> None:
    """Let Meter improve a strategy by your feedback."""
    with open_meter(creates=True) as client:
        generated = client.refine_strategy(find_strategy(client, strategy).strategy_id, feedback)
    _print_generated(generated, as_json)


def _print_generated(strategy: Any, as_json: bool) -> None:
    if as_json:
        print_json(to_document(strategy))
        return
    print_line(f"strategy {strategy.strategy_id}, {strategy.attempts or 1} attempt(s); a preview of its items:")
    for item in list(strategy.preview or ())[:5]:
        print_line(json.dumps(item, ensure_ascii=False))


@strategies.command("delete")
def delete_strategy(
    strategy: StrategyArgument,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a strategy at Meter; the data loaded from it is kept."""
    with open_meter() as client:
        found = find_strategy(client, strategy)
        confirm(yes, f"strategy {found.name!r}")
        client.delete_strategy(found.strategy_id)
    print_deleted("strategy", found.strategy_id, as_json)
