"""`sandbox`: runs an emulator of the Meter API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline.commands.console import print_line
from meter_pipeline.config import origin


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="Virtual seconds per second; 0 stops the clock.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Seed of the random data; the same seed gives the same data.")] = (
        origin.SEED
    ),
    days: Annotated[float, typer.Option(min=0, help="Virtual days of history at the start.")] = 3.0,
    world: Annotated[
        list[str] | None,
        typer.Option(
            help="World to serve; by default bookshop, jobboard, newsroom and flakyshop. "
            "An unknown name lists them all."
        ),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Serve the recorded jobs in this folder instead.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Fault to inject, such as rate_500=0.1.")
    ] = None,
    alter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STRATEGY=KIND[:FIELD][:RUNS]",
            help="Break the next runs of a strategy, such as 'New books=field_null:price:3', or let something odd but "
            "healthy happen, such as 'New books=sale:price'.",
        ),
    ] = None,
) -> None:
    """Run an emulator of the Meter API on this machine."""
    from meter_pipeline.sandbox import parse_faults, serve

    serve(
        host=host,
        port=port,
        speed=speed,
        seed=seed,
        days=days,
        worlds=world,
        replay=replay,
        faults=parse_faults(fault or []),
        alterations=alter or (),
        echo=print_line,
    )
