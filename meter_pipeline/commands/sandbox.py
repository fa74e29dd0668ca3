"""`sandbox`: runs an emulator of the Meter API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meter_pipeline.commands.console import say
from meter_pipeline.config import origin


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(min=0, help="Virtual seconds a second; 0 stands still.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Which world.")] = origin.SEED,
    days: Annotated[float, typer.Option(min=0, help="Virtual days that have passed at the start.")] = 3.0,
    world: Annotated[
        list[str] | None, typer.Option(help="bookshop, jobboard, newsroom or flakyshop; all by default.")
    ] = None,
    replay: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of recorded jobs to serve.")] = None,
    fault: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Switch a fault on.")] = None,
) -> None:
    """Run an emulator of the Meter API on this machine."""
    from meter_pipeline.sandbox import parse_faults, serve

    faults = parse_faults(fault or [])
    serve(host=host, port=port, speed=speed, seed=seed, days=days, worlds=world, replay=replay, faults=faults, echo=say)
