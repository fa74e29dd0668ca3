"""`release`, `hold` and `drop`: what a person decides about jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands import complete
from meter_pipeline.commands.console import print_json, print_line
from meter_pipeline.commands.options import Json, Yes, confirm
from meter_pipeline.config.meter_yaml import load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.connect import open_store
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.store.ledger.ledger import Ledger

Reason = Annotated[str | None, typer.Option(metavar="REASON", help="Why, for whoever sees the job in the ledger.")]
_THEN = "publish the warehouse to see it"


def release(
    job: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of held jobs; `meter-pipeline status` lists them.", autocompletion=complete.held_jobs),
    ] = None,
    all_like: Annotated[
        str | None,
        typer.Option(
            "--all-like",
            metavar="JOB",
            help="Release this job and all jobs of its strategy that failed mostly the same tests.",
            autocompletion=complete.held_jobs,
        ),
    ] = None,
    items: Annotated[
        bool,
        typer.Option(
            "--items",
            help="Also let rejected items of these jobs in, of accepted ones, too: NaN becomes null, and an item that "
            "cannot be mended stays out.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Accept held jobs by hand: their items enter results and the change feed as they are."""
    if not job and all_like is None:
        raise typer.BadParameter("give the ids of held jobs, or --all-like JOB: `meter-pipeline status` lists them")
    _decide("release", job or (), as_json, all_like=all_like, items=items)


def hold(
    job: Annotated[
        list[str],
        typer.Argument(
            help="Ids of accepted jobs; `meter-pipeline jobs list` shows them.", autocompletion=complete.accepted_jobs
        ),
    ],
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Hold accepted jobs by hand: results and the change feed become as if they had never been accepted.

    Their items stay in raw, and `meter-pipeline release` takes it back.
    """
    _decide("hold", job, as_json, reason=reason)


def drop(
    job: Annotated[
        list[str],
        typer.Argument(help="Ids of accepted, held, failed or unreadable jobs.", autocompletion=complete.loaded_jobs),
    ],
    reason: Reason = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Throw jobs away for good: their items leave results, the change feed and raw.

    No sync loads them again, unless you name them: `meter-pipeline sync --job JOB --again`.
    """
    _decide("drop", job, as_json, reason=reason, check=partial(_confirm_drop, yes=yes))


def _confirm_drop(ledger: Ledger, jobs: Sequence[str], *, yes: bool) -> None:
    from meter_pipeline.sync.loading.decisions import find_jobs
    from meter_pipeline.sync.loading.withdraw import DROP

    rows = find_jobs(ledger, jobs, DROP)
    items = sum(row.items or 0 for row in rows)
    subject = f"{count_of(len(rows), 'job')} with {count_of(items, 'item')}"
    confirm(yes, subject, " from results, change feed and raw")


def _decide(
    verb: str,
    jobs: Sequence[str],
    as_json: bool,
    *,
    reason: str | None = None,
    all_like: str | None = None,
    items: bool = False,
    check: Callable[[Ledger, Sequence[str]], None] | None = None,
) -> None:
    """Does what the user decides and prints it; `check` may refuse or ask first."""
    from meter_pipeline.sync.loading.by_hand import DONE, Request, decide_by_hand

    settings, request = Settings.from_env(), Request(verb, jobs, reason, all_like, items)
    config = load_config(settings.config)
    with open_store(settings) as store:
        if check is not None:
            check(store.ledger, jobs)
        decided = decide_by_hand(store.ledger, store.lake, request, config)
    if as_json:
        documents = [{"strategy": own.slug, "jobs": own.jobs, "items": own.items} for own in decided]
        if items:
            documents = [document | {"left": own.left} for document, own in zip(documents, decided, strict=True)]
        print_json({DONE[verb]: documents})
        return
    for own in decided:
        moved, *others = own.describe(request)
        print_line(f"{moved}; {_THEN}")
        for line in (own.trouble, *others):
            if line is not None:
                print_line(line)
