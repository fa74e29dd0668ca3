"""`deliver`: sends the publication to the databases that `meter.yaml` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from meter_pipeline.commands.console import print_json, print_line, print_stderr
from meter_pipeline.commands.options import Json
from meter_pipeline.config.meter_yaml import Config, load_config
from meter_pipeline.config.settings import Settings
from meter_pipeline.config.variables import read_variable
from meter_pipeline.connect import open_ledger
from meter_pipeline.errors import MeterPipelineError
from meter_pipeline.text.counts import count_of

if TYPE_CHECKING:
    from meter_pipeline.store.warehouse.delivery.deliver import Delivery


def deliver(
    target: Annotated[
        list[str] | None, typer.Argument(help="Name of a target in meter.yaml; all targets by default.")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Send everything again, not only what has changed; replaces what another ledger delivered, too.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Send what was published to other databases, each whole or not at all."""
    from meter_pipeline.store.warehouse.delivery.deliver import deliver as send

    settings = Settings.from_env()
    config = load_config(settings.config)
    chosen = _choose(config, target or [])
    done: list[Delivery] = []
    failed: list[MeterPipelineError] = []
    with open_ledger(settings) as ledger:
        for name in chosen:
            wanted = config.deliver[name]
            # One target that is down keeps no other from what is new.
            try:
                address = wanted.resolve(read_variable)
                delivery = send(ledger, settings.warehouse, wanted, address, full=full, lake_url=settings.lake)
            except MeterPipelineError as error:
                failed.append(error)
                if len(chosen) > 1:
                    print_stderr(f"{name}: {error}")
                continue
            done.append(delivery)
            if not as_json:
                _print(delivery)
    if failed and len(chosen) == 1:
        raise failed[0]
    if as_json:
        print_json(done)
    if failed:
        raise typer.Exit(2)


def _choose(config: Config, names: list[str]) -> list[str]:
    if not config.deliver:
        raise typer.BadParameter("meter.yaml names no target: add `deliver: {NAME: {to: postgresql://…}}`")
    for name in names:
        if name not in config.deliver:
            raise typer.BadParameter(f"meter.yaml has no target {name!r}: it has {', '.join(config.deliver)}")
    return list(dict.fromkeys(names)) or list(config.deliver)


def _print(delivery: Delivery) -> None:
    for note in delivery.notes:
        print_stderr(f"{delivery.target}: {note}")
    where = f"{delivery.target} ({delivery.where})"
    if delivery.unchanged:
        print_line(f"{where} has publication {delivery.publication_id} already")
        return
    sent = f"{count_of(delivery.rows, 'row')} of {count_of(len(delivery.tables), 'table')}"
    print_line(f"{where} has publication {delivery.publication_id}: {sent} sent in {delivery.seconds:.1f} s")
